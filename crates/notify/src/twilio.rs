//! Twilio's signature on its requests: base64 of HMAC-SHA1, under the account's token, of the URL followed by the parameters' names
//! and values in the order of their names (<https://www.twilio.com/docs/usage/security>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::secret::Secret;

/// The header that carries it.
pub const SIGNATURE_HEADER: &str = "x-twilio-signature";

/// Whether a form came from Twilio. `url` is the complete one that Twilio was given. The comparison takes the same time whatever
/// the signature.
#[must_use]
pub fn is_genuine(token: &Secret, url: &str, parameters: &[(String, String)], signature: &str) -> bool {
    let mut sorted: Vec<&(String, String)> = parameters.iter().collect();
    sorted.sort();
    // Parameters that come twice with the same value count once, as in Twilio's own libraries.
    sorted.dedup();
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(token.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.decode(signature).is_ok_and(|given| mac.verify_slice(&given).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    /// The example of Twilio's documentation.
    const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    fn parameters() -> Vec<(String, String)> {
        [("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"), ("From", "+14158675309"), ("To", "+18005551212")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    #[test]
    fn the_documented_example_is_genuine_in_any_order() {
        let token = Secret::new("12345");
        let mut shuffled = parameters();
        assert!(is_genuine(&token, URL, &shuffled, SIGNATURE));
        shuffled.reverse();
        assert!(is_genuine(&token, URL, &shuffled, SIGNATURE));
    }

    #[test]
    fn whatever_was_altered_is_not() {
        let token = Secret::new("12345");
        let altered = |change: fn(&mut Vec<(String, String)>)| {
            let mut parameters = parameters();
            change(&mut parameters);
            is_genuine(&token, URL, &parameters, SIGNATURE)
        };
        assert!(!altered(|it| it[2].1.push('5')));
        assert!(!altered(|it| it[2].0.push('s')));
        assert!(!altered(|it| drop(it.pop())));
        assert!(!altered(|it| it.push(("A".into(), "b".into()))));
        assert!(!is_genuine(&token, "https://mycompany.com/myapp.php?foo=1", &parameters(), SIGNATURE));
        assert!(!is_genuine(&Secret::new("12346"), URL, &parameters(), SIGNATURE));
        for signature in ["", "!", "RSOYDt4T1cUTdK1PDd93", "RSOYDt4T1cUTdK1PDd93/VVr8B9="] {
            assert!(!is_genuine(&token, URL, &parameters(), signature), "{signature:?}");
        }
    }
}
