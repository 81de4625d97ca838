//! An eligibility service: asks an insurer, by way of a clearing house, whether somebody is insured and what is covered.
//!
//! The wire is X12 270/271 as JSON, as clearing houses offer it: `subscriber`, `provider` and `encounter` go out;
//! `benefitsInformation` comes back, whose entries carry the codes of EB01 (`1` active coverage, `6` inactive, `B` co-payment, `I` not
//! covered), and `errors` with those of AAA03. Much of a 271 is optional, and insurers differ; so what is not said for this very
//! procedure counts as unknown here, never as covered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use frontdesk_agent::resilience::{Breaker, BreakerOptions, ProviderKind};
use frontdesk_agent::{Pii, ProviderError};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Its name in errors, logs and metrics.
const PROVIDER: &str = "eligibility";
/// A 271 with all benefits of a plan has some tens of kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// EB01: active coverage, in its several forms.
const ACTIVE: [&str; 5] = ["1", "2", "3", "4", "5"];
/// EB01: inactive.
const INACTIVE: [&str; 3] = ["6", "7", "8"];
/// EB01: what is said of a procedure that is covered: active coverage, co-insurance, co-payment, deductible, limitations.
const COVERED: [&str; 5] = ["1", "A", "B", "C", "F"];
/// AAA03: the insurer knows nobody by what was given.
const NOBODY: [&str; 9] = ["58", "64", "65", "67", "71", "72", "73", "75", "76"];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// The clinic.
    pub clinic: String,
    /// The insurer's name.
    pub payer: String,
    /// The code of the procedure.
    pub procedure_code: String,
    /// The number on the insurance card.
    pub member_id: Pii<String>,
    /// The patient's full name, if known.
    pub patient_name: Option<Pii<String>>,
    /// When the patient was born, if known.
    pub born: Option<NaiveDate>,
}

/// What the insurer says. What it does not say is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Eligibility {
    /// Whether the insurer knows the member.
    pub is_member: bool,
    /// Whether the insurance is in force.
    pub active: Option<bool>,
    /// Whether this very procedure is covered.
    pub covered: Option<bool>,
    /// What the patient pays for it, in hundredths of the currency.
    pub copay_cents: Option<u32>,
}

/// Somebody who can be asked.
#[async_trait]
pub trait EligibilityCheck: Send + Sync {
    /// Asks.
    ///
    /// # Errors
    /// Nothing is known then; the caller is told so.
    async fn check(&self, inquiry: &Inquiry) -> Result<Eligibility, ProviderError>;
}

/// Where the service is.
#[derive(Debug, Clone)]
pub struct EligibilityOptions {
    /// To which inquiries are posted, as http:// or https:// URL.
    pub url: String,
    /// Sent as `Authorization: Key …`; nothing is sent without one.
    pub api_key: Option<Pii<String>>,
    /// For the whole of one inquiry: a caller is on the line.
    pub timeout: Duration,
    /// When it is left alone.
    pub breaker: BreakerOptions,
}

/// A client of the service. Make one for a process: all calls then share connections and the breaker.
#[derive(Debug)]
pub struct EligibilityService {
    http: reqwest::Client,
    url: reqwest::Url,
    headers: HeaderMap,
    timeout: Duration,
    breaker: Arc<Breaker>,
}

