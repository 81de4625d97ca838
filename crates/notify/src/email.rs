//! E-mail by SMTP: text, HTML, and for an appointment a calendar attachment.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::channel::{Channel, Receipt, SendError};
use crate::http::ClientError;
use crate::ical;
use crate::notice::{Event, Notice};
use crate::secret::Secret;
use crate::text;

/// For each answer of the server.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// For all of it.
const SEND_LIMIT: Duration = Duration::from_secs(20);

/// From whom and to whom.
#[derive(Debug, Clone)]
pub struct EmailOptions {
    /// `Lakeside Clinic <desk@lakeside.example>`.
    pub from: String,
    /// The clinic's addresses.
    pub to: Vec<String>,
}

/// Sends to the clinic's addresses.
#[derive(Clone)]
pub struct EmailChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// Whether a text is an address, with or without a name.
#[must_use]
pub fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

impl EmailChannel {
    /// `url` is `smtps://user:password@host`, or `smtp://user:password@host?tls=required` for STARTTLS. Connects to nobody yet.
    ///
    /// # Errors
    /// The URL or an address is none.
    pub fn new(url: &Secret, options: &EmailOptions) -> Result<Self, ClientError> {
        let fault = |what, reason: &str| ClientError { what, reason: reason.into() };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
            // Its text may quote the URL, and that holds the password.
            .map_err(|_| fault("SMTP server", "is no smtp:// or smtps:// URL"))?
            .timeout(Some(STEP_LIMIT))
            .build();
        let mailbox = |text: &String| text.parse::<Mailbox>().map_err(|_| fault("e-mail address", "is none"));
        Ok(Self { transport, from: mailbox(&options.from)?, to: options.to.iter().map(mailbox).collect::<Result<_, _>>()? })
    }

    fn compose(&self, notice: &Notice) -> Result<Message, SendError> {
        let malformed = || SendError::lasting("request.malformed");
        let headline = text::headline(notice.event, notice.language);
        let when = notice.appointment.as_ref().map(|appointment| text::moment(appointment.start, notice.zone, notice.language));
        let subject = when.map_or_else(|| headline.to_owned(), |when| format!("{headline}: {when}"));
        let lines = text::lines(notice);
        let plain: String = lines.iter().map(|(label, value)| format!("{label}: {value}\n")).collect();
        let words = MultiPart::alternative_plain_html(format!("{}\n\n{plain}", notice.clinic), html(notice, headline, &lines));
        let body = match &notice.appointment {
            Some(appointment) => {
                let kind = format!("text/calendar; charset=utf-8; method={}", ical::method(notice.event));
                let attendees: Vec<String> = self.to.iter().map(|mailbox| mailbox.email.to_string()).collect();
                let calendar = ical::calendar(notice, appointment, self.from.email.as_ref(), &attendees);
                let name = if notice.event == Event::AppointmentCancelled { "cancel.ics" } else { "invite.ics" };
                let kind = ContentType::parse(&kind).map_err(|_| malformed())?;
                MultiPart::mixed().multipart(words).singlepart(Attachment::new(name.into()).body(calendar, kind))
            }
            None => words,
        };
        let mut message = Message::builder().from(self.from.clone()).subject(subject);
        for mailbox in &self.to {
            message = message.to(mailbox.clone());
        }
        // RFC 5322 section 3.6.4: one message, one id; mail servers keep the first of two with the same.
        let id = format!("<{}@{}>", notice.delivery.key, self.from.email.domain());
        message.message_id(Some(id)).date(notice.delivery.created_at.into()).multipart(body).map_err(|_| malformed())
    }
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

#[async_trait]
impl Channel for EmailChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let message = self.compose(notice)?;
        match tokio::time::timeout(SEND_LIMIT, self.transport.send(message)).await {
            // The server has taken it; whether it arrives, nobody tells.
            Ok(Ok(_)) => Ok(Receipt { provider_id: None, is_delivered: false }),
            Ok(Err(error)) => Err(typed(&error)),
            Err(_) => Err(SendError::passing("timeout")),
        }
    }
}

/// The server's words may quote the message: only its code is kept.
fn typed(error: &lettre::transport::smtp::Error) -> SendError {
    let code = error.status().map(|code| code.to_string());
    match code {
        Some(code) if error.is_permanent() => SendError::lasting(format!("smtp.{code}")),
        Some(code) => SendError::passing(format!("smtp.{code}")),
        None if error.is_timeout() => SendError::passing("timeout"),
        None if error.is_tls() => SendError::passing("tls"),
        None => SendError::passing("connection.lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{booked, least};

    fn channel() -> EmailChannel {
        let options =
            EmailOptions { from: "Lakeside <desk@lake.example>".into(), to: vec!["a@lake.example".into(), "b@lake.example".into()] };
        EmailChannel::new(&Secret::new("smtp://127.0.0.1:1"), &options).unwrap()
    }

    #[test]
    fn every_attempt_has_the_same_id_and_words() {
        let (channel, mut notice) = (channel(), booked());
        let text = |notice: &Notice| String::from_utf8(channel.compose(notice).unwrap().formatted()).unwrap();
        let first = text(&notice);
        notice.delivery.attempt = 2;
        let second = text(&notice);
        for expected in [
            "Message-ID: <0194d5f0-0000-7000-8000-00000000000a@lake.example>",
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
    fn a_url_that_is_none_is_not_shown() {
        let options = EmailOptions { from: "desk@lake.example".into(), to: Vec::new() };
        for url in ["hunter2", "ftp://user:hunter2@host"] {
            let Err(error) = EmailChannel::new(&Secret::new(url), &options) else { panic!("{url}") };
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let options = EmailOptions { from: "desk".into(), to: Vec::new() };
        assert!(EmailChannel::new(&Secret::new("smtp://127.0.0.1:1"), &options).is_err());
        assert!(is_mailbox("Lakeside <desk@lake.example>") && !is_mailbox("desk"));
    }
}
