//! The file of a sealed recording: a header in the clear (ids and times), then the audio in segments under the STREAM construction
//! (Hoang, Reyhanitabar, Rogaway and Vizár, 2015) with AES-256-GCM, which notices segments that are altered, moved, left out, or cut
//! off behind.
//!
//! ```text
//! magic (8 bytes) · length of the header (4, big-endian) · header, JSON
//! segments: 0 for one that others follow, 1 for the last · length (4, big-endian) · ciphertext and tag
//! ```
//!
//! Everything before the first segment is authenticated with each. A file whose writer died has no last segment; what is there opens.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aes_gcm::aead::Payload;
use aes_gcm::aead::stream::{DecryptorBE32, EncryptorBE32};
use aes_gcm::{Aes256Gcm, Key};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::ids::TenantId;

const MAGIC: &[u8; 8] = b"FDREC\0\0\x01";

/// AES-GCM's 12 bytes less STREAM's counter (4) and its mark of the last segment (1).
const NONCE_BYTES: usize = 7;

/// Plain bytes of a segment: 4 s of audio.
const SEGMENT_BYTES: usize = 256 * 1024;

const TAG_BYTES: usize = 16;

/// Longer headers are none.
const HEADER_BYTES_MAX: u32 = 4096;

/// Why a sealed recording cannot be written or read. Holds nothing of what is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The disk refused.
    #[error("the file cannot be read or written: {0}")]
    Disk(#[from] io::Error),
    /// Not a sealed recording, or of another release.
    #[error("not a sealed recording of this release")]
    Malformed,
    /// Another key, or altered.
    #[error("the recording does not authenticate: another key, or altered")]
    Rejected,
    /// The cipher has no counters left: after 2^32 segments.
    #[error("the recording is too long to seal")]
    TooLong,
}

/// What a file says of itself, in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) tenant_id: TenantId,
    /// Pseudonymous.
    pub(super) call_id: String,
    /// Where its first sample belongs, ms since the answer.
    pub(super) begins_ms: u64,
    pub(super) rate_hz: u32,
    /// The file's key, sealed with the call's; base64.
    pub(super) key: String,
    /// STREAM's part of the nonce; base64.
    pub(super) nonce: String,
}

impl Header {
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        Ok(read_header(&mut File::open(path)?)?.0)
    }
}

/// The header, and all bytes up to its end.
fn read_header(file: &mut impl Read) -> Result<(Header, Vec<u8>), FileError> {
    let mut start = [0; 12];
    file.read_exact(&mut start).map_err(|_| FileError::Malformed)?;
    let (magic, length) = start.split_at(MAGIC.len());
    let length = u32::from_be_bytes(length.try_into().map_err(|_| FileError::Malformed)?);
    if magic != MAGIC || length > HEADER_BYTES_MAX {
        return Err(FileError::Malformed);
    }
    let mut json = vec![0; length as usize];
    file.read_exact(&mut json).map_err(|_| FileError::Malformed)?;
    let header = serde_json::from_slice(&json).map_err(|_| FileError::Malformed)?;
    Ok((header, [start.as_slice(), &json].concat()))
}

/// A file that is being written.
pub(super) struct Writer {
    file: File,
    /// What every segment is authenticated with.
    before: Vec<u8>,
    cipher: EncryptorBE32<Aes256Gcm>,
}

