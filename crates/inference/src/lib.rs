//! Models that run on the worker itself.
//!
//! [`vad`] hears whether the caller is speaking (Silero VAD), calculated here, in the thread of whoever has the samples; [`turn`]
//! judges whether the caller has finished (Smart Turn), one clip at a time on a thread of its own, through ONNX Runtime, whose shared
//! library [`runtime`] finds and loads once a process.

#![forbid(unsafe_code)]

mod backend;
pub mod runtime;
pub mod turn;
pub mod vad;
