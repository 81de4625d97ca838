//! Trunks and dispatch rules: who may call, which numbers are answered, and where a call goes. Data, read from `sip/*.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use frontdesk_livekit::transfer;
use ipnet::IpNet;
use serde::Deserialize;

/// A trunk: calls from these addresses to these numbers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Its id (`sip.trunkID`).
    pub id: String,
    /// The numbers that are answered, as dialled (`+15550100`).
    pub numbers: Vec<String>,
    /// Where its calls may come from, as networks (`203.0.113.0/24`). A trunk without any would admit the world and is refused:
    /// callers do not authenticate in another way.
    pub allowed_addresses: Vec<IpNet>,
    /// For people; nothing depends on it.
    #[serde(default)]
    pub name: String,
    /// The host to which callers who are put through are referred, as `sip:+15550188@host` (`example.pstn.twilio.com`). Without one
    /// they are referred to `tel:+15550188`, which not every trunk takes.
    #[serde(default)]
    pub refer_to_host: Option<String>,
}

/// What happens with a call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its id (`sip.ruleID`).
    pub id: String,
    /// The trunks it applies to; empty for all.
    #[serde(default)]
    pub trunks: Vec<String>,
    /// The dialled numbers it applies to; empty for all of the trunk.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Rooms are named `<prefix>_<random>`: no caller's number, since room names reach logs.
    pub room_prefix: String,
    /// The agent that is dispatched.
    pub agent_name: String,
    /// Given to the agent's job.
    #[serde(default)]
    pub metadata: String,
    /// Attributes of the SIP participant besides `sip.*`.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// All trunks and rules of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The trunks.
    #[serde(default, rename = "trunk")]
    pub trunks: Vec<Trunk>,
    /// The rules, in order: the first that fits decides.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Why the rules cannot be used; each line names the file and the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct RulesError(pub Vec<String>);

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// It comes from an address that belongs to no trunk. Answer 403.
    #[error("the source belongs to no trunk")]
    ForeignSource,
    /// Nobody answers that number. Answer 404.
    #[error("the number is not one of the trunk's, or no rule fits it")]
    UnknownNumber,
}

impl Rules {
    /// Reads every `*.toml` of a folder, in the order of their names.
    ///
    /// # Errors
    /// Unreadable or malformed files, and entries that contradict each other; all of them at once.
    pub fn load(dir: &Path) -> Result<Self, RulesError> {
        let unreadable = |error: std::io::Error| RulesError(vec![format!("{}: {error}", dir.display())]);
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let (mut all, mut faults) = (Self::default(), Vec::new());
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(|error| RulesError(vec![format!("{}: {error}", path.display())]))?;
            match toml::from_str::<Self>(&text) {
                Ok(part) => {
                    all.trunks.extend(part.trunks);
                    all.rules.extend(part.rules);
                }
                Err(error) => faults.push(format!("{}: {}", path.display(), error.to_string().trim_end().replace('\n', " "))),
            }
        }
        faults.extend(all.faults().into_iter().map(|fault| format!("{}: {fault}", dir.display())));
        if faults.is_empty() { Ok(all) } else { Err(RulesError(faults)) }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut ids = BTreeSet::new();
        let trunk_ids: BTreeSet<&str> = self.trunks.iter().map(|trunk| trunk.id.as_str()).collect();
        for trunk in &self.trunks {
            if !ids.insert(&trunk.id) {
                faults.push(format!("id {} is used twice", trunk.id));
            }
            if trunk.numbers.is_empty() {
                faults.push(format!("trunk {} has no numbers: name those that it delivers", trunk.id));
            }
            if let Some(host) = trunk.refer_to_host.as_ref().filter(|host| !is_host(host)) {
                faults.push(format!("trunk {}: refer_to_host is {host:?}, expected a host such as \"example.pstn.twilio.com\"", trunk.id));
            }
            if trunk.allowed_addresses.is_empty() {
                faults.push(format!("trunk {} has no allowed_addresses: name the networks that its calls come from", trunk.id));
            }
        }
        for rule in &self.rules {
            if !ids.insert(&rule.id) {
                faults.push(format!("id {} is used twice", rule.id));
            }
            for trunk in rule.trunks.iter().filter(|id| !trunk_ids.contains(id.as_str())) {
                faults.push(format!("rule {} names trunk {trunk}, which does not exist", rule.id));
            }
            if rule.agent_name.is_empty() || rule.room_prefix.is_empty() {
                faults.push(format!("rule {} needs agent_name and room_prefix", rule.id));
            }
        }
        if self.trunks.is_empty() || self.rules.is_empty() {
            faults.push("at least one [[trunk]] and one [[rule]] are needed".into());
        }
        faults
    }

    /// Whether anything may come from this address.
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        self.trunks.iter().any(|trunk| trunk.contains(source))
    }

    /// The trunk and rule of a call.
    ///
    /// # Errors
    /// [`NoRoute`], with the SIP status to answer.
    pub fn route(&self, source: IpAddr, dialled: &str) -> Result<(&Trunk, &Rule), NoRoute> {
        if !self.admits(source) {
            return Err(NoRoute::ForeignSource);
        }
        let trunk =
            self.trunks.iter().find(|trunk| trunk.contains(source) && trunk.numbers.iter().any(|number| same_number(number, dialled)));
        let trunk = trunk.ok_or(NoRoute::UnknownNumber)?;
        let fits = |rule: &&Rule| {
            (rule.trunks.is_empty() || rule.trunks.contains(&trunk.id))
                && (rule.numbers.is_empty() || rule.numbers.iter().any(|number| same_number(number, dialled)))
        };
        self.rules.iter().find(fits).map(|rule| (trunk, rule)).ok_or(NoRoute::UnknownNumber)
    }
}

