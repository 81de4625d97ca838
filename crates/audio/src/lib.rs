//! Audio of a telephone call: frames, codecs, resampling, WAV files, pacing and the jitter buffer.
//!
//! Everything is mono 16-bit PCM unless a name says otherwise. Nothing here opens a socket; what
//! needs a clock takes `now` as an argument, and [`pace::Ticker`] is the one thin shell over tokio's.

#![forbid(unsafe_code)]

pub mod clip;
mod frame;
pub mod g711;
pub mod jitter;
pub mod opus;
pub mod pace;
pub mod resample;
pub mod wav;

pub use frame::{FRAME_MS, Frame, SampleRate};
