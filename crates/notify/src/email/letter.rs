//! What an e-mail says: text, HTML, and for an appointment a calendar attachment.

use lettre::Message;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart};

use super::{EmailOptions, Readers};
use crate::channel::SendError;
use crate::http::ClientError;
use crate::ical;
use crate::notice::{Event, Notice};
use crate::text;

/// Carries the notice's key, for carriers that keep no `Message-ID` of ours.
pub(super) const KEY_HEADER: &str = "Frontdesk-Notice";

/// Writes e-mails from one sender.
#[derive(Debug, Clone)]
pub(super) struct Letters {
    from: Mailbox,
    to: To,
}

#[derive(Debug, Clone)]
enum To {
    Clinic(Vec<Mailbox>),
    Patient,
}

#[derive(Clone)]
struct Key(String);

impl Header for Key {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str(KEY_HEADER)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}

/// Whether a text is an address, with or without a name.
#[must_use]
pub fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

impl Letters {
    pub(super) fn new(options: &EmailOptions) -> Result<Self, ClientError> {
        let mailbox = |text: &String| text.parse::<Mailbox>().map_err(|_| ClientError { what: "e-mail address", reason: "is none".into() });
        let to = match &options.to {
            Readers::Clinic(addresses) => To::Clinic(addresses.iter().map(mailbox).collect::<Result<_, _>>()?),
            Readers::Patient => To::Patient,
        };
        Ok(Self { from: mailbox(&options.from)?, to })
    }

    /// The sender's address, without a name.
    pub(super) fn sender(&self) -> &str {
        self.from.email.as_ref()
    }

    /// Whom a notice goes to.
    fn readers(&self, notice: &Notice) -> Result<Vec<Mailbox>, SendError> {
        match &self.to {
            To::Clinic(addresses) => Ok(addresses.clone()),
            To::Patient => {
                let address = notice.recipient.as_ref().and_then(|address| address.expose().parse().ok());
                Ok(vec![Mailbox::new(None, address.ok_or_else(|| SendError::lasting("no_recipient"))?)])
            }
        }
    }

    /// The same bytes in every attempt, but for the boundaries between the parts.
    pub(super) fn compose(&self, notice: &Notice) -> Result<Message, SendError> {
        let malformed = || SendError::lasting("request.malformed");
        let readers = self.readers(notice)?;
        let Words { subject, plain, html } = match &self.to {
            To::Clinic(_) => for_the_clinic(notice),
            To::Patient => for_the_patient(notice).ok_or_else(|| SendError::lasting("not_for_this_channel"))?,
        };
        let words = MultiPart::alternative_plain_html(plain, html);
        let body = match &notice.appointment {
            Some(appointment) => {
                let kind = format!("text/calendar; charset=utf-8; method={}", ical::method(notice.event));
                let attendees: Vec<String> = readers.iter().map(|mailbox| mailbox.email.to_string()).collect();
                let calendar = ical::calendar(notice, appointment, self.sender(), &attendees);
                let name = if notice.event == Event::AppointmentCancelled { "cancel.ics" } else { "invite.ics" };
                let kind = ContentType::parse(&kind).map_err(|_| malformed())?;
                MultiPart::mixed().multipart(words).singlepart(Attachment::new(name.into()).body(calendar, kind))
            }
            None => words,
        };
        let mut message = Message::builder().from(self.from.clone()).subject(subject).header(Key(notice.delivery.key.clone()));
        for mailbox in readers {
            message = message.to(mailbox);
        }
        // RFC 5322 section 3.6.4: one message, one id; mail servers keep the first of two with the same.
        let id = format!("<{}@{}>", notice.delivery.key, self.from.email.domain());
        message.message_id(Some(id)).date(notice.delivery.created_at.into()).multipart(body).map_err(|_| malformed())
    }
}

/// The words of an e-mail.
struct Words {
    subject: String,
    plain: String,
    html: String,
}

/// Everything that the notice holds, as labelled lines.
fn for_the_clinic(notice: &Notice) -> Words {
    let headline = text::headline(notice.event, notice.language);
    let when = notice.appointment.as_ref().map(|appointment| text::moment(appointment.start, notice.zone, notice.language));
    let subject = when.map_or_else(|| headline.to_owned(), |when| format!("{headline}: {when}"));
    let lines = text::lines(notice);
    let plain: String = lines.iter().map(|(label, value)| format!("{label}: {value}\n")).collect();
    Words { subject, plain: format!("{}\n\n{plain}", notice.clinic), html: html(notice, headline, &lines) }
}

