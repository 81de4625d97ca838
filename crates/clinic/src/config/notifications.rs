//! `[notifications]`: which event is told on which channel, and what each channel may carry.
//!
//! A channel that is left out is off. What it may carry besides the clinic's name, the event and its time is a list of fields, and
//! the least unless the clinic says more: a text message is read on a locked telephone, a webhook ends in somebody's log.

use frontdesk_notify::{ChannelKind, Event, Field, Language, is_mailbox};
use schemars::JsonSchema;
use serde::Deserialize;

use super::validate::is_e164;

/// What is told to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// In which notices are worded: `"en"`, `"en-GB"` or `"es"`; the clinic's language, if left out.
    pub language: Option<Language>,
    /// Text messages to patients.
    pub sms: Option<SmsNotices>,
    /// E-mails to patients whose address is known.
    pub patient_email: Option<PatientEmailNotices>,
    /// E-mails to the clinic.
    pub email: Option<EmailNotices>,
    /// JSON to a server of the clinic's.
    pub webhook: Option<WebhookNotices>,
    /// Entries in a Google Calendar.
    pub google_calendar: Option<CalendarNotices>,
    /// Rows in a Google spreadsheet.
    pub google_sheets: Option<SheetsNotices>,
    /// Rows in files on this machine.
    pub csv: Option<CsvNotices>,
}

/// Text messages to patients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmsNotices {
    /// The sender: a number in E.164, or a messaging service of Twilio's, `MG…`.
    pub from: String,
    /// Of which events; of appointments alone.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default = "code")]
    pub fields: Vec<Field>,
}

/// By whom e-mails are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmailBy {
    /// The operator's mail server.
    #[default]
    Smtp,
    /// Gmail's API, as the sender's mailbox in the clinic's Google Workspace.
    Gmail,
}

/// E-mails to patients whose address is known, from their registration: a sentence, and an invitation for their calendar.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatientEmailNotices {
    /// The sender: `Lakeside Clinic <desk@lakeside.example>`.
    pub from: String,
    /// By whom they are carried.
    #[serde(default)]
    pub by: EmailBy,
    /// Of which events; of appointments alone.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default = "code")]
    pub fields: Vec<Field>,
}

/// E-mails to the clinic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailNotices {
    /// The sender: `Lakeside Clinic <desk@lakeside.example>`.
    pub from: String,
    /// The clinic's addresses.
    pub to: Vec<String>,
    /// By whom they are carried.
    #[serde(default)]
    pub by: EmailBy,
    /// Of which events.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// JSON to a server of the clinic's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookNotices {
    /// Its address, `https://…`.
    pub url: String,
    /// Of which events.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// Entries in a Google Calendar.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarNotices {
    /// As the calendar's settings show it. The calendar has to be shared with the service account.
    pub calendar_id: String,
    /// Of which events; of appointments alone.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// Rows in a Google spreadsheet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SheetsNotices {
    /// As in its address. The spreadsheet has to be shared with the service account.
    pub spreadsheet_id: String,
    /// Of which events.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// Rows in files on this machine, below the folder that the operator has set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvNotices {
    /// Of which events.
    pub on: Vec<Event>,
    /// What may be told.
    #[serde(default)]
    pub fields: Vec<Field>,
}

fn code() -> Vec<Field> {
    vec![Field::Code]
}

