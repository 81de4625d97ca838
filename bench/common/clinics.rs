//! The clinic of the demo, once for each number that is dialled, and the rules that lead there.

use std::fmt::Write as _;
use std::path::Path;

use super::Failure;

/// What every agent says first.
pub(crate) const GREETING: &str = "Good day. How can I help you?";

/// How a side decides that the caller's turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    /// A model listens; the peer's default.
    Model,
    /// Voice activity alone.
    Vad,
}

impl Turns {
    /// The value of `turn_taking.turn_detection`.
    const fn mode(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Vad => "vad",
        }
    }
}

/// A number, and who answers it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clinic {
    /// Also the tenant's, if it is one of ours.
    pub(crate) id: &'static str,
    pub(crate) number: &'static str,
    /// The agent that is dispatched.
    pub(crate) agent_name: &'static str,
    /// How turns end, if our own worker answers.
    pub(crate) own: Option<Turns>,
}

/// Writes tenants and rules below a folder of a run.
pub(crate) fn write(checkout: &Path, dir: &Path, clinics: &[Clinic]) -> Result<(), Failure> {
    let demo = checkout.join("agent-config/demo");
    let text = std::fs::read_to_string(demo.join("tenant.toml")).map_err(|error| Failure::new(format!("{}: {error}", demo.display())))?;
    for (clinic, turns) in clinics.iter().filter_map(|clinic| Some((clinic, clinic.own?))) {
        let folder = dir.join("tenants").join(clinic.id);
        std::fs::create_dir_all(&folder).map_err(Failure::new)?;
        for name in ["prompt.md", "insurance.toml"] {
            std::fs::copy(demo.join(name), folder.join(name)).map_err(Failure::new)?;
        }
        std::fs::write(folder.join("tenant.toml"), tenant(&text, clinic, turns)).map_err(Failure::new)?;
    }
    std::fs::write(dir.join("sip/bench.toml"), rules(clinics)).map_err(Failure::new)
}

/// The demo's `tenant.toml` with another name, number, greeting and way of ending turns.
fn tenant(demo: &str, clinic: &Clinic, turns: Turns) -> String {
    let mut text = String::new();
    for line in demo.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let changed = match key {
            "id" if !text.contains("\nid = ") => format!("id = \"{}\"", clinic.id),
            "dialled_numbers" => format!("dialled_numbers = [\"{}\"]", clinic.number),
            "greeting" => format!("greeting = \"{GREETING}\""),
            "[turn_taking]" => format!("{line}\nturn_detection = \"{}\"", turns.mode()),
            "turn_detection" => continue,
            _ => line.to_owned(),
        };
        text.push_str(&changed);
        text.push('\n');
    }
    text
}

/// A trunk on this machine with a number for each clinic.
fn rules(clinics: &[Clinic]) -> String {
    let numbers: Vec<String> = clinics.iter().map(|clinic| format!("\"{}\"", clinic.number)).collect();
    let mut text = format!(
        "[[trunk]]\nid = \"ST_bench\"\nname = \"Callers of the bench\"\nnumbers = [{}]\nallowed_addresses = [\"127.0.0.0/8\"]\n",
        numbers.join(", ")
    );
    for Clinic { id, number, agent_name, .. } in clinics {
        let _infallible = write!(
            text,
            "\n[[rule]]\nid = \"SDR_{id}\"\ntrunks = [\"ST_bench\"]\nnumbers = [\"{number}\"]\nroom_prefix = \"{id}\"\n\
             agent_name = \"{agent_name}\"\nattributes = {{ \"frontdesk.tenant\" = \"{id}\" }}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use frontdesk_clinic::TenantDirectory;

    use super::*;

    #[test]
    fn every_clinic_of_ours_is_valid_and_found_by_its_number() {
        let clinic = |id, number, own| Clinic { id, number, agent_name: "frontdesk", own };
        let clinics = [
            clinic("ours-model", "+15550203", Some(Turns::Model)),
            clinic("ours-vad", "+15550204", Some(Turns::Vad)),
            clinic("peer", "+15550201", None),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("sip")).expect("a folder");
        write(Path::new(env!("CARGO_MANIFEST_DIR")), folder.path(), &clinics).expect("the demo's clinic is copied");
        let tenants = TenantDirectory::load(&folder.path().join("tenants")).expect("valid");
        let found: Vec<bool> = clinics.iter().map(|clinic| tenants.by_dialled_number(clinic.number).is_some()).collect();
        assert_eq!(found, [true, true, false]);
    }
}
