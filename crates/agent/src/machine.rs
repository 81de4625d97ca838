//! Stand-in.
use frontdesk_conversation::*;
pub(crate) struct Conversation;
impl Conversation {
    pub(crate) fn new(_: Config) -> Self {
        Self
    }
    pub(crate) fn handle(&mut self, _: CallTime, _: Input) {}
    pub(crate) fn poll(&mut self) -> Option<Command> {
        None
    }
    pub(crate) fn deadline(&self) -> Option<CallTime> {
        None
    }
    pub(crate) fn state(&self) -> Vec<u8> {
        Vec::new()
    }
}
