//! Slots across days, holidays and shifts of the clocks.

use chrono::NaiveDateTime;
use chrono_tz::Europe::Berlin;
use proptest::prelude::*;

use super::*;

fn time(text: &str) -> NaiveTime {
    text.parse().unwrap()
}

fn berlin(text: &str) -> DateTime<Utc> {
    local_time::resolve(NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap(), Berlin)
}

fn span(from: &str, to: &str) -> Span {
    Span { start: berlin(from), end: berlin(to) }
}

fn practitioner(id: &str, hours: &[(u32, &str, &str)]) -> Practitioner {
    let hours = hours.iter().map(|(weekday, opens, closes)| WorkingPeriod { weekday: *weekday, opens: time(opens), closes: time(closes) });
    Practitioner { id: PractitionerId::new(id).unwrap(), name: format!("Doctor {id}"), zone: Berlin, hours: hours.collect() }
}

fn clinic(practitioners: Vec<Practitioner>) -> Schedule {
    Schedule {
        zone: Berlin,
        slot_minutes: 30,
        lead: TimeDelta::zero(),
        horizon: TimeDelta::days(400),
        closed_days: HashSet::new(),
        practitioners,
    }
}

fn starts(slots: &[Slot]) -> Vec<String> {
    slots.iter().map(|slot| local_time::format(slot.start, Berlin)).collect()
}

const NOW: &str = "2026-01-01T00:00";

#[test]
fn free_slots_are_hours_less_bookings() {
    // 2 March 2026 is a Monday.
    let schedule = clinic(vec![practitioner("a", &[(1, "09:00", "11:00"), (1, "13:00", "14:00")])]);
    let busy = Busy::from([(PractitionerId::new("a").unwrap(), vec![span("2026-03-02T09:30", "2026-03-02T10:00")])]);
    let slots = schedule.free_slots(span("2026-03-02T00:00", "2026-03-09T00:00"), 30, None, berlin(NOW), &busy);
    let expected = ["2026-03-02T09:00", "2026-03-02T10:00", "2026-03-02T10:30", "2026-03-02T13:00", "2026-03-02T13:30"];
    assert_eq!(starts(&slots), expected);
    let hour = schedule.free_slots(span("2026-03-02T00:00", "2026-03-09T00:00"), 60, None, berlin(NOW), &busy);
    assert_eq!(starts(&hour), ["2026-03-02T10:00", "2026-03-02T13:00"]);
}

#[test]
fn two_practitioners_make_one_slot_a_time() {
    let schedule = clinic(vec![practitioner("a", &[(1, "09:00", "10:00")]), practitioner("b", &[(1, "09:00", "11:00")])]);
    let slots = schedule.free_slots(span("2026-03-02T00:00", "2026-03-03T00:00"), 30, None, berlin(NOW), &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-02T09:00", "2026-03-02T09:30", "2026-03-02T10:00", "2026-03-02T10:30"]);
    let who: Vec<&str> = slots.iter().map(|slot| slot.practitioner.as_str()).collect();
    assert_eq!(who, ["a", "a", "b", "b"]);
    let only_b = PractitionerId::new("b").unwrap();
    let slots = schedule.free_slots(span("2026-03-02T00:00", "2026-03-03T00:00"), 30, Some(&only_b), berlin(NOW), &Busy::new());
    assert!(slots.iter().all(|slot| slot.practitioner == only_b) && slots.len() == 4);
}

#[test]
fn limits_and_holidays() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "10:00")])]);
    schedule.closed_days.insert(NaiveDate::from_ymd_opt(2026, 3, 2).unwrap());
    schedule.lead = TimeDelta::hours(1);
    schedule.horizon = TimeDelta::days(14);
    let now = berlin("2026-03-01T12:00");
    let allows = |from: &str| schedule.allows(Span::lasting(berlin(from), 30), None, now);
    assert_eq!(allows("2026-03-01T12:30"), Err(NotBookable::TooSoon));
    assert_eq!(allows("2026-03-02T09:00"), Err(NotBookable::ClosedDay));
    assert_eq!(allows("2026-03-09T09:00"), Ok(()));
    assert_eq!(allows("2026-03-09T09:02"), Err(NotBookable::OddMinute));
    assert_eq!(allows("2026-03-09T09:45"), Err(NotBookable::OutsideHours), "runs past closing");
    assert_eq!(allows("2026-03-16T09:00"), Err(NotBookable::TooFar));
    let slots = schedule.free_slots(span("2026-01-01T00:00", "2027-01-01T00:00"), 30, None, now, &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-09T09:00", "2026-03-09T09:30"]);
    // The limits themselves are within.
    schedule.closed_days.clear();
    let at = |now: &str| schedule.allows(Span::lasting(berlin("2026-03-09T09:00"), 30), None, berlin(now));
    assert_eq!([at("2026-03-09T08:00"), at("2026-02-23T09:00")], [Ok(()), Ok(())]);
    assert_eq!([at("2026-03-09T08:01"), at("2026-02-23T08:59")], [Err(NotBookable::TooSoon), Err(NotBookable::TooFar)]);
}

