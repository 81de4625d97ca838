//! Where things lie on this machine, and ports that nobody uses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Ranges tried before giving up.
const RANGE_TRIES: usize = 200;
/// UDP ranges are taken from here up to [`RANGE_END`]: below the ephemeral ports of Linux, which begin at 32768.
const RANGE_BEGIN: u16 = 10_000;
const RANGE_END: u16 = 32_000;

/// Why something this machine should have was not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No free port, or the operating system refuses to say.
    #[error("no free port on 127.0.0.1: {0}")]
    Port(#[from] std::io::Error),
    /// Every range that was tried has a port in use.
    #[error("no {ports} UDP ports in a row are free between {RANGE_BEGIN} and {RANGE_END}")]
    Range {
        /// How many were wanted.
        ports: u16,
    },
}

/// The first `relative` that exists in the working directory or one above it: `var/bin/livekit-server` from anywhere in the
/// checkout.
#[must_use]
pub fn find_upward(relative: impl AsRef<Path>) -> Option<PathBuf> {
    let start = std::env::current_dir().ok()?;
    start.ancestors().map(|folder| folder.join(&relative)).find(|path| path.exists())
}

/// The first executable of this name on PATH.
pub(super) fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Ports that were given out: the system may offer one again before its new owner listens there.
static GIVEN_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A TCP port on 127.0.0.1 that was free a moment ago, and whose UDP twin was, too. No port is given out twice by one program.
///
/// # Errors
/// [`FindError::Port`].
pub fn free_port() -> Result<u16, FindError> {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let is_new = || GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && is_new() {
            return Ok(port);
        }
    }
}

/// The first of `ports` UDP ports in a row that were free on 127.0.0.1 a moment ago; even, as RTP wants it. Chosen by chance, so
/// that programs that start at the same moment rarely meet.
///
/// # Errors
/// [`FindError::Range`].
pub fn free_udp_range(ports: u16) -> Result<u16, FindError> {
    let last_begin = RANGE_END.saturating_sub(ports).max(RANGE_BEGIN + 1);
    for _ in 0..RANGE_TRIES {
        let first = rand::random_range(RANGE_BEGIN..last_begin) & !1;
        let held: Vec<_> = (first..first + ports).map_while(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()).collect();
        if held.len() == usize::from(ports) {
            return Ok(first);
        }
    }
    Err(FindError::Range { ports })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_even_and_free() {
        let first = free_udp_range(40).expect("free ports");
        assert_eq!(first % 2, 0);
        assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, first + 39)).is_ok());
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().expect("a free port"))).is_ok());
    }

    #[test]
    fn files_are_found_from_below() {
        let manifest = find_upward("rust-toolchain.toml").expect("the checkout's root lies above the crate");
        assert!(manifest.is_file());
        assert_eq!(find_upward("no/such/file"), None);
        assert!(find_on_path("sh").is_some_and(|shell| shell.is_file()));
    }
}
