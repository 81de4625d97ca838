//! The clinic of the demo, once for each way of ending a turn, and the rules that lead to every row's agent.

use std::fmt::Write as _;
use std::path::Path;

use frontdesk_clinic::TenantDirectory;

use crate::Failure;
use crate::rows::{ROWS, Row, Side, Turns};
use crate::script::GREETING;

/// Writes our tenants below `root` and tells which rows this build can play: the others' setting is not known to it.
pub(crate) fn write(checkout: &Path, root: &Path) -> Result<Vec<Row>, Failure> {
    let demo = checkout.join("agent-config/demo");
    let text = std::fs::read_to_string(demo.join("tenant.toml")).map_err(|error| Failure::new(format!("{}: {error}", demo.display())))?;
    let mut playable: Vec<Row> = ROWS.iter().copied().filter(|row| row.side == Side::Peer).collect();
    for row in ROWS.iter().filter(|row| row.side == Side::Ours) {
        let folder = root.join(row.id);
        std::fs::create_dir_all(&folder).map_err(Failure::new)?;
        for name in ["prompt.md", "insurance.toml"] {
            std::fs::copy(demo.join(name), folder.join(name)).map_err(Failure::new)?;
        }
        let mode = match row.turns {
            Turns::Model => "model",
            Turns::Vad => "vad",
        };
        let put = |with_mode: bool| std::fs::write(folder.join("tenant.toml"), tenant(&text, row, with_mode.then_some(mode)));
        put(true).map_err(Failure::new)?;
        let mut is_known = TenantDirectory::load(root).is_ok();
        if !is_known && row.turns == Turns::Vad {
            // A build that knows no modes ends turns by voice activity alone.
            put(false).map_err(Failure::new)?;
            is_known = TenantDirectory::load(root).map(|_| true).map_err(Failure::new)?;
        }
        if is_known {
            playable.push(*row);
        } else {
            std::fs::remove_dir_all(&folder).map_err(Failure::new)?;
        }
    }
    Ok(playable)
}

/// The demo's `tenant.toml` with another name, number, greeting and way of ending turns.
fn tenant(demo: &str, row: &Row, mode: Option<&str>) -> String {
    let mut text = String::new();
    for line in demo.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let changed = match key {
            "id" if !text.contains("\nid = ") => format!("id = \"{}\"", row.id),
            "dialled_numbers" => format!("dialled_numbers = [\"{}\"]", row.number),
            "greeting" => format!("greeting = \"{GREETING}\""),
            "[turn_taking]" => mode.map_or_else(|| line.to_owned(), |mode| format!("{line}\nturn_detection = \"{mode}\"")),
            "turn_detection" => continue,
            _ => line.to_owned(),
        };
        text.push_str(&changed);
        text.push('\n');
    }
    text
}

/// A trunk on this machine with a number for each row.
pub(crate) fn rules() -> String {
    let numbers: Vec<String> = ROWS.iter().map(|row| format!("\"{}\"", row.number)).collect();
    let mut text = format!(
        "[[trunk]]\nid = \"ST_bench\"\nname = \"Callers of the bench\"\nnumbers = [{}]\nallowed_addresses = [\"127.0.0.0/8\"]\n",
        numbers.join(", ")
    );
    for row in ROWS {
        let Row { id, number, agent_name, .. } = row;
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
    use super::*;

    #[test]
    fn this_build_can_play_every_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let playable = write(Path::new(env!("CARGO_MANIFEST_DIR")), folder.path()).expect("the demo's clinic is copied");
        assert_eq!(playable.len(), ROWS.len());
        let tenants = TenantDirectory::load(folder.path()).expect("valid");
        assert!(ROWS.iter().filter(|row| row.side == Side::Ours).all(|row| tenants.by_dialled_number(row.number).is_some()));
    }
}
