//! Appointments in a Google Calendar (`/calendars/{id}/events`, version 3).

use async_trait::async_trait;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::channel::{Channel, Receipt, SendError};
use crate::google::{self, GoogleAccount};
use crate::http::{Answer, ClientError, base_url, url};
use crate::notice::{Appointment, Event, Notice};
use crate::text;

const SCOPE: &str = "https://www.googleapis.com/auth/calendar.events";

/// Which calendar.
#[derive(Debug, Clone)]
pub struct CalendarOptions {
    /// `https://www.googleapis.com/calendar/v3`.
    pub base_url: String,
    /// The calendar's id, as its settings show it; shared with the service account, which may change events.
    pub calendar_id: String,
    /// As whom.
    pub account: GoogleAccount,
}

/// Keeps one event an appointment.
#[derive(Debug, Clone)]
pub struct CalendarChannel {
    options: CalendarOptions,
}

/// The event's id: letters and digits of base32hex, 5 to 1024 of them; the same for an appointment in every attempt.
fn event_id(appointment: &Appointment) -> String {
    format!("fd{}", appointment.id.simple())
}

fn event(notice: &Notice, appointment: &Appointment) -> Value {
    let zone = notice.zone.name();
    let at = |moment: chrono::DateTime<chrono::Utc>| json!({ "dateTime": moment.to_rfc3339(), "timeZone": zone });
    let end = appointment.start + chrono::TimeDelta::minutes(appointment.duration_minutes.into());
    let title = [appointment.service.as_deref(), appointment.name.as_ref().map(|name| name.expose().as_str())];
    let title: Vec<&str> = title.into_iter().flatten().collect();
    let title = if title.is_empty() { text::headline(notice.event, notice.language).to_owned() } else { title.join(", ") };
    let lines = text::lines(notice);
    let description: Vec<String> = lines.iter().map(|(label, value)| format!("{label}: {value}")).collect();
    json!({
        "status": "confirmed",
        "summary": title,
        "description": description.join("\n"),
        "location": appointment.location.as_deref().unwrap_or(&notice.clinic),
        "start": at(appointment.start),
        "end": at(end),
        "visibility": "private",
        "extendedProperties": { "private": { "frontdesk": appointment.id.to_string(), "revision": appointment.revision.to_string() } },
    })
}

impl CalendarChannel {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// The base URL is none.
    pub fn new(mut options: CalendarOptions) -> Result<Self, ClientError> {
        options.base_url = base_url("Google Calendar's base URL", &options.base_url)?;
        Ok(Self { options })
    }

    async fn call(&self, method: reqwest::Method, event: Option<&str>, body: Option<&Value>) -> Result<Answer, SendError> {
        let mut segments = vec!["calendars", self.options.calendar_id.as_str(), "events"];
        segments.extend(event);
        let mut request = self.options.account.http().client().request(method, url(&self.options.base_url, &segments)?);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.options.account.run(SCOPE, request).await
    }

    async fn insert(&self, id: &str, mut body: Value) -> Result<(), SendError> {
        body["id"] = id.into();
        let answer = self.call(reqwest::Method::POST, None, Some(&body)).await?;
        // There already: an earlier attempt came through.
        if answer.status.is_success() || answer.status == StatusCode::CONFLICT { Ok(()) } else { Err(google::refusal(&answer)) }
    }
}

#[async_trait]
impl Channel for CalendarChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let appointment = notice.appointment.as_ref().ok_or_else(|| SendError::lasting("not_for_this_channel"))?;
        let id = event_id(appointment);
        match notice.event {
            Event::AppointmentBooked => self.insert(&id, event(notice, appointment)).await?,
            Event::AppointmentMoved => {
                let body = event(notice, appointment);
                let answer = self.call(reqwest::Method::PATCH, Some(&id), Some(&body)).await?;
                match answer.status {
                    status if status.is_success() => {}
                    // Booked before the calendar was switched on.
                    StatusCode::NOT_FOUND => self.insert(&id, body).await?,
                    _ => return Err(google::refusal(&answer)),
                }
            }
            Event::AppointmentCancelled => {
                let answer = self.call(reqwest::Method::DELETE, Some(&id), None).await?;
                let is_gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
                if !answer.status.is_success() && !is_gone {
                    return Err(google::refusal(&answer));
                }
            }
            Event::MessageTaken | Event::PatientRegistered | Event::CallEnded => return Err(SendError::lasting("not_for_this_channel")),
        }
        Ok(Receipt { provider_id: Some(id), is_delivered: true })
    }
}
