//! What operators do with stored data: keys wrapped anew, patients found, told and erased, calls shown, retention.

mod rotate;

pub use rotate::{KeyStatus, Rotation, VersionUse, key_status, rotate_keys};
