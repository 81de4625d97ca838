//! A call in Spanish: whatever tools say word for word, they say in Spanish.

use serde_json::json;

use super::support::TestDatabase;
use super::tools::{Call, done};

#[tokio::test]
async fn a_spanish_caller_hears_spanish_from_the_search_to_the_cancellation() {
    let test = TestDatabase::new().await;
    let mut call = Call::at(&test.clinic(), "one");
    call.context.language = "es".into();
    let found = call.run("find_slots", json!({"window_start": "2026-12-01", "window_end": "2026-12-01", "practitioner": "Lovelace"})).await;
    assert_eq!(found.unwrap()["slots"][0]["spoken"], "martes primero de diciembre a las nueve de la mañana");
    let hours = call.run("practice_information", json!({"topic": "opening_hours"})).await.unwrap();
    assert_eq!(hours["facts"][6], "domingo: cerrado");

    let wish = json!({"start": "2026-12-01T09:00", "patient_name": "Ana López", "phone": "202-555-0143", "practitioner": "Lovelace"});
    let (read_back, booked) = call.commit("book_appointment", "c1", wish).await;
    assert!(read_back.starts_with("Tengo libre el martes primero de diciembre a las nueve de la mañana"), "{read_back}");
    let booked = done(booked);
    let code = booked["confirmation_code"].as_str().unwrap().to_owned();
    assert_eq!(booked["confirmation_code_spoken"], frontdesk_clinic::spoken::spanish::code(&code));

    let taken = json!({"start": "2026-12-01T09:00", "patient_name": "Otra Persona", "phone": "202-555-0144", "practitioner": "Lovelace"});
    let refused = call.tools.get("book_appointment").unwrap().prepare(&call.context, taken).await.unwrap_err();
    let alternative = &refused.details.unwrap()["alternatives"][0]["spoken"];
    assert!(alternative.as_str().unwrap().contains("de diciembre a las "), "{alternative}");

    let to = json!({"confirmation_code": code, "phone": "202-555-0143", "start": "2026-12-02T12:00"});
    let (read_back, moved) = call.commit("reschedule_appointment", "c2", to).await;
    assert!(read_back.contains("al miércoles dos de diciembre al mediodía"), "{read_back}");
    assert_eq!(done(moved)["spoken_before"], "martes primero de diciembre a las nueve de la mañana");

    let cancel = json!({"confirmation_code": code, "phone": "202-555-0143"});
    let (read_back, cancelled) = call.commit("cancel_appointment", "c3", cancel).await;
    assert!(read_back.starts_with("Voy a cancelar la cita del miércoles dos de diciembre"), "{read_back}");
    assert_eq!(done(cancelled)["spoken"], "miércoles dos de diciembre al mediodía");
}
