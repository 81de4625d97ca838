//! A mail server (RFC 5321), without TLS: it takes everything, and keeps one of several mails with the same `Message-ID`.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Fault, Faults, Server, locked};

/// Largest mail, in bytes.
const MAIL_BYTES_MAX: usize = 1 << 20;

/// A mail that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Header and body as they came.
    pub text: String,
}

impl Mail {
    /// A header's value, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        head.lines()
            .find_map(|line| line.split_once(": ").filter(|(field, _)| field.eq_ignore_ascii_case(name)))
            .map(|(_, value)| value.into())
    }
}

#[derive(Debug, Default)]
struct Shared {
    faults: Faults,
    received: Mutex<Vec<Mail>>,
}

/// The server.
#[derive(Debug)]
pub struct MailServer {
    server: Server,
    shared: Arc<Shared>,
}

impl MailServer {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // A client that goes away ends its session, and nothing else.
                sessions.spawn(async move { drop(session(stream, &shared).await) });
            }
        });
        Ok(Self { server: Server { address, task }, shared })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.server.address)
    }

    /// Fails so, one fault a mail, after those that are planned already.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.plan(faults);
    }

    /// Waits until a mail hangs.
    pub async fn hung(&self) {
        self.shared.faults.hung.notified().await;
    }

    /// Every mail that was taken, repetitions included.
    #[must_use]
    pub fn received(&self) -> Vec<Mail> {
        locked(&self.shared.received).clone()
    }

    /// What lies in the mailbox: the first of several with the same `Message-ID`.
    #[must_use]
    pub fn inbox(&self) -> Vec<Mail> {
        let mut kept: Vec<Mail> = Vec::new();
        for mail in self.received() {
            if !kept.iter().any(|other| other.header("Message-ID") == mail.header("Message-ID")) {
                kept.push(mail);
            }
        }
        kept
    }
}

async fn session(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut mail = Mail { from: String::new(), to: Vec::new(), text: String::new() };
    stream.write_all(b"220 mail.example ESMTP\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let address = || line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address.to_owned());
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8".into(),
            "MAIL" => {
                mail = Mail { from: address().unwrap_or_default(), to: Vec::new(), text: String::new() };
                "250 ok".into()
            }
            "RCPT" => {
                mail.to.extend(address());
                "250 ok".into()
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                mail.text = data(&mut stream).await?;
                judge(shared, mail.clone()).await
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            "RSET" | "NOOP" => "250 ok".into(),
            _ => "502 not here".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

/// Lines until one that is a single dot; dots that lead a line were doubled (RFC 5321 section 4.5.2).
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || text.len() > MAIL_BYTES_MAX {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

async fn judge(shared: &Shared, mail: Mail) -> String {
    let keep = || locked(&shared.received).push(mail);
    match shared.faults.next() {
        None => keep(),
        Some(Fault::Status(code)) => return format!("{code} not now"),
        Some(Fault::StatusAfter(code)) => {
            keep();
            return format!("{code} not now");
        }
        Some(Fault::Hang) => return shared.faults.hang().await,
        Some(Fault::HangAfter) => {
            keep();
            return shared.faults.hang().await;
        }
    }
    "250 taken".into()
}
