//! The file of results: each bench replaces its own section and leaves the others' alone.

use std::path::Path;

use super::{Failure, put};

/// A section of the file, in the order in which they stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Latency,
    Overhead,
    BargeIn,
    Store,
    Density,
}

impl Section {
    const ALL: [Self; 5] = [Self::Latency, Self::Overhead, Self::BargeIn, Self::Store, Self::Density];

    const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Overhead => "overhead",
            Self::BargeIn => "barge-in",
            Self::Store => "store",
            Self::Density => "density",
        }
    }

    fn begin(self) -> String {
        format!("<!-- {} -->\n", self.name())
    }

    fn end(self) -> String {
        format!("<!-- end of {} -->\n", self.name())
    }
}

/// Puts a section into the file, which may be missing.
pub(crate) fn write(path: &Path, section: Section, text: &str, checkout: &Path) -> Result<(), Failure> {
    let before = match std::fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
    };
    put(path, &replaced(&before, section, text), checkout)
}

/// The file with a section replaced, or added in its place. What stands in no section is kept where it is.
fn replaced(before: &str, section: Section, text: &str) -> String {
    let whole = format!("{}{}\n{}", section.begin(), text.trim_end(), section.end());
    // A file from the time when latency was all that was measured.
    let is_old = section == Section::Latency && before.starts_with("# Latency");
    let before = if is_old { "" } else { before };
    if let Some((from, to)) = span(before, section) {
        return format!("{}{whole}{}", &before[..from], &before[to..]);
    }
    let earlier = Section::ALL.iter().take_while(|other| **other != section);
    let at = earlier.filter_map(|other| span(before, *other)).map(|(_, to)| to).max().unwrap_or(0);
    let (head, tail) = before.split_at(at);
    let gap = |text: &str| if text.is_empty() { "" } else { "\n" };
    format!("{head}{}{whole}{}{}", gap(head), gap(tail.trim_start()), tail.trim_start())
}

/// Where a section begins and ends, its marks included.
fn span(text: &str, section: Section) -> Option<(usize, usize)> {
    let from = text.find(&section.begin())?;
    let end = section.end();
    let to = from + text[from..].find(&end)? + end.len();
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let first = replaced("", Section::BargeIn, "# C\n\none\n");
        assert_eq!(first, "<!-- barge-in -->\n# C\n\none\n<!-- end of barge-in -->\n");
        let both = replaced(&first, Section::Latency, "# A\n");
        assert_eq!(both, "<!-- latency -->\n# A\n<!-- end of latency -->\n\n<!-- barge-in -->\n# C\n\none\n<!-- end of barge-in -->\n");
        let all = replaced(&both, Section::Overhead, "# B");
        let order: Vec<usize> = ["# A", "# B", "# C"].iter().filter_map(|title| all.find(title)).collect();
        assert!(order.len() == 3 && order.is_sorted(), "{all}");
        let again = replaced(&all, Section::BargeIn, "# C\n\ntwo");
        assert_eq!(again, all.replace("one", "two"));
        assert_eq!(replaced(&again, Section::Overhead, "# B"), again, "the same once more changes nothing");
    }

    #[test]
    fn what_stands_in_no_section_is_kept() {
        let text = replaced("Notes by hand.\n", Section::Overhead, "# B");
        assert!(text.starts_with("<!-- overhead -->\n# B\n") && text.ends_with("\n\nNotes by hand.\n"), "{text}");
    }
}
