//! Models that run on the worker itself, through ONNX Runtime.
//!
//! [`runtime`] finds and loads the shared library once a process; [`vad`] hears whether the caller is
//! speaking (Silero VAD), with the windows of all calls batched on one thread.

#![forbid(unsafe_code)]

pub mod runtime;
pub mod vad;
