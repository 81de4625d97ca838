//! Dates of birth as callers say and write them, in English and Spanish.

use chrono::{Datelike, NaiveDate};
use frontdesk_conversation::fields::MONTHS;

use super::listen::{Piece, read, tokens};
use super::number::{cardinal, ordinal};

/// Which of two numbers is the day where both could be: "03/05/81".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// As in the United States.
    MonthFirst,
    /// As nearly everywhere else.
    DayFirst,
}

impl DateOrder {
    /// How the country of a calling code ("1", "44") writes dates. North America shares one code; most of its callers put the month
    /// first.
    #[must_use]
    pub fn of_country(country_calling_code: &str) -> Self {
        if country_calling_code == "1" { Self::MonthFirst } else { Self::DayFirst }
    }
}

/// What is known of the caller's way with dates, besides his words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customs {
    /// The order of his country.
    pub order: DateOrder,
    /// The day of the call: a year of two digits is the latest such year that is not after it.
    pub today: NaiveDate,
}

/// A date of birth: "the third of May nineteen eighty-four", "May 3rd, 1984", "1984-05-03", "tres de mayo de mil novecientos ochenta y
/// cuatro". With the caller's customs also "the third of May eighty-four" and "03/05/84", which are refused as unclear without them.
///
/// # Errors
/// What is missing or unclear, worded as what is expected.
pub fn date_of_birth(text: &str, customs: Option<Customs>) -> Result<NaiveDate, &'static str> {
    if let Ok(date) = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d") {
        return Ok(date);
    }
    let (numbers, month) = pieces(text)?;
    let (year, month, day) = match month {
        Some((0, month)) => {
            let (day, year) = numbers.split_first().ok_or("the day, too")?;
            (year.concat(), month, day.clone())
        }
        Some((before, month)) => (numbers[before..].concat(), month, numbers[..before].concat()),
        None => numeric(&numbers, customs)?,
    };
    let day = day.parse().map_err(|_| "the day, too")?;
    let date = match (year.len(), customs) {
        (0, _) => return Err("the year, too"),
        (4, _) => year.parse().ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day)),
        (2, Some(customs)) => {
            let year: i32 = year.parse().map_err(|_| "the year, too")?;
            let of_century = |century: i32| NaiveDate::from_ymd_opt(century + year, month, day).filter(|date| *date <= customs.today);
            [2000, 1900].into_iter().find_map(of_century)
        }
        _ => return Err("the year with all four digits"),
    };
    date.ok_or("a day that the month has")
}

/// The numbers, and the month with how many of them stand before it.
type Pieces = (Vec<String>, Option<(usize, u32)>);

fn pieces(text: &str) -> Result<Pieces, &'static str> {
    let tokens = super::spanish::with_digits(tokens(text));
    let (mut numbers, mut month): (Vec<String>, Option<(usize, u32)>) = (Vec::new(), None);
    let mut thousands = false;
    let mut rest = tokens.as_slice();
    while let Some(first) = rest.first() {
        let (piece, taken) = read(first, rest.get(1).map(String::as_str));
        match piece {
            // "two thousand five": the last number takes it in.
            Piece::Digits(digits) if thousands => {
                let whole = numbers.last().and_then(|last| last.parse::<u32>().ok()).zip(digits.parse::<u32>().ok());
                if let (Some((base, more)), Some(last)) = (whole, numbers.last_mut()) {
                    *last = base.saturating_add(more).to_string();
                }
                thousands = false;
            }
            Piece::Digits(digits) => numbers.push(digits),
            Piece::Word(word) if word == "thousand" => {
                thousands = true;
                if let Some(last) = numbers.last_mut() {
                    last.push_str("000");
                }
            }
            Piece::Word(word) => match month_of(&word) {
                Some(number) if month.is_none() => month = Some((numbers.len(), number)),
                Some(_) => return Err("one date only"),
                None => {}
            },
        }
        rest = &rest[taken..];
    }
    Ok((numbers, month))
}

fn month_of(word: &str) -> Option<u32> {
    let names = |(english, spanish): &(&str, &str)| *spanish == word || (word.len() >= 3 && english.starts_with(word));
    let at = MONTHS.iter().position(names)?;
    u32::try_from(at + 1).ok()
}

const BY_NAME: &str = "day, month and year, with the month by its name";

