//! A Redis of one's own on a free loopback port, for LiveKit servers that are nodes of one cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::find::{FindError, find_on_path, find_upward, free_port};
use super::process::{Process, ProcessError, ProcessOptions};

const BINARY: &str = "var/bin/redis-server";
/// It is up in a twentieth of a second; a machine under load gets more.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a start is tried: another program may take a port between the look and the use.
const START_TRIES: usize = 3;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, in bytes: names and ids are shorter by far.
const ANSWER_MAX: usize = 64 * 1024;

/// Why there is no Redis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The program is missing.
    #[error("no redis-server on PATH, nor {BINARY} in the working directory or above; remedy: scripts/setup --only debian --only redis")]
    Missing,
    /// No free port.
    #[error("no port for Redis: {0}")]
    Port(#[from] FindError),
    /// It did not come up.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// It cannot be asked.
    #[error("Redis at {address} cannot be asked: {source}; remedy: see whether it runs")]
    Connection {
        /// Where it listens.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// It does not answer, or with something else than was asked for.
    #[error("Redis at {address} gives no answer that can be read to {command:?}; remedy: see its log")]
    Answer {
        /// Where it listens.
        address: SocketAddr,
        /// What was asked.
        command: String,
    },
}

/// A running server, which writes down each change before it confirms it, so that a restart finds everything. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    binary: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    process: Process,
}

impl Redis {
    /// Starts one that keeps data and log in `folder`, which exists, and waits until it answers.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn start(folder: impl Into<PathBuf>) -> Result<Self, RedisError> {
        let binary = find_on_path("redis-server").or_else(|| find_upward(BINARY)).ok_or(RedisError::Missing)?;
        let folder = folder.into();
        let mut tries = 0;
        loop {
            tries += 1;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            match run(&binary, &folder, address).await {
                Ok(process) => return Ok(Self { binary, folder, address, process }),
                Err(ProcessError::Ended { tail, .. }) if tries < START_TRIES && tail.contains("Address already in use") => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it at once: the crash of a fault test.
    pub async fn kill(&mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::warn!(%error, "Redis");
        }
    }

    /// Starts it again on the same port with what it held, killing it first if it runs.
    ///
    /// # Errors
    /// [`RedisError::Start`].
    pub async fn restart(&mut self) -> Result<(), RedisError> {
        self.kill().await;
        self.process = run(&self.binary, &self.folder, self.address).await?;
        Ok(())
    }

    /// The node of LiveKit that holds a room, by its id; `None` for a room that no node holds.
    ///
    /// # Errors
    /// [`RedisError::Connection`], [`RedisError::Answer`].
    pub async fn node_of(&self, room: &str) -> Result<Option<String>, RedisError> {
        Ok(ask(self.address, &format!("HGET room_node_map {room}")).await?.pop())
    }

    /// The rooms that nodes of LiveKit hold, by their names.
    ///
    /// # Errors
    /// [`RedisError::Connection`], [`RedisError::Answer`].
    pub async fn rooms(&self) -> Result<Vec<String>, RedisError> {
        ask(self.address, "HKEYS room_node_map").await
    }

    /// Has a room that nobody has joined yet made at this node of LiveKit.
    ///
    /// # Errors
    /// [`RedisError::Connection`], [`RedisError::Answer`].
    pub async fn place_room(&self, room: &str, node: &str) -> Result<(), RedisError> {
        ask(self.address, &format!("HSET room_node_map {room} {node}")).await.map(drop)
    }

    /// The nodes of LiveKit that have registered, by their ids.
    ///
    /// # Errors
    /// [`RedisError::Connection`], [`RedisError::Answer`].
    pub async fn nodes(&self) -> Result<Vec<String>, RedisError> {
        ask(self.address, "HKEYS nodes").await
    }
}

async fn run(binary: &Path, folder: &Path, address: SocketAddr) -> Result<Process, ProcessError> {
    let mut options = ProcessOptions::new("redis-server", binary, folder.join("redis.log"));
    let (port, folder) = (address.port().to_string(), folder.display().to_string());
    // No snapshots; each command stands in the log of commands before it is answered.
    let settings = [("port", port.as_str()), ("bind", "127.0.0.1"), ("dir", &folder), ("save", ""), ("appendonly", "yes")];
    for (name, value) in settings {
        options = options.argument(format!("--{name}")).argument(value);
    }
    let mut process = Process::spawn(&options)?;
    process.ready("an answer", START_TIMEOUT, async |_| ask(address, "PING").await.is_ok()).await?;
    Ok(process)
}

/// Asks by the inline form of Redis's protocol; the strings of the answer, without those that are null.
async fn ask(address: SocketAddr, command: &str) -> Result<Vec<String>, RedisError> {
    let connection = |source| RedisError::Connection { address, source };
    let unread = || RedisError::Answer { address, command: command.to_owned() };
    let mut stream = TcpStream::connect(address).await.map_err(connection)?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await.map_err(connection)?;
    let answer = timeout(ANSWER_TIMEOUT, answer(BufReader::new(stream))).await;
    answer.map_err(|_| unread())?.map_err(connection)?.ok_or_else(unread)
}

/// One answer: a status or number, a string, or a list of strings; `None` for an error and for what is too long.
async fn answer(mut stream: BufReader<TcpStream>) -> std::io::Result<Option<Vec<String>>> {
    let (mut strings, mut left) = (Vec::new(), 1_usize);
    while left > 0 {
        let mut line = String::new();
        // A line that does not end is cut off by the bound, and then is none.
        (&mut stream).take(ANSWER_MAX as u64).read_line(&mut line).await?;
        let Some((kind, rest)) = line.trim_end().split_at_checked(1) else { return Ok(None) };
        left -= 1;
        match (kind, rest.parse::<i64>()) {
            ("+" | ":", _) | ("$", Ok(-1)) => {}
            ("*", Ok(count)) => left += usize::try_from(count).unwrap_or(0).min(ANSWER_MAX),
            ("$", Ok(length)) => {
                let Some(length) = usize::try_from(length).ok().filter(|length| *length <= ANSWER_MAX) else { return Ok(None) };
                // The string is followed by the end of its line.
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                strings.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(strings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_starts_tells_where_rooms_are_and_finds_everything_after_a_crash() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut redis = Redis::start(folder.path()).await.expect("it is installed");
        assert_eq!(redis.nodes().await.expect("an answer"), [] as [&str; 0]);
        assert_eq!(redis.node_of("room").await.expect("an answer"), None);
        redis.place_room("room", "ND_1").await.expect("taken");
        redis.kill().await;
        assert!(matches!(redis.rooms().await, Err(RedisError::Connection { .. })));
        redis.restart().await.expect("it starts again");
        assert_eq!(redis.rooms().await.expect("an answer"), ["room"]);
        assert_eq!(redis.node_of("room").await.expect("an answer").as_deref(), Some("ND_1"));
    }

    #[tokio::test]
    async fn what_redis_refuses_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let redis = Redis::start(folder.path()).await.expect("it is installed");
        let error = redis.node_of("two words").await.expect_err("too many words");
        assert!(error.to_string().contains("HGET room_node_map two words"), "{error}");
    }
}
