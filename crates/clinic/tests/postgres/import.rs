//! Configuration in the database.

use frontdesk_clinic::booking::{Refusal, Settled};
use frontdesk_clinic::config::{ImportError, import};
use frontdesk_clinic::insurance::Coverage;

use super::support::{TestDatabase, demo_tenant, other_tenant};
use super::wishes::{key, wish};

#[tokio::test]
async fn importing_again_changes_nothing_and_a_change_takes_effect() {
    let test = TestDatabase::new().await;
    let tables = "SELECT (SELECT count(*) FROM working_hours) * 10000 + (SELECT count(*) FROM insurance_coverage) * 100
                  + (SELECT count(*) FROM services) * 10 + (SELECT count(*) FROM practitioners)";
    let before = test.count(tables).await;
    import(&test.url, &demo_tenant()).await.unwrap();
    assert_eq!(test.count(tables).await, before);
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("one", &wish("2026-12-01T09:00", 1)).await.unwrap();
    let mut tenant = demo_tenant();
    tenant.practitioners.remove(0);
    tenant.services.clear();
    import(&test.url, &tenant).await.unwrap();
    // Doctor Lovelace left: no new appointments, and what was held is refused rather than booked.
    let refused = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
    assert_eq!(refused, Settled::Refused(Refusal::NotOffered));
    assert_eq!(test.count("SELECT count(*) FROM practitioners WHERE NOT is_active").await, 1);
    assert_eq!(test.count("SELECT count(*) FROM services WHERE is_active").await, 0);
}

#[tokio::test]
async fn a_clinic_is_found_by_the_number_that_was_dialled() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    let database = test.database();
    database.check().await.unwrap();
    for (number, expected) in [("+15550100", Some("demo")), ("+15550101", Some("other")), ("+15550102", None)] {
        let found = database.tenant_of_dialled_number(number).await.unwrap();
        assert_eq!(found.as_ref().map(frontdesk_clinic::TenantId::as_str), expected, "{number}");
    }
}

#[tokio::test]
async fn a_number_belongs_to_one_clinic() {
    let test = TestDatabase::new().await;
    let mut tenant = other_tenant();
    tenant.dialled_numbers = demo_tenant().dialled_numbers;
    let error = import(&test.url, &tenant).await.unwrap_err();
    assert_eq!(error, ImportError::NumberTaken { tenant: "other".into() });
    assert_eq!(test.count("SELECT count(*) FROM tenants").await, 1, "nothing was imported");
}

#[tokio::test]
async fn insurance_is_looked_up_without_regard_to_case() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let listed = clinic.check_insurance_coverage(" northwind health", "GOLD", "99213").await.unwrap();
    assert!(matches!(listed, Coverage::Listed { covered: true, copay_cents: Some(2500), .. }), "{listed:?}");
    for (payer, plan, code, field, known) in [
        ("Acme", "Gold", "99213", "payer", vec!["Harbor Mutual", "Northwind Health"]),
        ("Northwind Health", "Silver", "99213", "plan", vec!["Bronze", "Gold"]),
        ("Northwind Health", "Gold", "1", "procedure_code", vec!["90686", "99213"]),
    ] {
        let unknown = clinic.check_insurance_coverage(payer, plan, code).await.unwrap();
        assert_eq!(unknown, Coverage::Unknown { field, known: known.into_iter().map(String::from).collect() });
    }
}
