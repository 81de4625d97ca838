//! The channels on which notices leave the program: SMS, e-mail, webhook, Google Calendar, Google Sheets, and a CSV file.
//!
//! A [`Notice`] says what happened and carries no more than its channel may tell. A [`Channel`] sends one. Whoever sends may have to
//! send again, because the program ended before it could note that it had: every channel therefore makes a repetition harmless,
//! each with what its receiver offers for that.
//!
//! | channel | what keeps a repetition from arriving twice |
//! |---|---|
//! | SMS | Twilio takes no key, so a repetition first looks whether the same text went to the same number since the notice was made |
//! | e-mail by SMTP | `Message-ID` and the event's `UID` are the same; mail servers and calendars fold them into one |
//! | e-mail by Gmail | a repetition first looks whether a mail with the notice's own header was sent since the notice was made |
//! | webhook | `Idempotency-Key` |
//! | Google Calendar | the event's id follows from the appointment's: "exists already" is "done" |
//! | Google Sheets, CSV | the first column is the key, and is looked up before a row is appended |
//!
//! Absent on purpose: queues, retries and clocks. They belong to the outbox (`frontdesk-clinic`).

#![forbid(unsafe_code)]

mod calendar;
mod channel;
mod csv_file;
mod email;
mod free_busy;
mod google;
mod http;
mod ical;
mod notice;
mod secret;
mod sheets;
mod sms;
mod table;
mod text;
pub mod twilio;
mod webhook;

pub use calendar::{CalendarChannel, CalendarOptions};
pub use channel::{Channel, Receipt, SendError};
pub use csv_file::CsvChannel;
pub use email::{Carrier, EmailChannel, EmailOptions, Readers, is_mailbox};
pub use free_busy::{FreeBusy, Taken};
pub use google::{GoogleAccount, GoogleError};
pub use http::ClientError;
pub use notice::{Appointment, Call, CallerMessage, ChannelKind, Delivery, Event, Field, Language, Notice, Patient};
pub use secret::Secret;
pub use sheets::{SheetsChannel, SheetsOptions};
pub use sms::{SmsChannel, SmsOptions};
pub use webhook::{WebhookChannel, signature as webhook_signature};
