//! What operators do with stored data: keys wrapped anew, patients found, told and erased, calls shown, retention and holds.

mod calls;
mod describe;
mod erase;
mod holds;
pub mod mask;
mod patients;
mod purpose;
mod retention;
mod retire;
mod rotate;
mod rows;

pub use calls::{CallLine, list_calls, show_call};
pub use erase::{EraseError, Erased, erase_patient};
pub use holds::{Held, NotHoldable, clear_hold, set_hold};
pub use patients::{FoundPatient, export_patient, find_patients};
pub use purpose::{NotAPurpose, Purpose};
pub use retention::{Retained, run_retention};
pub use retire::{RetiredYears, Retirement, retire_audit};
pub use rotate::{KeyStatus, Rotation, VersionUse, key_status, rotate_keys};