impl Writer {
    /// A new file that only its owner may read; refuses to write over another. The header's nonce is made here.
    pub(super) fn create(path: &Path, mut header: Header, secret: &[u8; 32]) -> Result<Self, FileError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        header.nonce = STANDARD.encode(nonce);
        let json = serde_json::to_vec(&header).map_err(|_| FileError::Malformed)?;
        let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEADER_BYTES_MAX).ok_or(FileError::Malformed)?;
        let before = [MAGIC.as_slice(), &length.to_be_bytes(), &json].concat();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&before)?;
        let cipher = EncryptorBE32::new(Key::<Aes256Gcm>::from_slice(secret), (&nonce).into());
        Ok(Self { file, before, cipher })
    }

    /// Appends plain bytes, sealed; they can be opened even if nothing follows.
    pub(super) fn write(&mut self, plain: &[u8]) -> Result<(), FileError> {
        for segment in plain.chunks(SEGMENT_BYTES) {
            let sealed = self.cipher.encrypt_next(Payload { msg: segment, aad: &self.before }).map_err(|_| FileError::TooLong)?;
            put(&mut self.file, 0, &sealed)?;
        }
        Ok(())
    }

    /// Marks the end, by which a reader sees that nothing was cut off.
    pub(super) fn finish(mut self) -> Result<(), FileError> {
        let sealed = self.cipher.encrypt_last(Payload { msg: &[], aad: &self.before }).map_err(|_| FileError::TooLong)?;
        put(&mut self.file, 1, &sealed)?;
        Ok(self.file.sync_data()?)
    }
}

