//! Slots across days, holidays and shifts of the clocks.

use chrono::NaiveDateTime;
use chrono_tz::America::New_York;
use chrono_tz::Europe::{Berlin, Madrid};
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
    let hours = hours.iter().map(|(weekday, opens, closes)| WorkingPeriod {
        weekday: *weekday,
        opens: time(opens),
        closes: time(closes),
        location: None,
    });
    Practitioner {
        id: PractitionerId::new(id).unwrap(),
        name: format!("Doctor {id}"),
        zone: Berlin,
        department: None,
        hours: hours.collect(),
        services: None,
        time_off: Vec::new(),
    }
}

fn clinic(practitioners: Vec<Practitioner>) -> Schedule {
    Schedule {
        zone: Berlin,
        slot_minutes: 30,
        lead: TimeDelta::zero(),
        horizon: TimeDelta::days(400),
        closed_days: HashSet::new(),
        practitioners,
        locations: Vec::new(),
        buffers: HashMap::new(),
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
    let slots = schedule.free_slots(span("2026-03-02T00:00", "2026-03-09T00:00"), 30, Asked::default(), berlin(NOW), &busy);
    let expected = ["2026-03-02T09:00", "2026-03-02T10:00", "2026-03-02T10:30", "2026-03-02T13:00", "2026-03-02T13:30"];
    assert_eq!(starts(&slots), expected);
    let hour = schedule.free_slots(span("2026-03-02T00:00", "2026-03-09T00:00"), 60, Asked::default(), berlin(NOW), &busy);
    assert_eq!(starts(&hour), ["2026-03-02T10:00", "2026-03-02T13:00"]);
}

#[test]
fn two_practitioners_make_one_slot_a_time() {
    let schedule = clinic(vec![practitioner("a", &[(1, "09:00", "10:00")]), practitioner("b", &[(1, "09:00", "11:00")])]);
    let slots = schedule.free_slots(span("2026-03-02T00:00", "2026-03-03T00:00"), 30, Asked::default(), berlin(NOW), &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-02T09:00", "2026-03-02T09:30", "2026-03-02T10:00", "2026-03-02T10:30"]);
    let who: Vec<&str> = slots.iter().map(|slot| slot.practitioner.as_str()).collect();
    assert_eq!(who, ["a", "a", "b", "b"]);
    let only_b = PractitionerId::new("b").unwrap();
    let slots = schedule.free_slots(
        span("2026-03-02T00:00", "2026-03-03T00:00"),
        30,
        Asked { practitioner: Some(&only_b), ..Asked::default() },
        berlin(NOW),
        &Busy::new(),
    );
    assert!(slots.iter().all(|slot| slot.practitioner == only_b) && slots.len() == 4);
}

#[test]
fn limits_and_holidays() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "10:00")])]);
    schedule.closed_days.insert(NaiveDate::from_ymd_opt(2026, 3, 2).unwrap());
    schedule.lead = TimeDelta::hours(1);
    schedule.horizon = TimeDelta::days(14);
    let now = berlin("2026-03-01T12:00");
    let allows = |from: &str| schedule.allows(Span::lasting(berlin(from), 30), Asked::default(), now);
    assert_eq!(allows("2026-03-01T12:30"), Err(NotBookable::TooSoon));
    assert_eq!(allows("2026-03-02T09:00"), Err(NotBookable::ClosedDay));
    assert_eq!(allows("2026-03-09T09:00"), Ok(()));
    assert_eq!(allows("2026-03-09T09:02"), Err(NotBookable::OddMinute));
    assert_eq!(allows("2026-03-09T09:45"), Err(NotBookable::OutsideHours), "runs past closing");
    assert_eq!(allows("2026-03-16T09:00"), Err(NotBookable::TooFar));
    let slots = schedule.free_slots(span("2026-01-01T00:00", "2027-01-01T00:00"), 30, Asked::default(), now, &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-09T09:00", "2026-03-09T09:30"]);
    // The limits themselves are within.
    schedule.closed_days.clear();
    let at = |now: &str| schedule.allows(Span::lasting(berlin("2026-03-09T09:00"), 30), Asked::default(), berlin(now));
    assert_eq!([at("2026-03-09T08:00"), at("2026-02-23T09:00")], [Ok(()), Ok(())]);
    assert_eq!([at("2026-03-09T08:01"), at("2026-02-23T08:59")], [Err(NotBookable::TooSoon), Err(NotBookable::TooFar)]);
}