/// As a text message has it. The subject is shown on locked telephones: it tells the clinic and nothing of the appointment.
fn for_the_patient(notice: &Notice) -> Option<Words> {
    let plain = text::to_patient(notice)?;
    let subject = format!("{}: {}", notice.clinic, text::headline(notice.event, notice.language));
    let html = format!("<!DOCTYPE html><html><body><p>{}</p></body></html>", escape(&plain));
    Some(Words { subject, plain, html })
}

fn html(notice: &Notice, headline: &str, lines: &[(&'static str, String)]) -> String {
    let rows: String = lines
        .iter()
        .map(|(label, value)| format!("<tr><th align=\"left\">{}</th><td>{}</td></tr>", escape(label), escape(value)))
        .collect();
    format!(
        "<!DOCTYPE html><html><body><h1 style=\"font-size:1.2em\">{}</h1><p>{}</p><table>{rows}</table></body></html>",
        escape(headline),
        escape(&notice.clinic)
    )
}

/// What a caller said is text, whatever it looks like.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "<br>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{booked, least};

    fn letters(to: Readers) -> Letters {
        Letters::new(&EmailOptions { from: "Lakeside <desk@lake.example>".into(), to }).unwrap()
    }

    fn clinic() -> Readers {
        Readers::Clinic(vec!["a@lake.example".into(), "b@lake.example".into()])
    }

    fn text(letters: &Letters, notice: &Notice) -> String {
        String::from_utf8(letters.compose(notice).unwrap().formatted()).unwrap()
    }

    #[test]
    fn every_attempt_has_the_same_id_and_words() {
        let (letters, mut notice) = (letters(clinic()), booked());
        let text = |notice: &Notice| text(&letters, notice);
        let first = text(&notice);
        notice.delivery.attempt = 2;
        let second = text(&notice);
        for expected in [
            "Message-ID: <0194d5f0-0000-7000-8000-00000000000a@lake.example>",
            "Frontdesk-Notice: 0194d5f0-0000-7000-8000-00000000000a",
            "Subject: Appointment booked: Tuesday, December 1, 2026, 9:00 AM",
            "To: a@lake.example, b@lake.example",
            "method=REQUEST",
            "Jane &lt;Miller&gt;",
        ] {
            assert!(first.contains(expected), "{expected} in {first}");
            assert!(second.contains(expected), "{expected} in {second}");
        }
        notice.event = Event::AppointmentCancelled;
        assert!(text(&notice).contains("method=CANCEL"));
        assert!(!text(&least()).contains("Jane"));
    }

    #[test]
    fn a_patient_reads_what_a_text_message_says_and_the_subject_tells_nothing() {
        let letters = letters(Readers::Patient);
        let mut notice = least();
        let nobody = letters.compose(&Notice { recipient: None, ..notice.clone() }).unwrap_err();
        assert_eq!((nobody.code.as_str(), nobody.is_retryable), ("no_recipient", false));
        notice.recipient = Some("jane@mail.example".to_owned().into());
        // Lines of quoted-printable are cut.
        let mail = text(&letters, &notice).replace("=\r\n", "");
        for expected in [
            "To: jane@mail.example\r\n",
            "Subject: Lakeside Family Clinic: Appointment booked\r\n",
            "your appointment is on Tuesday, December 1, 2026, 9:00 AM",
            "method=REQUEST",
        ] {
            assert!(mail.contains(expected), "{expected} in {mail}");
        }
        assert!(!mail.contains("Lovelace") && !mail.contains("check-up"), "no more than the notice carries: {mail}");
        notice.event = Event::MessageTaken;
        assert_eq!(letters.compose(&notice).unwrap_err().code, "not_for_this_channel");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(Letters::new(&EmailOptions { from: "desk".into(), to: Readers::Patient }).is_err());
        assert!(Letters::new(&EmailOptions { from: "desk@lake.example".into(), to: Readers::Clinic(vec!["a".into()]) }).is_err());
        assert!(is_mailbox("Lakeside <desk@lake.example>") && !is_mailbox("desk"));
    }
}