impl Trunk {
    fn contains(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.allowed_addresses.iter().any(|network| network.contains(&source))
    }

    /// Where a caller who is put through is referred to (RFC 3515 section 2.1).
    pub(crate) fn refer_to(&self, request: &transfer::Request) -> String {
        match &self.refer_to_host {
            Some(host) => format!("sip:{}@{host};user=phone", request.number),
            None => request.uri(),
        }
    }
}

/// A name or an address, perhaps with a port (RFC 3261 section 25.1, `hostport`); nothing that would change the URI around it.
fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    !text.is_empty() && text.len() <= 255 && text.chars().all(fits)
}

/// Trunks write the same number with and without `+`.
fn same_number(a: &str, b: &str) -> bool {
    let plain = |number: &str| number.trim_start_matches('+').to_owned();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        toml::from_str(
            r#"
            [[trunk]]
            id = "ST_a"
            numbers = ["+15550100", "+15550101"]
            allowed_addresses = ["192.0.2.0/24"]
            [[trunk]]
            id = "ST_b"
            numbers = ["15550200"]
            allowed_addresses = ["198.51.100.7/32", "2001:db8::/32"]
            [[rule]]
            id = "SDR_second"
            numbers = ["+15550101"]
            room_prefix = "second"
            agent_name = "other"
            [[rule]]
            id = "SDR_all"
            room_prefix = "call"
            agent_name = "frontdesk"
            "#,
        )
        .unwrap()
    }

    fn route(source: &str, dialled: &str) -> Result<(String, String), NoRoute> {
        rules().route(source.parse().unwrap(), dialled).map(|(trunk, rule)| (trunk.id.clone(), rule.id.clone()))
    }

    #[test]
    fn who_is_put_through_is_referred_as_his_trunk_wants_it() {
        let mut trunk = rules().trunks[0].clone();
        let request = transfer::Request { id: "T_1".into(), number: "+15550188".into() };
        assert_eq!(trunk.refer_to(&request), "tel:+15550188");
        trunk.refer_to_host = Some("example.pstn.twilio.com".into());
        assert_eq!(trunk.refer_to(&request), "sip:+15550188@example.pstn.twilio.com;user=phone");
    }

    #[test]
    fn a_call_finds_its_trunk_and_the_first_rule_that_fits() {
        assert_eq!(route("192.0.2.9", "+15550100"), Ok(("ST_a".into(), "SDR_all".into())));
        assert_eq!(route("192.0.2.9", "15550101"), Ok(("ST_a".into(), "SDR_second".into())));
        assert_eq!(route("::ffff:198.51.100.7", "+15550200"), Ok(("ST_b".into(), "SDR_all".into())));
        assert_eq!(route("2001:db8::5", "15550200"), Ok(("ST_b".into(), "SDR_all".into())));
    }

    #[test]
    fn strangers_and_foreign_numbers_are_told_apart() {
        assert_eq!(route("203.0.113.1", "+15550100"), Err(NoRoute::ForeignSource));
        assert_eq!(route("192.0.2.9", "+15550200"), Err(NoRoute::UnknownNumber), "a number of another trunk");
        assert_eq!(route("192.0.2.9", ""), Err(NoRoute::UnknownNumber));
    }

    #[test]
    fn every_fault_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("a.toml"),
            "[[trunk]]\nid = \"x\"\nnumbers = []\nallowed_addresses = []\nrefer_to_host = \"a@b\"\n[[rule]]\nid = \"x\"\ntrunks = [\"y\"]\nroom_prefix = \"\"\nagent_name = \"a\"\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("b.toml"), "[[trunk]]\nid = 5\n").unwrap();
        let faults = Rules::load(dir.path()).unwrap_err().0;
        for part in [
            "b.toml",
            "refer_to_host is \"a@b\"",
            "has no numbers",
            "has no allowed_addresses",
            "used twice",
            "names trunk y",
            "needs agent_name",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part} is missing in {faults:?}");
        }
        assert!(Rules::load(&dir.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn the_demo_rules_are_valid() {
        let rules = Rules::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sip"))).unwrap();
        assert!(rules.route("127.0.0.1".parse().unwrap(), "+15550100").is_ok());
    }
}
