//! One stream to a server: opened, and carried until it ends. Every wait is bounded.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::framing::{Decoder, FrameError, Framing};

/// How long opening may take, the resolution of a name and the handshake of TLS included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one datagram may wait for the other side to take it. ICE calls a way dead after as long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the other side may be silent. The way in use is checked every 2 s: this closes what media does not use.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is read at once, in bytes: several datagrams of media.
const PIECE: usize = 4096;

/// Where a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::room) struct Target {
    /// A name, or an address without brackets.
    pub(in crate::room) host: String,
    pub(in crate::room) port: u16,
    pub(in crate::room) tls: bool,
}

/// Why there is no stream (any more).
#[derive(Debug, thiserror::Error)]
pub(in crate::room) enum StreamError {
    /// Nobody listens there, or a firewall says no.
    #[error("it cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// A firewall swallows it, or whoever listens there is stuck.
    #[error("it did not open within {} s", OPEN_TIMEOUT.as_secs())]
    OpenTimeout,
    /// The certificate does not fit, or the server does not speak TLS: its `turn.domain` must be the certificate's.
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("no TLS: the server's name is none: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("the server closed it")]
    Closed,
    #[error("it broke: {0}")]
    Broken(#[source] io::Error),
    #[error("the server took nothing for {} s", WRITE_TIMEOUT.as_secs())]
    Stalled,
    #[error("the server was silent for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("the server sent nonsense: {0}")]
    Nonsense(#[from] FrameError),
}

/// A stream of bytes, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a stream.
pub(super) async fn open(target: &Target, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Stream>, StreamError> {
    timeout(OPEN_TIMEOUT, opened(target, tls)).await.unwrap_or(Err(StreamError::OpenTimeout))
}

async fn opened(target: &Target, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Stream>, StreamError> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(StreamError::Open)?;
    // Each datagram is one of media's, and late if it waits for the next.
    stream.set_nodelay(true).map_err(StreamError::Open)?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let config = match tls {
        Some(config) => config,
        // Reading the system's certificates takes tens of milliseconds, in which no other call may stand still.
        None => tokio::task::spawn_blocking(system_tls).await.map_err(|error| StreamError::Tls(io::Error::other(error)))?,
    };
    let name = ServerName::try_from(target.host.clone())?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(StreamError::Tls)?;
    Ok(Box::new(stream))
}

/// TLS that trusts whom the system trusts, as `wss` does. Without any certificate each handshake fails and says so.
fn system_tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    };
    CONFIG.get_or_init(make).clone()
}

/// What became of a stream.
pub(super) struct Ended {
    pub(super) why: StreamError,
    /// When anything came from the other side last, or was taken by it.
    pub(super) last_used: Instant,
}

/// Sends the first frame and those of the queue, and hands over what comes, until either fails.
pub(super) async fn carry(
    stream: Box<dyn Stream>,
    framing: Framing,
    mut first: Option<Bytes>,
    frames: &mut mpsc::Receiver<Bytes>,
    deliver: impl Fn(Bytes),
) -> Ended {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut last_heard, mut last_sent) = (Instant::now(), Instant::now());
    let read = async {
        let mut decoder = Decoder::new(framing);
        loop {
            decoder.buffer.reserve(PIECE);
            match timeout(SILENCE_MAX, reader.read_buf(&mut decoder.buffer)).await {
                Err(_) => return StreamError::Silent,
                Ok(Err(error)) => return StreamError::Broken(error),
                Ok(Ok(0)) => return StreamError::Closed,
                Ok(Ok(_)) => last_heard = Instant::now(),
            }
            loop {
                match decoder.next() {
                    Ok(Some(datagram)) => deliver(datagram),
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
        }
    };
    let write = async {
        loop {
            let next = match first.take() {
                Some(frame) => Some(frame),
                None => frames.recv().await,
            };
            let Some(frame) = next else { return StreamError::Closed };
            let written = async {
                writer.write_all(&frame).await?;
                writer.flush().await
            };
            match timeout(WRITE_TIMEOUT, written).await {
                Err(_) => return StreamError::Stalled,
                Ok(Err(error)) => return StreamError::Broken(error),
                Ok(Ok(())) => last_sent = Instant::now(),
            }
        }
    };
    let why = tokio::select! {
        why = read => why,
        why = write => why,
    };
    Ended { why, last_used: last_heard.max(last_sent) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn target(port: u16, tls: bool) -> Target {
        Target { host: "127.0.0.1".to_owned(), port, tls }
    }

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn a_port_that_refuses_says_so_at_once() {
        let (listener, port) = listener().await;
        drop(listener);
        let error = open(&target(port, false), None).await.err().unwrap();
        assert!(matches!(&error, StreamError::Open(why) if why.kind() == io::ErrorKind::ConnectionRefused), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tls_handshake_that_nobody_answers_is_given_up() {
        let _provider = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (_listener, port) = listener().await;
        let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let begun = Instant::now();
        let error = open(&target(port, true), Some(Arc::new(config))).await.err().unwrap();
        assert!(matches!(error, StreamError::OpenTimeout), "{error}");
        assert_eq!(begun.elapsed().as_secs(), OPEN_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_for_each_of_its_reasons() {
        let ended = async |serve: fn(tokio::io::DuplexStream) -> Option<tokio::io::DuplexStream>, frames: usize| {
            let (near, far) = tokio::io::duplex(64);
            let _kept = serve(far);
            let (sender, mut queue) = mpsc::channel(64);
            for _ in 0..frames {
                sender.try_send(Framing::IceTcp.frame(&[0; 60]).unwrap()).unwrap();
            }
            carry(Box::new(near), Framing::IceTcp, None, &mut queue, |_| ()).await.why
        };
        assert!(matches!(ended(Some, 0).await, StreamError::Silent));
        assert!(matches!(ended(Some, 8).await, StreamError::Stalled), "nobody reads");
        assert!(matches!(ended(|_| None, 0).await, StreamError::Closed));
        assert!(matches!(ended(|_| None, 1).await, StreamError::Closed | StreamError::Broken(_)));
    }
}