impl EligibilityService {
    /// A client. Nothing is connected yet.
    ///
    /// # Errors
    /// `Rejected` when the URL is no HTTP URL or the key does not fit into a header.
    pub fn new(options: &EligibilityOptions) -> Result<Self, ProviderError> {
        let rejected = |reason: &str| ProviderError::Rejected { provider: PROVIDER, reason: reason.into() };
        let url = reqwest::Url::parse(&options.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| rejected("the URL is no http:// or https:// URL"))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &options.api_key {
            let value = HeaderValue::from_str(&format!("Key {}", key.expose()));
            let mut value = value.map_err(|_| rejected("the API key does not fit into a header"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // A redirect would carry a member's name to another host.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|error| rejected(&error.without_url().to_string()))?;
        let breaker = Breaker::new(ProviderKind::Eligibility, PROVIDER, 0, options.breaker);
        Ok(Self { http, url, headers, timeout: options.timeout, breaker })
    }

    async fn ask(&self, inquiry: &Inquiry) -> Result<Eligibility, ProviderError> {
        let sent = self.http.post(self.url.clone()).headers(self.headers.clone()).json(&request(inquiry)).send();
        let mut response = sent.await.map_err(typed)?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(ProviderError::Unauthorized { provider: PROVIDER }),
            StatusCode::TOO_MANY_REQUESTS => return Err(ProviderError::RateLimited { provider: PROVIDER, retry_after: None }),
            status => {
                let reason = format!("HTTP status {}", status.as_u16());
                let is_theirs = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
                let broken = ProviderError::Broken { provider: PROVIDER, reason: reason.clone() };
                return Err(if is_theirs { broken } else { ProviderError::Rejected { provider: PROVIDER, reason } });
            }
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(typed)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(broken("the answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        // What is wrong with it is not told: it may hold what it is about.
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| broken("the answer is no 271"))?;
        answer.read(&inquiry.procedure_code)
    }
}

fn broken(reason: &str) -> ProviderError {
    ProviderError::Broken { provider: PROVIDER, reason: reason.into() }
}

fn typed(error: reqwest::Error) -> ProviderError {
    let connect = error.is_connect();
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let reason: String = cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    if connect { ProviderError::Connect { provider: PROVIDER, reason } } else { ProviderError::Broken { provider: PROVIDER, reason } }
}

#[async_trait]
impl EligibilityCheck for EligibilityService {
    async fn check(&self, inquiry: &Inquiry) -> Result<Eligibility, ProviderError> {
        let Some(permit) = self.breaker.permit() else {
            return Err(broken("it failed lately and is left alone"));
        };
        let limit_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let late = ProviderError::Timeout { provider: PROVIDER, stage: "answer", limit_ms };
        let answer = timeout(self.timeout, self.ask(inquiry)).await.unwrap_or(Err(late));
        match &answer {
            Ok(_) => permit.succeeded(),
            Err(error) => permit.failed(error),
        }
        answer
    }
}

/// The 270: who asks whom, about whom, and for what.
fn request(inquiry: &Inquiry) -> Value {
    let mut subscriber = json!({ "memberId": inquiry.member_id.expose() });
    if let Some(name) = &inquiry.patient_name {
        let (first, last) = name.expose().rsplit_once(' ').unwrap_or(("", name.expose()));
        subscriber["firstName"] = first.into();
        subscriber["lastName"] = last.into();
    }
    if let Some(born) = inquiry.born {
        subscriber["dateOfBirth"] = born.format("%Y%m%d").to_string().into();
    }
    json!({
        "tradingPartnerName": inquiry.payer,
        "provider": { "organizationName": inquiry.clinic },
        "subscriber": subscriber,
        // HC: the code is of the HCPCS, which takes in CPT.
        "encounter": { "productOrServiceIDQualifier": "HC", "procedureCode": inquiry.procedure_code },
    })
}

/// The 271, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    benefits_information: Vec<Benefit>,
    #[serde(default)]
    errors: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Benefit {
    code: String,
    benefit_amount: Option<String>,
    /// `N` is for who sees somebody outside of the insurer's network.
    in_plan_network_indicator_code: Option<String>,
    composite_medical_procedure_identifier: Option<Procedure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Procedure {
    procedure_code: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
}

impl Answer {
    fn read(&self, procedure: &str) -> Result<Eligibility, ProviderError> {
        if let Some(refused) = self.errors.first() {
            // An insurer that cannot answer now is no insurer that knows nobody.
            let is_nobody = self.errors.iter().any(|refused| NOBODY.contains(&refused.code.as_str()));
            let code: String = refused.code.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
            return if is_nobody { Ok(Eligibility::default()) } else { Err(broken(&format!("the insurer answered {code}"))) };
        }
        let says = |codes: &[&str]| self.benefits_information.iter().any(|benefit| codes.contains(&benefit.code.as_str()));
        let active = if says(&ACTIVE) { Some(true) } else { says(&INACTIVE).then_some(false) };
        let of_procedure: Vec<&Benefit> = self.benefits_information.iter().filter(|benefit| benefit.is_for(procedure)).collect();
        let has = |codes: &[&str]| of_procedure.iter().any(|benefit| codes.contains(&benefit.code.as_str()));
        let covered = match (has(&["I"]), has(&COVERED)) {
            // It says both, for instance for different ages: somebody has to look.
            (true, true) | (false, false) => None,
            (not_covered, _) => Some(!not_covered),
        };
        // An insurance that is not in force covers nothing, whatever the plan has.
        let covered = covered.filter(|_| active != Some(false));
        let copays: Vec<u32> = of_procedure.iter().filter(|benefit| benefit.code == "B").filter_map(|benefit| benefit.cents()).collect();
        let copay_cents = copays.first().copied().filter(|first| covered == Some(true) && copays.iter().all(|other| other == first));
        Ok(Eligibility { is_member: true, active, covered, copay_cents })
    }
}

impl Benefit {
    fn is_for(&self, procedure: &str) -> bool {
        let code = self.composite_medical_procedure_identifier.as_ref().and_then(|identifier| identifier.procedure_code.as_deref());
        let is_inside = self.in_plan_network_indicator_code.as_deref() != Some("N");
        is_inside && code.is_some_and(|code| code.eq_ignore_ascii_case(procedure.trim()))
    }

    /// `25`, `25.5` and `25.00`; anything else is not understood, and so not told.
    fn cents(&self) -> Option<u32> {
        let text = self.benefit_amount.as_deref()?.trim();
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || part.len() > 2 || !is_number(whole) || !is_number(part) {
            return None;
        }
        let whole: u32 = whole.parse().ok()?;
        let part: u32 = format!("{part:0<2}").parse().ok()?;
        whole.checked_mul(100)?.checked_add(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: Value) -> Result<Eligibility, ProviderError> {
        serde_json::from_value::<Answer>(answer).unwrap().read("99213")
    }

    fn of(code: &str, amount: Option<&str>) -> Value {
        json!({"code": code, "benefitAmount": amount, "compositeMedicalProcedureIdentifier": {"procedureCode": "99213"}})
    }

    #[test]
    fn only_what_is_said_for_the_procedure_is_known() {
        let known = Eligibility { is_member: true, active: Some(true), covered: Some(true), copay_cents: Some(2500) };
        for (benefits, expected) in [
            (json!([{"code": "1"}, of("B", Some("25"))]), known),
            (json!([{"code": "1"}, of("1", None)]), Eligibility { copay_cents: None, ..known }),
            (json!([{"code": "1"}, of("B", Some("25")), of("B", Some("40.00"))]), Eligibility { copay_cents: None, ..known }),
            (json!([{"code": "1"}, of("I", None)]), Eligibility { covered: Some(false), copay_cents: None, ..known }),
            // A co-payment of the plan's in general says nothing of this procedure.
            (json!([{"code": "1"}, {"code": "B", "benefitAmount": "25"}]), Eligibility { covered: None, copay_cents: None, ..known }),
            (json!([{"code": "6"}, of("B", Some("25"))]), Eligibility { active: Some(false), covered: None, copay_cents: None, ..known }),
            (json!([]), Eligibility { is_member: true, ..Eligibility::default() }),
        ] {
            assert_eq!(read(json!({ "benefitsInformation": benefits.clone() })), Ok(expected), "{benefits}");
        }
        assert_eq!(read(json!({"errors": [{"code": "75"}]})).unwrap(), Eligibility::default());
        assert!(read(json!({"errors": [{"code": "42"}]})).unwrap_err().is_retryable());
    }

    #[test]
    fn amounts_are_read_exactly() {
        let cents = |text: &str| serde_json::from_value::<Benefit>(of("B", Some(text))).unwrap().cents();
        assert_eq!((cents("25"), cents("25.5"), cents("0.05"), cents("1.234")), (Some(2500), Some(2550), Some(5), None));
        assert_eq!((cents("-1"), cents(""), cents(".5"), cents("99999999999")), (None, None, None, None));
    }
}
