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
mod identify;
mod insurance;
mod intent;
mod list;
mod message;
mod practice;
mod recording;
mod register;
mod reschedule;
mod resend;
mod resolve;
mod result;
mod transfer;
mod waiting;

use std::sync::Arc;

use frontdesk_agent::{CallSoFar, Tool, ToolSet, arguments};

use crate::config::Tenant;
use crate::insurance::service::EligibilityCheck;
use crate::patients::REGISTER_TOOL;
use crate::store::ClinicStore;

pub(crate) use message::MESSAGE_TOOL;
pub use recording::recording_tool;
pub(crate) use resolve::{department_of, practitioner_of};

/// What every tool works with.
#[derive(Clone)]
struct Desk {
    store: ClinicStore,
    tenant: Arc<Tenant>,
}

/// The tools of a tenant. They hold no state of a call (the context of each run names it), so one set serves all calls.
#[must_use]
pub fn tool_set(store: &ClinicStore, tenant: &Arc<Tenant>) -> ToolSet {
    tool_set_with(store, tenant, None)
}

/// The same, with a service that is asked what insurance covers.
#[must_use]
pub fn tool_set_with(store: &ClinicStore, tenant: &Arc<Tenant>, eligibility: Option<Arc<dyn EligibilityCheck>>) -> ToolSet {
    let desk = Desk { store: store.clone(), tenant: Arc::clone(tenant) };
    let resend = resend::ResendConfirmation::of(&desk).map(|tool| Arc::new(tool) as Arc<dyn Tool>);
    let does = tenant.features;
    // Whether the clinic wants it, and the tool.
    let tools: Vec<(bool, Arc<dyn Tool>)> = vec![
        (true, Arc::new(identify::IdentifyPatient(desk.clone()))),
        (does.registration, Arc::new(register::RegisterPatient(desk.clone()))),
        (does.booking || does.rescheduling, Arc::new(find_slots::FindSlots(desk.clone()))),
        (does.booking, Arc::new(book::BookAppointment(desk.clone()))),
        (does.rescheduling, Arc::new(reschedule::RescheduleAppointment(desk.clone()))),
        (does.cancelling, Arc::new(cancel::CancelAppointment(desk.clone()))),
        (true, Arc::new(list::ListAppointments(desk.clone()))),
        (does.waiting_list, Arc::new(waiting::JoinWaitingList(desk.clone()))),
        (does.waiting_list, Arc::new(waiting::LeaveWaitingList(desk.clone()))),
        (does.insurance, Arc::new(insurance::CheckInsuranceCoverage { desk: desk.clone(), service: eligibility })),
        (true, Arc::new(message::TakeMessage(desk.clone()))),
        (true, Arc::new(practice::PracticeInformation(desk.clone()))),
        (true, Arc::new(intent::NoteIntent(desk))),
        (true, Arc::new(end_call::EndCall)),
    ];
    let transfer = transfer::TransferCall::of(tenant).map(|tool| Arc::new(tool) as Arc<dyn Tool>);
    let wanted = tools.into_iter().filter_map(|(is_wanted, tool)| is_wanted.then_some(tool));
    ToolSet::new(wanted.chain(resend).chain(transfer).collect())
}

/// The tools of a call beyond the clinic's limit: a message, and good-bye.
#[must_use]
pub fn message_desk(store: &ClinicStore, tenant: &Arc<Tenant>) -> ToolSet {
    let desk = Desk { store: store.clone(), tenant: Arc::clone(tenant) };
    ToolSet::new(vec![Arc::new(message::TakeMessage(desk)), Arc::new(end_call::EndCall)])
}

/// Whether the call has shown whom it is about: two things matched, or the patient was registered.
fn is_identified(so_far: &CallSoFar<'_>) -> bool {
    [identify::IDENTIFY_TOOL, REGISTER_TOOL, list::LIST_TOOL].iter().any(|tool| so_far.has_done(tool))
}

/// Whether the call has guessed so often that what needs two things to match is refused for the rest of it.
fn guesses_on(so_far: &CallSoFar<'_>) -> bool {
    so_far.has_failed_with("too_many_attempts")
}

/// A text that says something.
fn text(given: Option<&str>) -> Option<String> {
    given.map(str::trim).filter(|text| !text.is_empty()).map(String::from)
}

#[cfg(test)]
mod tests;
