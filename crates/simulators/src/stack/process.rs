//! A child process of ours: environment, log file, readiness by its log, a graceful end, and a hard one if that takes too long.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How often the log is looked at while a line is waited for.
const LOG_POLL: Duration = Duration::from_millis(20);
/// Lines of the log that an error quotes.
const QUOTED_LINES: usize = 12;

/// What to run.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// Shown in errors: `worker`, `bridge`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables of its environment, on top of ours unless [`Self::clear_environment`].
    pub environment: BTreeMap<String, String>,
    /// Give it `PATH`, `HOME`, `LANG` and [`Self::environment`] only, so that what a developer has exported changes nothing.
    pub clear_environment: bool,
    /// Its working directory; ours, if `None`.
    pub directory: Option<PathBuf>,
    /// Where its standard output and error go; replaced.
    pub log: PathBuf,
}

impl ProcessOptions {
    /// A program that logs into `log`, in a clean environment.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            clear_environment: true,
            directory: None,
            log: log.into(),
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The same with one more variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }
}

/// Why a process could not be started or did not do what was waited for. The log's last lines are quoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program cannot be run, or its log cannot be written.
    #[error("{name} cannot be started ({path}): {source}")]
    Start {
        /// The process.
        name: String,
        /// The program or the log.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// It ended while something was waited for.
    #[error("{name} ended ({status}) before {awaited}; its log {log} ends with:\n{tail}")]
    Ended {
        /// The process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What was waited for.
        awaited: String,
        /// The log's path.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// What was waited for did not happen.
    #[error("{name}: {awaited} did not come within {waited:?}; its log {log} ends with:\n{tail}")]
    Timeout {
        /// The process.
        name: String,
        /// What was waited for.
        awaited: String,
        /// How long.
        waited: Duration,
        /// The log's path.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The operating system could not say what became of it.
    #[error("cannot wait for {name}: {source}")]
    Wait {
        /// The process.
        name: String,
        /// The reason.
        source: std::io::Error,
    },
}

/// A running child. Killed when dropped; [`Process::stop`] is the graceful way.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn spawn(options: &ProcessOptions) -> Result<Self, ProcessError> {
        let failed = |path: &Path, source| ProcessError::Start { name: options.name.clone(), path: path.to_owned(), source };
        if let Some(folder) = options.log.parent() {
            std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        }
        let log = std::fs::File::create(&options.log).map_err(|source| failed(&options.log, source))?;
        let errors = log.try_clone().map_err(|source| failed(&options.log, source))?;
        let mut command = Command::new(&options.program);
        command.args(&options.arguments).stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        if options.clear_environment {
            command.env_clear();
            let kept = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
            command.envs(kept);
        }
        command.envs(&options.environment);
        if let Some(directory) = &options.directory {
            command.current_dir(directory);
        }
        let child = command.spawn().map_err(|source| failed(&options.program, source))?;
        Ok(Self { name: options.name.clone(), log: options.log.clone(), child })
    }

    /// Its process id; `None` once it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The log's path.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `text` stands in the log.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] or [`ProcessError::Timeout`].
    pub async fn logged(&mut self, text: &str, within: Duration) -> Result<(), ProcessError> {
        let awaited = format!("{text:?} in its log");
        self.ready(&awaited, within, async |process| process.log_text().contains(text)).await
    }

    /// Waits until `condition` holds, which is asked again and again.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] or [`ProcessError::Timeout`].
    pub async fn ready(
        &mut self,
        awaited: &str,
        within: Duration,
        mut condition: impl AsyncFnMut(&Self) -> bool,
    ) -> Result<(), ProcessError> {
        let deadline = Instant::now() + within;
        loop {
            // Asked before the condition, so that the last words of a process that ended count.
            let ended = self.child.try_wait().map_err(|source| ProcessError::Wait { name: self.name.clone(), source })?;
            if condition(self).await {
                return Ok(());
            }
            if let Some(status) = ended {
                let (name, log, tail) = (self.name.clone(), self.log.clone(), self.log_tail());
                return Err(ProcessError::Ended { name, status, awaited: awaited.to_owned(), log, tail });
            }
            if Instant::now() >= deadline {
                let (name, log, tail) = (self.name.clone(), self.log.clone(), self.log_tail());
                return Err(ProcessError::Timeout { name, awaited: awaited.to_owned(), waited: within, log, tail });
            }
            sleep(LOG_POLL).await;
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`ProcessError::Timeout`].
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        match timeout(within, self.child.wait()).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(source)) => Err(ProcessError::Wait { name: self.name.clone(), source }),
            Err(_) => {
                let (name, log, tail) = (self.name.clone(), self.log.clone(), self.log_tail());
                Err(ProcessError::Timeout { name, awaited: "its end".to_owned(), waited: within, log, tail })
            }
        }
    }

    /// SIGTERM, for a process that is to drain while the test looks on.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGTERM, and SIGKILL if it has not ended `within` that time. Returns how it ended.
    ///
    /// # Errors
    /// [`ProcessError::Wait`].
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        self.terminate();
        match timeout(within, self.child.wait()).await {
            Ok(status) => status.map_err(|source| ProcessError::Wait { name: self.name.clone(), source }),
            Err(_) => {
                tracing::warn!(name = %self.name, ?within, "a process did not end in time and is killed");
                self.kill().await
            }
        }
    }

    /// SIGKILL: the crash of a fault test.
    ///
    /// # Errors
    /// [`ProcessError::Wait`].
    pub async fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        // Fails only if it has ended meanwhile.
        let _ended = self.child.start_kill();
        self.child.wait().await.map_err(|source| ProcessError::Wait { name: self.name.clone(), source })
    }

    fn signal(&self, signal: Signal) {
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        // The child has not been waited for, so the number is still its own; it may have ended all the same.
        let _ended = kill(Pid::from_raw(id), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> ProcessOptions {
        ProcessOptions::new("shell", "/bin/sh", folder.join("shell.log")).argument("-c").argument(script)
    }

    #[tokio::test]
    async fn a_child_is_awaited_stopped_and_its_log_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "trap 'echo bye; exit 7' TERM; echo ready $GREETING; while :; do sleep 0.05; done";
        let options = shell(folder.path(), script).variable("GREETING", "hello");
        let mut child = Process::spawn(&options).expect("starts");
        child.logged("ready hello", Duration::from_secs(5)).await.expect("gets ready");
        assert!(child.is_running());
        let status = child.stop(Duration::from_secs(5)).await.expect("ends");
        assert_eq!(status.code(), Some(7));
        assert!(child.log_tail().ends_with("bye"), "{}", child.log_tail());
        assert!(!child.is_running());
    }

    #[tokio::test]
    async fn a_child_that_does_not_listen_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = shell(folder.path(), "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        let mut child = Process::spawn(&options).expect("starts");
        child.logged("ready", Duration::from_secs(5)).await.expect("gets ready");
        let status = child.stop(Duration::from_millis(100)).await.expect("is killed");
        assert_eq!(status.code(), None);
    }

    #[tokio::test]
    async fn failures_quote_the_log_and_the_environment_is_clean() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = shell(folder.path(), "env; echo the reason; exit 3");
        let mut child = Process::spawn(&options).expect("starts");
        let error = child.logged("ready", Duration::from_secs(5)).await.expect_err("it ends first");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("the reason"), "{text}");
        assert!(!child.log_text().contains("CARGO_"), "{}", child.log_text());
        let missing = ProcessOptions::new("ghost", "/no/such/program", folder.path().join("ghost.log"));
        assert!(Process::spawn(&missing).expect_err("is missing").to_string().contains("/no/such/program"));
    }
}
