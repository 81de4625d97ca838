//! Recordings as plain WAV files: for demonstrations and development.

use std::path::PathBuf;

use async_trait::async_trait;
use frontdesk_audio::SampleRate;
use frontdesk_audio::wav::{StereoWriter, WavError};
use tokio::task::spawn_blocking;

use super::{RecordingError, RecordingFile, RecordingPart, RecordingVault};

/// A folder of WAV files that anybody with access to the disk can listen to.
#[derive(Debug, Clone)]
pub struct PlainFolder {
    folder: PathBuf,
}

impl PlainFolder {
    /// Writes below `folder`, which is made when it is first needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

#[async_trait]
impl RecordingVault for PlainFolder {
    async fn create(&self, part: &RecordingPart) -> Result<Box<dyn RecordingFile>, RecordingError> {
        let path = self.folder.join(format!("{}.wav", part.file_stem()));
        let rate = SampleRate::new(part.rate_hz).ok_or(WavError::Rate(part.rate_hz))?;
        let file = spawn_blocking(move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let writer = StereoWriter::create(&path, rate)?;
            Ok::<_, RecordingError>(PlainFile { path, writer })
        });
        Ok(Box::new(file.await??))
    }
}

struct PlainFile {
    path: PathBuf,
    writer: StereoWriter,
}

impl RecordingFile for PlainFile {
    fn write(&mut self, left: &[i16], right: &[i16]) -> Result<(), RecordingError> {
        self.writer.write(left, right)?;
        // The file is whole up to here even if the process dies.
        Ok(self.writer.flush()?)
    }

    fn finish(self: Box<Self>) -> Result<String, RecordingError> {
        self.writer.finalize()?;
        Ok(self.path.display().to_string())
    }

    fn discard(self: Box<Self>) -> Result<(), RecordingError> {
        let Self { path, writer } = *self;
        drop(writer);
        Ok(std::fs::remove_file(path)?)
    }
}
