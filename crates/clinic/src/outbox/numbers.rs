//! Metrics of the outbox. Labels are the channel and, of failures, the error's code: closed lists.

use std::time::Duration;

use frontdesk_notify::ChannelKind;
use metrics::{counter, histogram};

/// Notices that a receiver has taken.
pub(super) const SENT: &str = "frontdesk.outbox.sent";
/// From the act to the receiver's yes, in seconds.
pub(super) const DELAY: &str = "frontdesk.outbox.delay";
/// Attempts that failed.
pub(super) const FAILURES: &str = "frontdesk.outbox.failures";
/// Notices that were given up.
pub(super) const DEAD: &str = "frontdesk.outbox.dead";
/// Receipts that were heeded, by outcome.
pub(super) const RECEIPTS: &str = "frontdesk.outbox.receipts";

pub(super) fn sent(channel: ChannelKind, after: Duration) {
    counter!(SENT, "channel" => channel.as_str()).increment(1);
    histogram!(DELAY, "channel" => channel.as_str()).record(after.as_secs_f64());
}

/// `code` is cut at its first dot: numbers of receivers are no labels.
pub(super) fn failed(channel: ChannelKind, code: &str) {
    let class = code.split('.').next().unwrap_or_default().to_owned();
    counter!(FAILURES, "channel" => channel.as_str(), "error.type" => class).increment(1);
}

pub(super) fn dead(channel: ChannelKind) {
    counter!(DEAD, "channel" => channel.as_str()).increment(1);
}

pub(super) fn receipt(outcome: &'static str) {
    counter!(RECEIPTS, "outcome" => outcome).increment(1);
}
