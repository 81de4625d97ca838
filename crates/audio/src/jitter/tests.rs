//! Behaviour of the jitter buffer on clean, bad and hostile streams, in virtual time.
