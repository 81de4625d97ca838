//! A sealed recording as a WAV file, for whoever has a purpose.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use frontdesk_audio::SampleRate;
use frontdesk_audio::wav::StereoWriter;
use frontdesk_clinic::recordings::{self, Exported, Recording};
use frontdesk_clinic::records::Purpose;

use super::{CommandError, operator};
use crate::config::Config;

/// Silence that is written at once.
const BLOCK: usize = 16_000;

/// Writes the recording of a call to a new file that only its owner may read. The audit log keeps who wanted it and why.
///
/// # Errors
/// There is no such recording on this machine, its call was erased, or the disk refuses.
pub(super) async fn export(
    desk: &operator::Desk,
    config: &Config,
    call_id: &str,
    (purpose, output): (&Purpose, &Path),
) -> Result<(), CommandError> {
    let folder = config.calls.recordings_dir.as_deref().ok_or_else(|| {
        CommandError::new("calls.recordings_dir (FRONTDESK_RECORDINGS_DIR) is empty: on which machine are the recordings?")
    })?;
    let found = recordings::open(&desk.store, Path::new(folder), call_id, purpose).await.map_err(CommandError::new)?;
    let found = found.ok_or_else(|| CommandError::new(format!("{call_id}: no recording of it in {folder}")))?;
    let path = output.to_owned();
    let written = tokio::task::spawn_blocking(move || write(found, &path)).await.map_err(CommandError::new)?;
    let (seconds, is_cut_off) = written.map_err(|error| CommandError::new(format!("{}: {error}", output.display())))?;
    println!("{}: {seconds:.1} s, caller left, agent right, not encrypted: delete it when it has served", output.display());
    if is_cut_off {
        println!("its end is missing: the worker died, or the file was cut off");
    }
    Ok(())
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Seconds written, and whether a part had no end.
fn write(found: Exported, path: &Path) -> Result<(f64, bool), Failure> {
    let rate = found.parts.first().and_then(|part| SampleRate::new(part.rate_hz)).ok_or("a recording of an impossible rate")?;
    // Made with its permissions before anything is in it.
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = write_parts(found, rate, path);
    if written.is_err() {
        std::fs::remove_file(path)?;
    }
    written
}

fn write_parts(found: Exported, rate: SampleRate, path: &Path) -> Result<(f64, bool), Failure> {
    let mut writer = StereoWriter::create(path, rate)?;
    let mut is_cut_off = false;
    for mut part in found.parts {
        let begins = rate.samples_in(std::time::Duration::from_millis(part.begins_ms)) as u64;
        while writer.frames() < begins {
            let missing = usize::try_from(begins - writer.frames()).unwrap_or(BLOCK).min(BLOCK);
            writer.write(&vec![0; missing], &[])?;
        }
        // Two workers may have recorded the same seconds, while the first did not know yet that it had lost the call.
        let mut skipped = usize::try_from(writer.frames() - begins)?;
        is_cut_off |= write_part(&mut writer, &mut part, &mut skipped)?;
    }
    let seconds = writer.frames() as f64 / f64::from(rate.hz());
    writer.finalize()?;
    Ok((seconds, is_cut_off))
}

fn write_part(writer: &mut StereoWriter, part: &mut Recording, skipped: &mut usize) -> Result<bool, Failure> {
    while let Some(pcm) = part.audio.next_segment()? {
        let sample = |bytes: &[u8]| i16::from_le_bytes([bytes[0], bytes[1]]);
        let skip = (*skipped).min(pcm.len() / 4);
        *skipped -= skip;
        let frames = || pcm.chunks_exact(4).skip(skip);
        let left: Vec<i16> = frames().map(|frame| sample(&frame[..2])).collect();
        let right: Vec<i16> = frames().map(|frame| sample(&frame[2..])).collect();
        writer.write(&left, &right)?;
    }
    Ok(part.audio.is_cut_off())
}
