//! Spanish words for what a synthesiser would otherwise guess at. Customs are those of the Americas: twelve hours and the part of the
//! day, the first of a month as "primero".

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};
use frontdesk_conversation::fields::MONTHS;

use super::super::SPANISH_CARDINALS;
use super::cardinal;

const WEEKDAYS: [&str; 7] = ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"];

/// A cardinal before a masculine noun: "un minuto", "veintiún minutos", "treinta y un minutos".
fn before_noun(n: u32) -> String {
    let word = cardinal(n);
    match word.strip_suffix("veintiuno") {
        Some(head) => format!("{head}veintiún"),
        None => word.strip_suffix("uno").map_or_else(|| word.clone(), |head| format!("{head}un")),
    }
}

/// A cardinal before a feminine noun: "una hora", "veintiuna horas".
fn before_feminine(n: u32) -> String {
    let word = cardinal(n);
    word.strip_suffix("uno").map_or_else(|| word.clone(), |head| format!("{head}una"))
}

fn counted(n: u32, (one, many): (&str, &str)) -> String {
    format!("{} {}", before_noun(n), if n == 1 { one } else { many })
}

/// "martes".
#[must_use]
pub fn weekday(day: Weekday) -> &'static str {
    WEEKDAYS[day.num_days_from_monday() as usize]
}

/// "martes primero de diciembre".
#[must_use]
pub fn date(date: NaiveDate) -> String {
    format!("{} {}", weekday(date.weekday()), day_and_month(date))
}

fn day_and_month(date: NaiveDate) -> String {
    let day = if date.day() == 1 { "primero".into() } else { cardinal(date.day()) };
    format!("{day} de {}", MONTHS.get(date.month0() as usize).map_or("", |(_, month)| month))
}

/// "tres de mayo de mil novecientos ochenta y uno".
#[must_use]
pub fn date_with_year(date: NaiveDate) -> String {
    format!("{} de {}", day_and_month(date), cardinal(date.year_ce().1))
}

/// With its article: "las nueve de la mañana", "la una y media de la tarde", "el mediodía", "la medianoche".
#[must_use]
pub fn time(time: NaiveTime) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    match (hour, minute) {
        (0, 0) => return "la medianoche".into(),
        (12, 0) => return "el mediodía".into(),
        _ => {}
    }
    let part = match hour {
        0..=5 => "madrugada",
        6..=11 => "mañana",
        12..=19 => "tarde",
        _ => "noche",
    };
    let (_, on_the_clock) = time.hour12();
    let article = if on_the_clock == 1 { "la" } else { "las" };
    let minutes = match minute {
        0 => String::new(),
        15 => " y cuarto".into(),
        30 => " y media".into(),
        other => format!(" y {}", cardinal(other)),
    };
    format!("{article} {}{minutes} de la {part}", before_feminine(on_the_clock))
}

/// A time after "a": "a las nueve de la mañana", "al mediodía".
#[must_use]
pub fn at(moment: NaiveTime) -> String {
    contracted("a", &time(moment))
}

/// A time after "de": "de las nueve de la mañana", "del mediodía".
#[must_use]
pub fn from(moment: NaiveTime) -> String {
    contracted("de", &time(moment))
}

/// "a" and "de" swallow the article "el".
fn contracted(preposition: &str, text: &str) -> String {
    text.strip_prefix("el ").map_or_else(|| format!("{preposition} {text}"), |rest| format!("{preposition}l {rest}"))
}

/// "martes primero de diciembre a las nueve de la mañana".
#[must_use]
pub fn moment(moment: NaiveDateTime) -> String {
    format!("{} {}", date(moment.date()), at(moment.time()))
}

/// A length of time: "treinta minutos", "una hora y quince minutos".
#[must_use]
pub fn minutes(minutes: u32) -> String {
    let hours = |hours: u32| format!("{} {}", before_feminine(hours), if hours == 1 { "hora" } else { "horas" });
    let rest = |minutes: u32| counted(minutes, ("minuto", "minutos"));
    match (minutes / 60, minutes % 60) {
        (0, left) => rest(left),
        (whole, 0) => hours(whole),
        (whole, left) => format!("{} y {}", hours(whole), rest(left)),
    }
}

/// An amount: "veinticinco dólares", "doce euros con cincuenta céntimos". Unknown currencies are said as their code.
#[must_use]
pub fn money(cents: u32, currency: &str) -> String {
    let (whole, small) = match currency {
        "USD" | "CAD" | "AUD" => (("dólar", "dólares"), ("centavo", "centavos")),
        "MXN" | "COP" | "ARS" | "CLP" => (("peso", "pesos"), ("centavo", "centavos")),
        "EUR" => (("euro", "euros"), ("céntimo", "céntimos")),
        "GBP" => (("libra", "libras"), ("penique", "peniques")),
        other => ((other, other), ("centésimo", "centésimos")),
    };
    let units = |count: u32| match currency {
        "GBP" => format!("{} {}", before_feminine(count), if count == 1 { whole.0 } else { whole.1 }),
        _ => counted(count, whole),
    };
    match (cents / 100, cents % 100) {
        (0, left) if left > 0 => counted(left, small),
        (count, 0) => units(count),
        (count, left) => format!("{} con {}", units(count), counted(left, small)),
    }
}

