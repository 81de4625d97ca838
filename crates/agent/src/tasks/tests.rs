//! What fields take for valid, without a call.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::*;
use crate::arguments;

fn check<F: Field>(field: &F, arguments: Value) -> Result<F::Value, String> {
    arguments::read(arguments).and_then(|given| field.check(given)).map_err(|error| error.message)
}

#[test]
fn dates_as_callers_say_them() {
    for said in [
        "1984-05-03",
        "the third of May nineteen eighty-four",
        "May 3rd, 1984",
        "May the third, 1984",
        "3 May 1984",
        "13/5/1984",
        "5/13/1984",
        "tres de mayo de 1984",
    ] {
        let day = if said.contains("13") { 13 } else { 3 };
        assert_eq!(date_of_birth(said), Ok(NaiveDate::from_ymd_opt(1984, 5, day).unwrap()), "{said}");
    }
    assert_eq!(date_of_birth("June first two thousand and five"), Ok(NaiveDate::from_ymd_opt(2005, 6, 1).unwrap()));
    assert_eq!(date_of_birth("June first twenty oh five"), Ok(NaiveDate::from_ymd_opt(2005, 6, 1).unwrap()));
}

#[test]
fn a_date_that_is_not_whole_or_not_clear_says_what_is_missing() {
    for (said, expected) in [
        ("the third of May", "the year, too"),
        ("third of May eighty-four", "all four digits"),
        ("3/4/1984", "which number is the day"),
        ("thirtieth of February 1984", "a day that the month has"),
        ("May", "the day, too"),
        ("I forgot", "day, month and year"),
    ] {
        let fault = date_of_birth(said).expect_err(said);
        assert!(fault.contains(expected), "{said}: {fault}");
    }
    let today = NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    let date = |text: &str| check(&DateOfBirth::before(today), json!({ "date_of_birth": text }));
    assert!(date("2026-06-02").expect_err("the future").contains("a day that has been"));
    assert!(date("1890-01-01").expect_err("long ago").contains("century"));
    assert!(date("1984-05-03").is_ok());
}

#[test]
fn numbers_names_and_addresses() {
    let phone = |text: &str| check(&Phone::new("1"), json!({ "number": text }));
    assert_eq!(phone("two oh two, double five five, zero one four three").unwrap().as_e164(), "+12025550143");
    assert!(phone("555 0143").expect_err("no area code").contains("10 digits with the area code; these are 7"));
    assert!(phone("I have none").is_err());
    let name = |given: &str, family: &str| check(&Name, json!({ "given": given, "family": family }));
    let person = name(" Mary  Jane ", "O'Neil").unwrap();
    assert_eq!((person.given.as_str(), person.family.as_str(), format!("{person:?}").as_str()), ("Mary Jane", "O'Neil", "{redacted}"));
    assert!(name("Ada", "four").is_ok() && name("Ada", "4").expect_err("a digit").starts_with("family:"));
    let address = |street: &str, code: &str| check(&Address, json!({ "street": street, "city": "Springfield", "postal_code": code }));
    assert_eq!(address("twelve Main Street", "sw1a 1aa").unwrap().postal_code, "SW1A 1AA");
    assert!(address("Main Street", "62704").expect_err("no number").contains("house number"));
    assert!(address("12 Main Street", "six two").expect_err("no code").starts_with("postal_code:"));
}