fn put(file: &mut File, kind: u8, sealed: &[u8]) -> Result<(), FileError> {
    let length = u32::try_from(sealed.len()).map_err(|_| FileError::TooLong)?;
    // In one piece, so that a process that dies leaves whole segments, or one that is seen to be cut off.
    let mut bytes = Vec::with_capacity(5 + sealed.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(sealed);
    Ok(file.write_all(&bytes)?)
}

/// A sealed recording that is being read: interleaved samples of 16 bits, little-endian, caller first.
pub struct Reader {
    file: BufReader<File>,
    before: Vec<u8>,
    /// Gone after the last segment.
    cipher: Option<DecryptorBE32<Aes256Gcm>>,
    is_cut_off: bool,
}

impl Reader {
    pub(super) fn open(path: &Path, secret: &[u8; 32]) -> Result<Self, FileError> {
        let mut file = BufReader::new(File::open(path)?);
        let (header, before) = read_header(&mut file)?;
        let nonce: [u8; NONCE_BYTES] =
            STANDARD.decode(&header.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or(FileError::Malformed)?;
        let cipher = DecryptorBE32::new(Key::<Aes256Gcm>::from_slice(secret), (&nonce).into());
        Ok(Self { file, before, cipher: Some(cipher), is_cut_off: false })
    }

    /// The next plain bytes, `None` at the end.
    pub fn next_segment(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let Some(mut cipher) = self.cipher.take() else { return Ok(None) };
        let Some((kind, sealed)) = self.take()? else {
            self.is_cut_off = true;
            return Ok(None);
        };
        let payload = Payload { msg: &sealed, aad: &self.before };
        if kind == 1 {
            let last = cipher.decrypt_last(payload).map_err(|_| FileError::Rejected)?;
            return Ok(Some(last).filter(|last| !last.is_empty()));
        }
        let plain = cipher.decrypt_next(payload).map_err(|_| FileError::Rejected)?;
        self.cipher = Some(cipher);
        Ok(Some(plain))
    }

    /// Whether the end was missing, because the writer died or something was cut off. Known once all was read.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Kind and ciphertext of the next segment; `None` if the file ends within it.
    fn take(&mut self) -> Result<Option<(u8, Vec<u8>)>, FileError> {
        let mut start = [0; 5];
        if !self.fill(&mut start)? {
            return Ok(None);
        }
        let length = u32::from_be_bytes([start[1], start[2], start[3], start[4]]) as usize;
        if start[0] > 1 || !(TAG_BYTES..=SEGMENT_BYTES + TAG_BYTES).contains(&length) {
            return Err(FileError::Malformed);
        }
        let mut sealed = vec![0; length];
        Ok(self.fill(&mut sealed)?.then_some((start[0], sealed)))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, FileError> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("is_cut_off", &self.is_cut_off).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const SECRET: [u8; 32] = [5; 32];

    /// A folder of this test's own, gone with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("frontdesk-recordings-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn header() -> Header {
        Header {
            tenant_id: TenantId::new("demo").unwrap(),
            call_id: "one".into(),
            begins_ms: 0,
            rate_hz: 16_000,
            key: "x".into(),
            nonce: String::new(),
        }
    }

    /// Three writes, the second longer than a segment.
    fn write(path: &Path) -> Vec<u8> {
        let mut writer = Writer::create(path, header(), &SECRET).unwrap();
        let parts = [vec![1; 1000], vec![2; SEGMENT_BYTES + 10], vec![3; 4]];
        for part in &parts {
            writer.write(part).unwrap();
        }
        writer.finish().unwrap();
        parts.concat()
    }

    fn read(path: &Path, secret: &[u8; 32]) -> Result<(Vec<u8>, bool), FileError> {
        let mut reader = Reader::open(path, secret)?;
        let mut plain = Vec::new();
        while let Some(segment) = reader.next_segment()? {
            plain.extend(segment);
        }
        Ok((plain, reader.is_cut_off()))
    }

    #[test]
    fn what_was_written_is_read_and_lies_nowhere_in_the_clear() {
        let folder = Folder::new();
        let path = folder.0.join("a.sealed");
        let plain = write(&path);
        assert_eq!(read(&path, &SECRET).unwrap(), (plain, false));
        let bytes = std::fs::read(&path).unwrap();
        for byte in 1..=3 {
            assert!(!bytes.windows(16).any(|window| window == [byte; 16]), "a run of {byte}");
        }
        assert!(matches!(read(&path, &[6; 32]), Err(FileError::Rejected)));
        assert_eq!(Header::read(&path).unwrap(), Header { nonce: Header::read(&path).unwrap().nonce, ..header() });
        // Never over another recording.
        assert!(matches!(Writer::create(&path, header(), &SECRET), Err(FileError::Disk(_))));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn whatever_is_altered_is_noticed() {
        let folder = Folder::new();
        let path = folder.0.join("a.sealed");
        write(&path);
        let bytes = std::fs::read(&path).unwrap();
        let first = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let altered = folder.0.join("b.sealed");
        // In the header, in a segment's mark and length, in ciphertext and tag, and in the last segment.
        for position in [0, 11, 20, first, first + 4, first + 5, first + 900, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[position] ^= 1;
            std::fs::write(&altered, other).unwrap();
            let outcome = read(&altered, &SECRET);
            // A length that grew runs into the segments behind it.
            assert!(outcome.is_err(), "byte {position}: {outcome:?}");
        }
        // Two segments of one length in the other order.
        let segment = 5 + 1000 + TAG_BYTES;
        let mut twice = Writer::create(&folder.0.join("c.sealed"), header(), &SECRET).unwrap();
        twice.write(&[1; 1000]).unwrap();
        twice.write(&[2; 1000]).unwrap();
        twice.finish().unwrap();
        let mut moved = std::fs::read(folder.0.join("c.sealed")).unwrap();
        let (before, after) = moved[first..].split_at_mut(segment);
        before.swap_with_slice(&mut after[..segment]);
        std::fs::write(&altered, moved).unwrap();
        assert!(matches!(read(&altered, &SECRET), Err(FileError::Rejected)));
    }

    #[test]
    fn a_file_whose_writer_died_opens_as_far_as_it_goes_and_says_so() {
        let folder = Folder::new();
        let path = folder.0.join("a.sealed");
        let plain = write(&path);
        let bytes = std::fs::read(&path).unwrap();
        let last = 5 + TAG_BYTES;
        let cut = folder.0.join("b.sealed");
        for (bytes, left) in [(&bytes[..bytes.len() - last], plain.len()), (&bytes[..bytes.len() - last - 1], plain.len() - 4)] {
            std::fs::write(&cut, bytes).unwrap();
            assert_eq!(read(&cut, &SECRET).unwrap(), (plain[..left].to_vec(), true));
        }
    }
}
