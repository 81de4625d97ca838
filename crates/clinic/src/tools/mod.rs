//! The tools that the language model may call.
//!
//! Each is a Rust type for its arguments and one for its result: the JSON Schema that the model sees, the parsing and the
//! validation all come from the type. What does not validate goes back to the model as an error that names the field, what
//! came, what is expected and an example.

mod book;
mod cancel;
mod commit;
mod end_call;
mod errors;
mod find_slots;
mod insurance;
mod intent;
mod list;
mod message;
mod practice;
mod reschedule;
mod resend;
mod resolve;
mod result;
mod transfer;

use std::sync::Arc;

use frontdesk_agent::{Tool, ToolSet, arguments};

use crate::config::Tenant;
use crate::store::ClinicStore;

/// What every tool works with.
#[derive(Clone)]
struct Desk {
    store: ClinicStore,
    tenant: Arc<Tenant>,
}

/// The tools of a tenant. They hold no state of a call (the context of each run names it), so one set serves all calls.
#[must_use]
pub fn tool_set(store: &ClinicStore, tenant: &Arc<Tenant>) -> ToolSet {
    let desk = Desk { store: store.clone(), tenant: Arc::clone(tenant) };
    let resend = resend::ResendConfirmation::of(&desk).map(|tool| Arc::new(tool) as Arc<dyn Tool>);
    let tools: Vec<Arc<dyn Tool>> = vec![
        Arc::new(find_slots::FindSlots(desk.clone())),
        Arc::new(book::BookAppointment(desk.clone())),
        Arc::new(reschedule::RescheduleAppointment(desk.clone())),
        Arc::new(cancel::CancelAppointment(desk.clone())),
        Arc::new(list::ListAppointments(desk.clone())),
        Arc::new(insurance::CheckInsuranceCoverage(desk.clone())),
        Arc::new(message::TakeMessage(desk.clone())),
        Arc::new(practice::PracticeInformation(desk.clone())),
        Arc::new(intent::NoteIntent(desk)),
        Arc::new(end_call::EndCall),
    ];
    let transfer = transfer::TransferCall::of(tenant).map(|tool| Arc::new(tool) as Arc<dyn Tool>);
    ToolSet::new(tools.into_iter().chain(resend).chain(transfer).collect())
}

#[cfg(test)]
mod tests;