/// Numbers without the name of a month, as year, month and day. Without customs they are clear only if one of them can be nothing but
/// the day, or day and month are the same.
fn numeric(numbers: &[String], customs: Option<Customs>) -> Result<(String, u32, String), &'static str> {
    let parts: Vec<String> = match (numbers, customs) {
        // "Three five nineteen eighty-one".
        ([first, second, century, year], Some(_)) if ["19", "20"].contains(&century.as_str()) && year.len() == 2 => {
            vec![first.clone(), second.clone(), format!("{century}{year}")]
        }
        ([_, _, _], _) => numbers.to_vec(),
        // Digit by digit: "oh three oh five eighty-one".
        (_, Some(_)) => {
            let all = numbers.concat();
            if ![6, 8].contains(&all.len()) {
                return Err(BY_NAME);
            }
            vec![all[..2].into(), all[2..4].into(), all[4..].into()]
        }
        _ => return Err(BY_NAME),
    };
    let [first, second, third] = parts.as_slice() else { return Err(BY_NAME) };
    if first.len() == 4 {
        return Ok((first.clone(), second.parse().unwrap_or(0), third.clone()));
    }
    let value = |text: &String| text.parse::<u32>().unwrap_or(0);
    match (value(first), value(second), customs.map(|customs| customs.order)) {
        (day @ 13.., month, _) | (month, day @ 13.., _) => Ok((third.clone(), month, day.to_string())),
        (day, month, _) if day == month => Ok((third.clone(), month, day.to_string())),
        (month, day, Some(DateOrder::MonthFirst)) | (day, month, Some(DateOrder::DayFirst)) => Ok((third.clone(), month, day.to_string())),
        (_, _, None) => Err("the month by its name: it is not clear which number is the day"),
    }
}

/// A year as it is said: "nineteen eighty-one", "nineteen oh five", "two thousand and five", "twenty twenty-six".
#[must_use]
pub fn year(year: u32) -> String {
    match (year / 100, year % 100) {
        (20, 0..=9) | (0..=9, _) => cardinal(year).replace("thousand ", "thousand and "),
        (century, 0) => format!("{} hundred", cardinal(century)),
        (century, rest @ 1..=9) => format!("{} oh {}", cardinal(century), cardinal(rest)),
        (century, rest) => format!("{} {}", cardinal(century), cardinal(rest)),
    }
}

/// "the third of May nineteen eighty-one".
#[must_use]
pub fn date_with_year(date: NaiveDate) -> String {
    let month = MONTHS.get(date.month0() as usize).map_or("", |(english, _)| english);
    let month: String = month.chars().take(1).flat_map(char::to_uppercase).chain(month.chars().skip(1)).collect();
    format!("the {} of {month} {}", ordinal(date.day()), year(date.year_ce().1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn customs(order: DateOrder) -> Option<Customs> {
        Some(Customs { order, today: NaiveDate::from_ymd_opt(2026, 11, 30).unwrap() })
    }

    fn date(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn two_digit_years_and_numbers_go_by_the_callers_customs() {
        for (said, expected) in [
            ("the third of May eighty-one", date(1981, 5, 3)),
            ("May third, eighty one", date(1981, 5, 3)),
            ("tres de mayo de mil novecientos ochenta y uno", date(1981, 5, 3)),
            ("el tres de mayo del ochenta y uno", date(1981, 5, 3)),
            ("primero de enero de dos mil cinco", date(2005, 1, 1)),
            ("June first oh five", date(2005, 6, 1)),
            // It has not been yet in this century.
            ("December first twenty-six", date(1926, 12, 1)),
            ("13/05/81", date(1981, 5, 13)),
            ("1981-05-03", date(1981, 5, 3)),
        ] {
            for order in [DateOrder::MonthFirst, DateOrder::DayFirst] {
                assert_eq!(date_of_birth(said, customs(order)), Ok(expected), "{said}");
            }
        }
        for said in ["03/05/81", "03/05/1981", "oh three oh five eighty-one", "three five nineteen eighty-one", "03051981"] {
            assert_eq!(date_of_birth(said, customs(DateOrder::MonthFirst)), Ok(date(1981, 3, 5)), "{said}");
            assert_eq!(date_of_birth(said, customs(DateOrder::DayFirst)), Ok(date(1981, 5, 3)), "{said}");
        }
    }

    #[test]
    fn without_customs_what_is_unclear_is_refused() {
        for said in ["03/05/81", "03/05/1981", "the third of May eighty-one", "030581"] {
            assert!(date_of_birth(said, None).is_err(), "{said}");
        }
        for said in ["the third of May", "thirty-first of February 1981", "May", "I forgot", "81"] {
            assert!(date_of_birth(said, customs(DateOrder::DayFirst)).is_err(), "{said}");
        }
    }

    #[test]
    fn years_can_be_said() {
        for (number, words) in [
            (1981, "nineteen eighty-one"),
            (1905, "nineteen oh five"),
            (1900, "nineteen hundred"),
            (2000, "two thousand"),
            (2005, "two thousand and five"),
            (2026, "twenty twenty-six"),
        ] {
            assert_eq!(year(number), words);
        }
        assert_eq!(date_with_year(date(1981, 5, 3)), "the third of May nineteen eighty-one");
    }

    proptest! {
        #[test]
        fn what_is_said_is_read_again(days in 0_i64..36_000) {
            let born = date(1920, 1, 1) + chrono::TimeDelta::days(days);
            prop_assert_eq!(date_of_birth(&date_with_year(born), None), Ok(born));
            prop_assert_eq!(date_of_birth(&crate::spoken::spanish::date_with_year(born), None), Ok(born));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            let _ = date_of_birth(&text, customs(DateOrder::MonthFirst));
            let _ = date_of_birth(&text, None);
        }
    }
}
