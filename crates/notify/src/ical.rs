//! An appointment as iCalendar (RFC 5545), sent by e-mail as RFC 6047 has it: the same `UID` for all notices of an appointment,
//! a higher `SEQUENCE` with every change.

use icalendar::{Calendar, Component, Event as Entry, EventLike, EventStatus, Property};

use crate::notice::{Appointment, Event, Notice};
use crate::text;

/// `METHOD` of the calendar and of the attachment's type.
pub(crate) const fn method(event: Event) -> &'static str {
    if matches!(event, Event::AppointmentCancelled) { "CANCEL" } else { "REQUEST" }
}

/// The calendar object; the same bytes in every attempt. `organizer` and `attendees` are addresses without names.
pub(crate) fn calendar(notice: &Notice, appointment: &Appointment, organizer: &str, attendees: &[String]) -> String {
    let end = appointment.start + chrono::TimeDelta::minutes(appointment.duration_minutes.into());
    let description: Vec<String> = text::lines(notice).iter().map(|(label, value)| format!("{label}: {value}")).collect();
    let is_cancelled = notice.event == Event::AppointmentCancelled;
    let mut entry = Entry::with_uid(&format!("{}@frontdesk", appointment.id));
    entry
        .timestamp(notice.delivery.created_at)
        .sequence(appointment.revision)
        .starts(appointment.start)
        .ends(end)
        .summary(&format!(
            "{}: {}",
            notice.clinic,
            appointment.service.as_deref().unwrap_or(match notice.language {
                crate::notice::Language::Spanish => "cita",
                _ => "appointment",
            })
        ))
        .description(&description.join("\n"))
        .location(appointment.location.as_deref().unwrap_or(&notice.clinic))
        .status(if is_cancelled { EventStatus::Cancelled } else { EventStatus::Confirmed })
        .append_property(Property::new("ORGANIZER", format!("mailto:{organizer}")));
    for attendee in attendees {
        let mut property = Property::new("ATTENDEE", format!("mailto:{attendee}"));
        property.add_parameter("PARTSTAT", "ACCEPTED").add_parameter("RSVP", "FALSE");
        entry.append_multi_property(property);
    }
    let mut calendar = Calendar::empty();
    calendar
        .append_property(Property::new("VERSION", "2.0"))
        .append_property(Property::new("PRODID", "-//frontdesk//EN"))
        .append_property(Property::new("METHOD", method(notice.event)))
        .push(entry.done());
    calendar.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::booked;

    /// Property lines, unfolded (RFC 5545 section 3.1).
    fn lines(notice: &Notice) -> Vec<String> {
        let text = calendar(
            notice,
            notice.appointment.as_ref().unwrap(),
            "desk@lake.example",
            &["a@lake.example".into(), "b@lake.example".into()],
        );
        assert!(text.split("\r\n").all(|line| line.len() <= 75), "lines are folded: {text}");
        text.replace("\r\n ", "").split("\r\n").map(String::from).collect()
    }

    #[test]
    fn uid_stays_and_sequence_rises() {
        let mut notice = booked();
        notice.appointment.as_mut().unwrap().location = Some("Oak Street; rear, 2nd\nfloor".into());
        let requested = lines(&notice);
        for expected in [
            "VERSION:2.0",
            "METHOD:REQUEST",
            "UID:0194d5f0-0000-7000-8000-000000000001@frontdesk",
            "SEQUENCE:0",
            "DTSTAMP:20261130T120000Z",
            "DTSTART:20261201T140000Z",
            "DTEND:20261201T143000Z",
            "STATUS:CONFIRMED",
            "ORGANIZER:mailto:desk@lake.example",
            r"LOCATION:Oak Street\; rear\, 2nd\nfloor",
        ] {
            assert!(requested.iter().any(|line| line == expected), "{expected} in {requested:#?}");
        }
        assert_eq!(requested.iter().filter(|line| line.starts_with("ATTENDEE;") && line.contains("mailto:")).count(), 2);
        assert_eq!(requested, lines(&notice), "another attempt, the same bytes");
        notice.event = Event::AppointmentCancelled;
        notice.appointment.as_mut().unwrap().revision = 2;
        let cancelled = lines(&notice);
        for expected in ["METHOD:CANCEL", "SEQUENCE:2", "STATUS:CANCELLED", "UID:0194d5f0-0000-7000-8000-000000000001@frontdesk"] {
            assert!(cancelled.iter().any(|line| line == expected), "{expected} in {cancelled:#?}");
        }
    }
}