#[test]
fn an_appointment_does_not_run_into_a_closed_day() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "18:00")])]);
    schedule.practitioners[0].zone = chrono_tz::America::New_York;
    // 18:00 in New York is midnight in Berlin, where Tuesday, 3 March is a holiday.
    let evening = |start| schedule.allows(Span::lasting(berlin(start), 30), Asked::default(), berlin(NOW));
    assert_eq!([evening("2026-03-02T23:30"), evening("2026-03-02T23:45")], [Ok(()), Err(NotBookable::OutsideHours)]);
    schedule.practitioners[0].hours[0].closes = time("20:00");
    schedule.closed_days.insert(NaiveDate::from_ymd_opt(2026, 3, 3).unwrap());
    let evening = |start| schedule.allows(Span::lasting(berlin(start), 30), Asked::default(), berlin(NOW));
    assert_eq!([evening("2026-03-02T23:30"), evening("2026-03-02T23:45")], [Ok(()), Err(NotBookable::ClosedDay)]);
}

#[test]
fn nine_to_five_moves_with_daylight_saving() {
    // The clocks go forward on Sunday, 29 March 2026.
    let schedule = clinic(vec![practitioner("a", &[(5, "09:00", "09:30"), (1, "09:00", "09:30")])]);
    let slots = schedule.free_slots(span("2026-03-27T00:00", "2026-03-31T00:00"), 30, Asked::default(), berlin(NOW), &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-27T09:00", "2026-03-30T09:00"]);
    let utc: Vec<u32> = slots.iter().map(|slot| slot.start.hour()).collect();
    assert_eq!(utc, [8, 7]);
}

#[test]
fn a_night_shift_loses_and_gains_an_hour() {
    let schedule = clinic(vec![practitioner("a", &[(7, "01:00", "04:00")])]);
    let night = |from: &str, to: &str| starts(&schedule.free_slots(span(from, to), 60, Asked::default(), berlin(NOW), &Busy::new()));
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
    let slots = schedule.free_slots(window, 30, Asked::default(), berlin(NOW), &Busy::new());
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
        for slot in schedule.free_slots(window, duration, Asked::default(), now, &busy) {
            let span = Span::lasting(slot.start, slot.duration_minutes);
            prop_assert!(window.contains(span));
            prop_assert_eq!(schedule.allows(span, Asked::default(), now), Ok(()));
            prop_assert!(schedule.free_at(span, Asked::default(), &busy).is_some());
        }
    }
}

/// The Sundays on which the clocks change, in New York and in Madrid: hours are the wall's, slots are real minutes, each once.
#[test]
fn days_on_which_the_clocks_change() {
    for (zone, day, expected) in [
        (New_York, "2027-03-14", &["00:00", "00:30", "01:00", "01:30", "03:00", "03:30"][..]),
        (
            New_York,
            "2026-11-01",
            &["00:00", "00:30", "01:00-04:00", "01:30-04:00", "01:00-05:00", "01:30-05:00", "02:00", "02:30", "03:00", "03:30"],
        ),
        (Madrid, "2027-03-28", &["00:00", "00:30", "01:00", "01:30", "03:00", "03:30"]),
        (
            Madrid,
            "2026-10-25",
            &["00:00", "00:30", "01:00", "01:30", "02:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00", "03:00", "03:30"],
        ),
        // In New York the clocks of Madrid change nothing, and the other way round.
        (New_York, "2027-03-28", &["00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30"]),
        (Madrid, "2027-03-14", &["00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30"]),
    ] {
        let mut schedule = clinic(vec![practitioner("a", &[(7, "00:00", "04:00")])]);
        (schedule.zone, schedule.practitioners[0].zone) = (zone, zone);
        let day: NaiveDate = day.parse().unwrap();
        let at = |day: NaiveDate| local_time::resolve(day.and_time(NaiveTime::MIN), zone);
        let window = Span { start: at(day), end: at(day.succ_opt().unwrap()) };
        let now = window.start - TimeDelta::days(3);
        let slots = schedule.free_slots(window, 30, Asked::default(), now, &Busy::new());
        let starts: Vec<String> = slots.iter().map(|slot| local_time::format(slot.start, zone)).collect();
        let expected: Vec<String> = expected.iter().map(|time| format!("{day}T{time}")).collect();
        assert_eq!(starts, expected, "{zone}");
        assert!(slots.windows(2).all(|pair| pair[1].start - pair[0].start == TimeDelta::minutes(30)), "{zone} {day}");
        // An appointment over the gap lasts as long as any other.
        for slot in &slots {
            assert_eq!(schedule.allows(Span::lasting(slot.start, 30), Asked::default(), now), Ok(()));
        }
    }
}

