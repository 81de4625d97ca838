//! In which language something is, judged by its words alone.

use frontdesk_agent::spoken::SPANISH_CARDINALS;

/// What asks the service to find the language out (developers.deepgram.com, "Multilingual Codeswitching").
pub const MULTILINGUAL: &str = "multi";

/// Words that are Spanish and not English, numbers apart, without those that are neither's sign ("no", "me", "a").
const SPANISH: [&str; 55] = [
    "el",
    "la",
    "los",
    "las",
    "del",
    "de",
    "por",
    "para",
    "una",
    "soy",
    "llamo",
    "nombre",
    "quiero",
    "quisiera",
    "paciente",
    "registrarme",
    "necesito",
    "cita",
    "hora",
    "número",
    "código",
    "es",
    "está",
    "buenos",
    "buenas",
    "días",
    "tardes",
    "hola",
    "gracias",
    "favor",
    "adiós",
    "sí",
    "correcto",
    "claro",
    "mañana",
    "tarde",
    "lunes",
    "martes",
    "miércoles",
    "jueves",
    "viernes",
    "sábado",
    "domingo",
    "primera",
    "primero",
    "segunda",
    "segundo",
    "tercera",
    "tercero",
    "última",
    "último",
    "ninguno",
    "ninguna",
    "punto",
    "arroba",
];
/// Words that are English and not Spanish.
const ENGLISH: [&str; 30] = [
    "the", "is", "my", "i", "it", "name", "please", "yes", "to", "and", "of", "you", "that", "what", "would", "like", "number", "one",
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "thank", "hello", "goodbye", "for",
];

/// `es` or `en`. What says nothing of it, such as a name, is English.
#[must_use]
pub fn language_of(text: &str) -> &'static str {
    let lower = text.to_lowercase();
    let count = |of: &[&str]| lower.split(|c: char| !c.is_alphanumeric()).filter(|word| of.contains(word)).count();
    if count(&SPANISH) + count(&SPANISH_CARDINALS) > count(&ENGLISH) { "es" } else { "en" }
}

#[cfg(test)]
mod tests {
    use super::language_of;

    #[test]
    fn short_sentences_are_told_apart() {
        for spanish in
            ["Sí, es correcto.", "Me llamo Ana López.", "Cinco cinco cinco, cero uno dos.", "La segunda, por favor.", "No, gracias."]
        {
            assert_eq!(language_of(spanish), "es", "{spanish}");
        }
        for english in ["Yes, that is right.", "My name is Maria de la Cruz.", "Once more, please.", "No.", "", "Ada Lovelace."] {
            assert_eq!(language_of(english), "en", "{english}");
        }
    }
}
