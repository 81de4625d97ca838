//! What is logged in one test, down to the level debug.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

use super::{CALLER, CALLER_NAME};

/// The log of this thread until dropped. A test runs on one thread, with all that it spawns.
pub(crate) struct Log {
    bytes: Bytes,
    _scope: DefaultGuard,
    /// While there is only one dispatcher, a log site that another test's thread reaches first is judged by that thread's, which
    /// is none, and stays silent for ever: so there are two.
    _second: tracing::Dispatch,
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        // For whoever has to find out why a test fails: `cargo test` shows it then.
        print!("{}", String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Bytes {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    pub(crate) fn start() -> Self {
        let bytes = Bytes::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false).with_writer(bytes.clone()).finish();
        let _second = tracing::Dispatch::new(NoSubscriber::default());
        Self { bytes, _scope: tracing::subscriber::set_default(subscriber), _second }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.0.lock().expect("unpoisoned")).into_owned()
    }

    /// The lines that hold all of `parts`.
    pub(crate) fn lines(&self, parts: &[&str]) -> Vec<String> {
        self.text().lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }

    /// Nothing of the caller is in here, and no token either.
    pub(crate) fn assert_private(&self) {
        let (number, name) = (CALLER.trim_start_matches('+'), CALLER_NAME.split(' ').next().expect("a name"));
        for secret in [number, &number[3..], name, "eyJ"] {
            let found = self.lines(&[secret]);
            assert!(found.is_empty(), "{secret} is in the log: {found:#?}");
        }
        assert!(!self.text().is_empty(), "the log is being written");
    }
}