/// Digits one by one: "dos cero dos".
#[must_use]
pub fn digits(text: &str) -> String {
    let named = text.chars().filter_map(|c| c.to_digit(10)).map(|digit| SPANISH_CARDINALS[digit as usize]);
    named.collect::<Vec<_>>().join(" ")
}

/// A code, character by character: "K, siete, M".
#[must_use]
pub fn code(code: &str) -> String {
    let say = |c: char| c.to_digit(10).map_or_else(|| c.to_ascii_uppercase().to_string(), |digit| SPANISH_CARDINALS[digit as usize].into());
    code.chars().map(say).collect::<Vec<_>>().join(", ")
}

/// An address as it is read back: "ana punto lopez arroba ejemplo punto com".
#[must_use]
pub fn email(address: &str) -> String {
    let mut words = String::new();
    for c in address.chars() {
        let word = match c {
            '.' => "punto",
            '@' => "arroba",
            '_' => "guion bajo",
            '-' => "guion",
            '+' => "más",
            '%' => "por ciento",
            c => match c.to_digit(10) {
                Some(digit) => SPANISH_CARDINALS[digit as usize],
                None => {
                    words.push(c);
                    continue;
                }
            },
        };
        words.push_str(&format!(" {word} "));
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A list in a sentence: "a, b y c"; "e" before the sound of i.
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().into(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            let sound = super::plain(&last.as_ref().to_lowercase());
            let is_i = sound.starts_with('i') || sound.starts_with("hi") && !sound.starts_with("hie") && !sound.starts_with("hia");
            format!("{} {} {}", first.join(", "), if is_i { "e" } else { "y" }, last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_can_be_said() {
        let say = |text: &str| moment(NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap());
        for (written, said) in [
            ("2026-12-01T09:00", "martes primero de diciembre a las nueve de la mañana"),
            ("2026-12-22T12:00", "martes veintidós de diciembre al mediodía"),
            ("2027-01-31T12:30", "domingo treinta y uno de enero a las doce y media de la tarde"),
            ("2027-02-03T13:15", "miércoles tres de febrero a la una y cuarto de la tarde"),
            ("2027-02-03T20:05", "miércoles tres de febrero a las ocho y cinco de la noche"),
            ("2027-02-03T00:00", "miércoles tres de febrero a la medianoche"),
            ("2027-02-03T05:40", "miércoles tres de febrero a las cinco y cuarenta de la madrugada"),
        ] {
            assert_eq!(say(written), said);
        }
        assert_eq!(from(NaiveTime::from_hms_opt(12, 0, 0).unwrap()), "del mediodía");
        let date = NaiveDate::from_ymd_opt(1981, 5, 3).unwrap();
        assert_eq!(date_with_year(date), "tres de mayo de mil novecientos ochenta y uno");
        assert_eq!(date_with_year(NaiveDate::from_ymd_opt(2000, 1, 1).unwrap()), "primero de enero de dos mil");
    }

    #[test]
    fn numbers_agree_with_what_they_count() {
        let of = |pairs: &[(u32, &str)]| pairs.iter().for_each(|(n, said)| assert_eq!(minutes(*n), *said));
        of(&[
            (1, "un minuto"),
            (21, "veintiún minutos"),
            (31, "treinta y un minutos"),
            (60, "una hora"),
            (135, "dos horas y quince minutos"),
        ]);
        for (cents, currency, said) in [
            (2500, "USD", "veinticinco dólares"),
            (101, "GBP", "una libra con un penique"),
            (50, "EUR", "cincuenta céntimos"),
            (1250, "EUR", "doce euros con cincuenta céntimos"),
            (0, "USD", "cero dólares"),
        ] {
            assert_eq!(money(cents, currency), said);
        }
    }

    #[test]
    fn letters_and_lists_can_be_said() {
        assert_eq!((code("k7M").as_str(), digits("202").as_str()), ("K, siete, M", "dos cero dos"));
        assert_eq!(email("ana.lopez_1@ejemplo.com"), "ana punto lopez guion bajo uno arroba ejemplo punto com");
        assert_eq!(list(&["a", "b", "c"]), "a, b y c");
        assert_eq!((list(&["padres", "hijos"]), list(&["agua", "hielo"])), ("padres e hijos".into(), "agua y hielo".into()));
        assert_eq!((list(&["a"]), list::<&str>(&[])), ("a".into(), String::new()));
    }
}
