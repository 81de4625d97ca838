//! Insurance: what the insurer says, what the table says, and what nobody says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::ProviderError;
use frontdesk_agent::resilience::BreakerOptions;
use frontdesk_clinic::insurance::service::{Eligibility, EligibilityCheck, EligibilityOptions, EligibilityService, Inquiry};
use frontdesk_clinic::tools::tool_set_with;
use frontdesk_simulators::eligibility::{Benefit, ClearingHouse, Member, Mood};
use serde_json::{Value, json};

use super::support::{TestDatabase, demo_tenant};
use super::tools::Call;

async fn house() -> ClearingHouse {
    let benefits = HashMap::from([("99213", Benefit::Covered { copay: "30.00" }), ("90686", Benefit::NotCovered)]);
    let members = HashMap::from([
        ("W1".to_string(), Member { is_active: true, benefits: benefits.clone() }),
        ("W2".to_string(), Member { is_active: false, benefits }),
    ]);
    ClearingHouse::start("secret", members).await.unwrap()
}

fn service(house: &ClearingHouse, key: &str) -> EligibilityService {
    let api_key = Some(key.to_string().into());
    let breaker = BreakerOptions { failures: 2, ..BreakerOptions::default() };
    EligibilityService::new(&EligibilityOptions { url: house.url(), api_key, timeout: Duration::from_millis(700), breaker }).unwrap()
}

fn inquiry(member: &str, procedure: &str) -> Inquiry {
    Inquiry {
        clinic: "Lakeside".into(),
        payer: "Northwind Health".into(),
        procedure_code: procedure.into(),
        member_id: member.to_string().into(),
        patient_name: Some("Jane Ann Miller".to_string().into()),
        born: chrono::NaiveDate::from_ymd_opt(1981, 5, 3),
    }
}

#[tokio::test]
async fn an_inquiry_has_the_shape_of_a_270_and_its_answer_is_read() {
    let house = house().await;
    let service = service(&house, "secret");
    let covered = Eligibility { is_member: true, active: Some(true), covered: Some(true), copay_cents: Some(3000) };
    assert_eq!(service.check(&inquiry("W1", "99213")).await, Ok(covered));
    let sent = house.last().unwrap();
    assert_eq!(sent["subscriber"], json!({"memberId": "W1", "firstName": "Jane Ann", "lastName": "Miller", "dateOfBirth": "19810503"}));
    assert_eq!(sent["encounter"], json!({"productOrServiceIDQualifier": "HC", "procedureCode": "99213"}));
    let not_covered = Eligibility { covered: Some(false), copay_cents: None, ..covered };
    assert_eq!(service.check(&inquiry("W1", "90686")).await, Ok(not_covered));
    assert_eq!(service.check(&inquiry("W1", "00000")).await, Ok(Eligibility { covered: None, ..not_covered }));
    assert_eq!(service.check(&inquiry("nobody", "99213")).await, Ok(Eligibility::default()));
    assert_eq!(service.check(&inquiry("W2", "90686")).await.unwrap().active, Some(false));
    assert!(!format!("{:?}", inquiry("W1", "99213")).contains("Miller"), "names are not for logs");
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_left_alone() {
    let house = house().await;
    for mood in [Mood::Fails, Mood::Hangs, Mood::Babbles, Mood::InsurerIsAway] {
        let service = service(&house, "secret");
        house.set_mood(mood);
        for _ in 0..2 {
            let error = service.check(&inquiry("W1", "99213")).await.unwrap_err();
            assert!(error.is_retryable(), "{mood:?}: {error}");
        }
        let asked = house.asked();
        house.set_mood(Mood::Well);
        assert!(service.check(&inquiry("W1", "99213")).await.is_err(), "{mood:?}");
        assert_eq!(house.asked(), asked, "{mood:?}: it is not even asked");
    }
    let refused = service(&house, "wrong").check(&inquiry("W1", "99213")).await;
    assert_eq!(refused, Err(ProviderError::Unauthorized { provider: "eligibility" }));
}

#[tokio::test]
async fn the_tool_says_who_knows_and_what_nobody_knows() {
    let test = TestDatabase::new().await;
    let house = house().await;
    let clinic = test.clinic();
    let mut call = Call::at(&clinic, "one");
    call.tools = tool_set_with(&clinic, &Arc::new(demo_tenant()), Some(Arc::new(service(&house, "secret"))));
    let ask = async |member: Option<&str>, procedure: &str| {
        let mut arguments = json!({"payer": "Northwind Health", "plan": "Gold", "procedure_code": procedure});
        arguments["member_id"] = json!(member);
        call.run("check_insurance_coverage", arguments).await.unwrap()
    };
    let told = |answer: &Value| {
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_string();
        (text("status"), text("known"), text("copay_spoken"), !answer["not_known"].is_null())
    };
    let expect = |status: &str, known: &str, copay: &str, gap: bool| (status.to_string(), known.to_string(), copay.to_string(), gap);
    // Without the member's number there is but the table.
    assert_eq!(told(&ask(None, "99213").await), expect("covered", "table", "twenty-five dollars", false));
    assert_eq!(house.asked(), 0);
    // With it the insurer's word stands before the table's.
    assert_eq!(told(&ask(Some("W1"), "99213").await), expect("covered", "service", "thirty dollars", false));
    assert_eq!(told(&ask(Some("W1"), "90686").await), expect("not_covered", "service", "", false));
    let lapsed = ask(Some("W2"), "99213").await;
    assert_eq!((told(&lapsed), &lapsed["active"]), (expect("unknown", "service", "", true), &json!(false)));
    // The insurer says nothing of it, or knows nobody: what the table says, and what is not known.
    assert_eq!(told(&ask(Some("W1"), "99999").await), expect("unknown", "unknown", "", true));
    assert_eq!(told(&ask(Some("W9"), "99213").await), expect("covered", "table", "twenty-five dollars", true));
    // It cannot be asked: the table alone, and it says so.
    house.set_mood(Mood::Fails);
    let alone = ask(Some("W1"), "99213").await;
    assert_eq!(told(&alone), expect("covered", "table", "twenty-five dollars", true));
    assert!(alone["not_known"].as_str().unwrap().contains("cannot be asked"), "{alone}");
}