impl Notifications {
    /// The channels that are on, with the events of each and what it may carry.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelKind, &[Event], &[Field])> {
        let sms = self.sms.as_ref().map(|it| (ChannelKind::Sms, &it.on[..], &it.fields[..]));
        let patient = self.patient_email.as_ref().map(|it| (ChannelKind::PatientEmail, &it.on[..], &it.fields[..]));
        let email = self.email.as_ref().map(|it| (ChannelKind::Email, &it.on[..], &it.fields[..]));
        let webhook = self.webhook.as_ref().map(|it| (ChannelKind::Webhook, &it.on[..], &it.fields[..]));
        let calendar = self.google_calendar.as_ref().map(|it| (ChannelKind::GoogleCalendar, &it.on[..], &it.fields[..]));
        let sheets = self.google_sheets.as_ref().map(|it| (ChannelKind::GoogleSheets, &it.on[..], &it.fields[..]));
        let csv = self.csv.as_ref().map(|it| (ChannelKind::Csv, &it.on[..], &it.fields[..]));
        [sms, patient, email, webhook, calendar, sheets, csv].into_iter().flatten()
    }

    /// The channels of an event, and what each may carry.
    pub fn of(&self, event: Event) -> impl Iterator<Item = (ChannelKind, &[Field])> {
        self.channels().filter(move |(_, on, _)| on.contains(&event)).map(|(kind, _, fields)| (kind, fields))
    }

    /// What is wrong, as key below `notifications` and fault.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, key: &str, problem: String| {
            if !holds {
                problems.push((key.to_owned(), problem));
            }
        };
        for (kind, on, fields) in self.channels() {
            let name = kind.as_str();
            require(!on.is_empty(), &format!("{name}.on"), "got nothing, expected events like [\"appointment_booked\"]".into());
            for (index, event) in on.iter().enumerate() {
                let is_general = !kind.is_to_the_patient() && kind != ChannelKind::GoogleCalendar;
                let is_fitting = event.is_about_an_appointment() || is_general;
                let word = event.as_str();
                require(is_fitting, &format!("{name}.on[{index}]"), format!("got \"{word}\", expected an event of an appointment"));
                require(!on[..index].contains(event), &format!("{name}.on[{index}]"), format!("got \"{word}\" a second time"));
            }
            for (index, field) in fields.iter().enumerate() {
                let (word, needed) = match field {
                    Field::Message => ("message", Event::MessageTaken),
                    Field::Email => ("email", Event::PatientRegistered),
                    Field::DateOfBirth => ("date_of_birth", Event::PatientRegistered),
                    _ => continue,
                };
                let problem = || format!("got \"{word}\" without the event \"{}\", expected both or neither", needed.as_str());
                require(on.contains(&needed), &format!("{name}.fields[{index}]"), problem());
            }
        }
        if let Some(sms) = &self.sms {
            let is_service = sms.from.strip_prefix("MG").is_some_and(|rest| rest.len() == 32);
            let expected = "expected E.164 like \"+12025550143\", or a messaging service, MG and 32 characters";
            require(is_e164(&sms.from) || is_service, "sms.from", format!("got \"{}\", {expected}", sms.from));
        }
        let expected = "expected an address like \"Desk <desk@clinic.example>\"";
        if let Some(patient) = &self.patient_email {
            require(is_mailbox(&patient.from), "patient_email.from", format!("got \"{}\", {expected}", patient.from));
        }
        if let Some(email) = &self.email {
            require(is_mailbox(&email.from), "email.from", format!("got \"{}\", {expected}", email.from));
            require(!email.to.is_empty(), "email.to", "got nothing, expected at least one address".into());
            for (index, to) in email.to.iter().enumerate() {
                require(is_mailbox(to), &format!("email.to[{index}]"), format!("got \"{to}\", {expected}"));
            }
        }
        if let Some(webhook) = &self.webhook {
            let host = ["https://", "http://127.0.0.1", "http://localhost"].iter().find_map(|start| webhook.url.strip_prefix(start));
            let is_address = host.is_some_and(|_| webhook.url.len() > "https://".len()) && !webhook.url.contains(char::is_whitespace);
            require(is_address, "webhook.url", format!("got \"{}\", expected an https:// address", webhook.url));
        }
        let ids = [
            ("google_calendar.calendar_id", self.google_calendar.as_ref().map(|it| &it.calendar_id)),
            ("google_sheets.spreadsheet_id", self.google_sheets.as_ref().map(|it| &it.spreadsheet_id)),
        ];
        for (key, id) in ids {
            let is_id = id.is_none_or(|id| !id.is_empty() && !id.contains([' ', '/']));
            require(is_id, key, format!("got \"{}\", expected an id without blanks and slashes", id.map_or("", |id| id)));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Notifications {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_channel_carries_the_least_unless_told_otherwise() {
        let notifications = read(
            "[sms]\nfrom = \"+12025550143\"\non = [\"appointment_booked\"]\n[csv]\non = [\"call_ended\", \"appointment_booked\"]\nfields = [\"name\"]\n",
        );
        assert_eq!(notifications.problems(), []);
        let booked: Vec<_> = notifications.of(Event::AppointmentBooked).collect();
        assert_eq!(booked, [(ChannelKind::Sms, &[Field::Code][..]), (ChannelKind::Csv, &[Field::Name][..])]);
        assert_eq!(notifications.of(Event::CallEnded).count(), 1);
        assert_eq!(notifications.of(Event::MessageTaken).count(), 0);
    }

    #[test]
    fn patients_are_written_to_of_appointments_and_emails_go_by_the_server_unless_told_otherwise() {
        let notifications = read(
            "[patient_email]\nfrom = \"desk@x.example\"\non = [\"appointment_booked\"]\n\
             [email]\nfrom = \"desk@x.example\"\nto = [\"desk@x.example\"]\nby = \"gmail\"\non = [\"patient_registered\"]\nfields = [\"email\"]\n",
        );
        assert_eq!(notifications.problems(), []);
        let ways = (notifications.patient_email.as_ref().map(|it| it.by), notifications.email.as_ref().map(|it| it.by));
        assert_eq!(ways, (Some(EmailBy::Smtp), Some(EmailBy::Gmail)));
        let booked: Vec<_> = notifications.of(Event::AppointmentBooked).collect();
        assert_eq!(booked, [(ChannelKind::PatientEmail, &[Field::Code][..])]);
    }

    #[test]
    fn every_fault_has_its_key() {
        let notifications = read(
            "[sms]\nfrom = \"Lakeside\"\non = [\"call_ended\"]\n\
             [patient_email]\nfrom = \"desk\"\non = [\"patient_registered\"]\nfields = [\"email\"]\n\
             [email]\nfrom = \"desk\"\nto = [\"a@b.example\", \"c\"]\non = [\"appointment_booked\", \"appointment_booked\"]\nfields = [\"message\"]\n\
             [webhook]\nurl = \"ftp://x\"\non = []\n\
             [google_calendar]\ncalendar_id = \"\"\non = [\"message_taken\"]\n",
        );
        let keys: Vec<String> = notifications.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "sms.on[0]",
                "patient_email.on[0]",
                "email.on[1]",
                "email.fields[0]",
                "webhook.on",
                "google_calendar.on[0]",
                "sms.from",
                "patient_email.from",
                "email.from",
                "email.to[1]",
                "webhook.url",
                "google_calendar.calendar_id"
            ]
        );
    }
}