#[test]
fn an_appointment_does_not_run_into_a_closed_day() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "18:00")])]);
    schedule.practitioners[0].zone = chrono_tz::America::New_York;
    // 18:00 in New York is midnight in Berlin, where Tuesday, 3 March is a holiday.
    let evening = |start| schedule.allows(Span::lasting(berlin(start), 30), None, berlin(NOW));
    assert_eq!([evening("2026-03-02T23:30"), evening("2026-03-02T23:45")], [Ok(()), Err(NotBookable::OutsideHours)]);
    schedule.practitioners[0].hours[0].closes = time("20:00");
    schedule.closed_days.insert(NaiveDate::from_ymd_opt(2026, 3, 3).unwrap());
    let evening = |start| schedule.allows(Span::lasting(berlin(start), 30), None, berlin(NOW));
    assert_eq!([evening("2026-03-02T23:30"), evening("2026-03-02T23:45")], [Ok(()), Err(NotBookable::ClosedDay)]);
}

#[test]
fn nine_to_five_moves_with_daylight_saving() {
    // The clocks go forward on Sunday, 29 March 2026.
    let schedule = clinic(vec![practitioner("a", &[(5, "09:00", "09:30"), (1, "09:00", "09:30")])]);
    let slots = schedule.free_slots(span("2026-03-27T00:00", "2026-03-31T00:00"), 30, None, berlin(NOW), &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-27T09:00", "2026-03-30T09:00"]);
    let utc: Vec<u32> = slots.iter().map(|slot| slot.start.hour()).collect();
    assert_eq!(utc, [8, 7]);
}

#[test]
fn a_night_shift_loses_and_gains_an_hour() {
    let schedule = clinic(vec![practitioner("a", &[(7, "01:00", "04:00")])]);
    let night = |from: &str, to: &str| starts(&schedule.free_slots(span(from, to), 60, None, berlin(NOW), &Busy::new()));
    let spring = night("2026-03-29T00:00", "2026-03-29T12:00");
    assert_eq!(spring, ["2026-03-29T01:00", "2026-03-29T01:30", "2026-03-29T03:00"]);
    let autumn = night("2026-10-25T00:00", "2026-10-25T12:00");
    assert_eq!(
        autumn,
        [
            "2026-10-25T01:00",
            "2026-10-25T01:30",
            "2026-10-25T02:00+02:00",
            "2026-10-25T02:30+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T02:30+01:00",
            "2026-10-25T03:00"
        ]
    );
}

#[test]
fn a_choice_is_near_or_varied() {
    let schedule = clinic(vec![practitioner("a", &[(1, "09:00", "17:00"), (2, "09:00", "17:00")])]);
    let window = span("2026-03-02T00:00", "2026-03-04T00:00");
    let slots = schedule.free_slots(window, 30, None, berlin(NOW), &Busy::new());
    let near = nearest(slots.clone(), berlin("2026-03-02T14:00"), 3);
    assert_eq!(starts(&near), ["2026-03-02T13:30", "2026-03-02T14:00", "2026-03-02T14:30"]);
    let choice = varied(slots.clone(), Berlin, 6);
    assert_eq!(
        starts(&choice),
        ["2026-03-02T09:00", "2026-03-02T09:30", "2026-03-02T12:00", "2026-03-02T12:30", "2026-03-03T09:00", "2026-03-03T09:30"]
    );
    let one_day: Vec<Slot> = slots.into_iter().take(8).collect();
    assert_eq!(varied(one_day, Berlin, 6).len(), 6);
}

proptest! {
    /// Whatever the window, duration and bookings: every slot offered can be booked, and none overlaps a booking.
    #[test]
    fn every_offered_slot_is_bookable(
        from_hours in 0_i64..9000,
        length_hours in 0_i64..200,
        duration in 5_u32..180,
        taken in proptest::collection::vec((0_i64..12_000, 1_u32..300), 0..20),
    ) {
        let now = berlin(NOW);
        let id = PractitionerId::new("a").unwrap();
        let schedule = clinic(vec![practitioner("a", &[(1, "08:00", "12:00"), (3, "00:30", "23:30"), (7, "01:00", "05:00")])]);
        let busy: Vec<Span> = taken.iter().map(|(hours, minutes)| Span::lasting(now + TimeDelta::hours(*hours), *minutes)).collect();
        let busy = Busy::from([(id, busy)]);
        let start = now + TimeDelta::hours(from_hours);
        let window = Span { start, end: start + TimeDelta::hours(length_hours) };
        for slot in schedule.free_slots(window, duration, None, now, &busy) {
            let span = Span::lasting(slot.start, slot.duration_minutes);
            prop_assert!(window.contains(span));
            prop_assert_eq!(schedule.allows(span, None, now), Ok(()));
            prop_assert!(schedule.free_at(span, None, &busy).is_some());
        }
    }
}
