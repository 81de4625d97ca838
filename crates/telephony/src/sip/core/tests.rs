//! Whole calls over a simulated network in virtual time.