#[test]
fn whoever_is_away_is_not_offered_and_it_is_said_why() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "11:00")])]);
    schedule.practitioners[0].time_off = vec![span("2026-03-02T09:30", "2026-03-02T10:15")];
    let slots = schedule.free_slots(span("2026-03-02T00:00", "2026-03-03T00:00"), 30, Asked::default(), berlin(NOW), &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-02T09:00", "2026-03-02T10:30"]);
    let allows = |from: &str| schedule.allows(Span::lasting(berlin(from), 30), Asked::default(), berlin(NOW));
    assert_eq!([allows("2026-03-02T09:30"), allows("2026-03-02T10:15")], [Err(NotBookable::Away), Ok(())]);
    assert_eq!(allows("2026-03-02T12:00"), Err(NotBookable::OutsideHours));
}

#[test]
fn services_are_offered_by_some_and_bring_their_buffers() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "12:00")]), practitioner("b", &[(1, "09:00", "12:00")])]);
    let (surgery, talk) = (ServiceCode::new("surgery").unwrap(), ServiceCode::new("talk").unwrap());
    schedule.practitioners[0].services = Some(HashSet::from([talk.clone()]));
    let buffer = Buffer { before: TimeDelta::minutes(10), after: TimeDelta::minutes(20) };
    schedule.buffers = HashMap::from([(surgery.clone(), buffer)]);
    let (a, b) = (PractitionerId::new("a").unwrap(), PractitionerId::new("b").unwrap());
    let day = span("2026-03-02T00:00", "2026-03-03T00:00");
    let of = |service, busy: &Busy| {
        let slots = schedule.free_slots(day, 30, Asked { service: Some(service), ..Asked::default() }, berlin(NOW), busy);
        slots.iter().map(|slot| format!("{} {}", &local_time::format(slot.start, Berlin)[11..], slot.practitioner)).collect::<Vec<_>>()
    };
    assert_eq!(of(&talk, &Busy::new()).len(), 6);
    // The last one's buffer may lie after closing time.
    assert_eq!(of(&surgery, &Busy::new()), ["09:00 b", "09:30 b", "10:00 b", "10:30 b", "11:00 b", "11:30 b"]);
    // What b does from ten to half past leaves no room before it nor right after it.
    let busy = Busy::from([(b, vec![span("2026-03-02T10:00", "2026-03-02T10:30")])]);
    assert_eq!(of(&surgery, &busy), ["09:00 b", "11:00 b", "11:30 b"]);
    let asked = Asked { practitioner: Some(&a), service: Some(&surgery), ..Asked::default() };
    assert_eq!(schedule.allows(Span::lasting(berlin("2026-03-02T09:00"), 30), asked, berlin(NOW)), Err(NotBookable::NotOffered));
}

#[test]
fn places_have_their_own_hours_and_zones() {
    let mut schedule = clinic(vec![practitioner("a", &[(1, "09:00", "10:00"), (1, "09:00", "10:00")])]);
    let location = |id: &str, zone| Location { id: LocationId::new(id).unwrap(), name: id.to_uppercase(), zone };
    schedule.locations = vec![location("here", Berlin), location("there", New_York)];
    schedule.practitioners[0].hours[0].location = Some(0);
    schedule.practitioners[0].hours[1].location = Some(1);
    let day = span("2026-03-02T00:00", "2026-03-03T00:00");
    let slots = schedule.free_slots(day, 60, Asked::default(), berlin(NOW), &Busy::new());
    assert_eq!(starts(&slots), ["2026-03-02T09:00", "2026-03-02T15:00"]);
    let names: Vec<&str> = slots.iter().map(|slot| slot.place.as_ref().unwrap().name.as_str()).collect();
    assert_eq!(names, ["HERE", "THERE"]);
    assert_eq!(Place::zone(slots[1].place.as_ref(), Berlin), New_York);
    let there = Asked { location: Some(&schedule.locations[1].id), ..Asked::default() };
    assert_eq!(starts(&schedule.free_slots(day, 60, there, berlin(NOW), &Busy::new())), ["2026-03-02T15:00"]);
    assert_eq!(schedule.allows(Span::lasting(slots[0].start, 60), there, berlin(NOW)), Err(NotBookable::OutsideHours));
}
