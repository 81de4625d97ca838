//! Models that run on the worker itself, through ONNX Runtime.
//!
//! [`runtime`] finds and loads the shared library once a process; [`vad`] hears whether the caller is
//! speaking (Silero VAD), with the windows of all calls batched on one thread; [`turn`] judges whether the
//! caller has finished (Smart Turn), one clip at a time on another.

#![forbid(unsafe_code)]

mod backend;
pub mod runtime;
pub mod turn;
pub mod vad;
