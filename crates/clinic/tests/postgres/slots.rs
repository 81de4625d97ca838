//! Finding slots in a real calendar.

use chrono_tz::Europe::Berlin;
use frontdesk_clinic::config::import;
use frontdesk_clinic::slots::{SLOTS_MAX, SlotQuery, When};
use frontdesk_clinic::{Clock, PractitionerId, local_time};

use super::support::{TestDatabase, clinic, other_tenant};
use super::wishes::{at, wish};

fn query(when: When) -> SlotQuery {
    SlotQuery {
        when,
        duration_minutes: 30,
        practitioner: Some(PractitionerId::new("dr-lovelace").unwrap()),
        service: None,
        location: None,
        department: None,
    }
}

#[tokio::test]
async fn an_exact_time_is_free_or_has_alternatives() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let exact = query(When::Exact(at("2026-12-01T10:00")));
    let found = clinic.find_slots("one", &exact).await.unwrap();
    assert_eq!((found.exact, found.slots.len()), (Some(Ok(true)), 1));
    clinic.prepare_booking("one", &wish("2026-12-01T10:00", 1)).await.unwrap();
    // The holder still sees it as his, others see the neighbours.
    assert_eq!(clinic.find_slots("one", &exact).await.unwrap().exact, Some(Ok(true)));
    let found = clinic.find_slots("two", &exact).await.unwrap();
    assert_eq!(found.exact, Some(Ok(false)));
    let starts: Vec<String> = found.slots.iter().map(|slot| local_time::format(slot.start, found.zone)).collect();
    assert_eq!(starts, ["2026-12-01T09:00", "2026-12-01T09:30", "2026-12-01T10:30"]);
}

#[tokio::test]
async fn a_window_gives_a_bounded_choice() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let found = clinic.find_slots("one", &query(When::Window(None, None))).await.unwrap();
    assert_eq!((found.exact, found.slots.len()), (None, SLOTS_MAX));
    assert!(found.slots.windows(2).all(|pair| pair[0].start < pair[1].start));
    let window = When::Window(Some(at("2026-12-01T12:00")), Some(at("2026-12-01T14:00")));
    let found = clinic.find_slots("one", &query(window)).await.unwrap();
    let starts: Vec<String> = found.slots.iter().map(|slot| local_time::format(slot.start, found.zone)).collect();
    assert_eq!(starts, ["2026-12-01T12:00", "2026-12-01T13:30"]);
    let past = When::Window(Some(at("2026-10-01T12:00")), Some(at("2026-10-02T14:00")));
    assert!(clinic.find_slots("one", &query(past)).await.unwrap().slots.is_empty());
}

#[tokio::test]
async fn nothing_is_offered_on_closed_days_too_soon_or_too_far() {
    let test = TestDatabase::new().await;
    let days = async |from: &str, to: &str| -> Vec<String> {
        let window = When::Window(Some(at(from)), Some(at(to)));
        let found = test.clinic().find_slots("one", &query(window)).await.unwrap();
        found.slots.iter().map(|slot| local_time::format(slot.start, found.zone)).collect()
    };
    // Christmas Day of 2026 is a Friday.
    let christmas = days("2026-12-24T09:00", "2026-12-28T12:30").await;
    assert!(!christmas.is_empty() && christmas.iter().all(|start| !start.starts_with("2026-12-25")), "{christmas:?}");
    // It is Monday, seven o'clock; an hour's notice leaves the whole morning, at nine it does not.
    assert_eq!(days("2026-11-30T00:00", "2026-11-30T10:00").await, ["2026-11-30T09:00", "2026-11-30T09:30"]);
    let at_nine = test.clinic().with_clock(Clock::Fixed(at("2026-11-30T08:31")));
    let found = at_nine.find_slots("one", &query(When::Window(None, Some(at("2026-11-30T10:30"))))).await.unwrap();
    assert_eq!(found.slots.iter().map(|slot| slot.start).collect::<Vec<_>>(), [at("2026-11-30T10:00")]);
    // 120 days ahead is Tuesday, 30 March 2027.
    assert!(!days("2027-03-29T09:00", "2027-03-31T12:00").await.is_empty());
    assert!(days("2027-03-31T00:00", "2027-04-05T12:00").await.is_empty());
}

#[tokio::test]
async fn nine_oclock_stays_nine_oclock_across_daylight_saving() {
    let test = TestDatabase::new().await;
    // Berlin goes back to winter time on Sunday, 25 October 2026.
    let mut tenant = other_tenant();
    tenant.zone = Berlin;
    import(&test.url, &tenant).await.unwrap();
    let clinic = clinic(test.database(), "other").with_clock(Clock::Fixed("2026-10-20T06:00:00Z".parse().unwrap()));
    let berlin = |text: &str| local_time::parse(text, Berlin).unwrap();
    for (day, utc_hour) in [("2026-10-23", 7), ("2026-10-26", 8)] {
        let exact = query(When::Exact(berlin(&format!("{day}T09:00"))));
        let found = clinic.find_slots("one", &exact).await.unwrap();
        assert_eq!(found.exact, Some(Ok(true)), "{day}");
        assert_eq!(chrono::Timelike::hour(&found.slots[0].start), utc_hour, "{day}");
        assert_eq!(local_time::format(found.slots[0].start, found.zone), format!("{day}T09:00"));
    }
    let window = When::Window(Some(berlin("2026-10-23T09:00")), Some(berlin("2026-10-26T10:00")));
    let found = clinic.find_slots("one", &query(window)).await.unwrap();
    let starts: Vec<String> = found.slots.iter().map(|slot| local_time::format(slot.start, found.zone)).collect();
    assert_eq!(starts, ["2026-10-23T09:00", "2026-10-23T09:30", "2026-10-23T12:00", "2026-10-26T09:00", "2026-10-26T09:30"]);
}

#[tokio::test]
async fn a_practitioner_in_another_zone_is_offered_in_the_clinics_time() {
    let test = TestDatabase::new().await;
    let mut tenant = other_tenant();
    tenant.practitioners[0].zone = Some(Berlin);
    import(&test.url, &tenant).await.unwrap();
    let clinic = clinic(test.database(), "other");
    // 14:00 to 17:00 in Berlin is 8:00 to 11:00 in New York.
    let found = clinic.find_slots("one", &query(When::Exact(at("2026-12-01T08:00")))).await.unwrap();
    assert_eq!(found.exact, Some(Ok(true)));
    let found = clinic.find_slots("one", &query(When::Exact(at("2026-12-01T11:00")))).await.unwrap();
    assert_ne!(found.exact, Some(Ok(true)));
}
