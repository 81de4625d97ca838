//! Rows in files on this machine: for a clinic that has nothing else, and for a look at what the others would get.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::channel::{Channel, Receipt, SendError};
use crate::notice::Notice;
use crate::table::{Row, row};

/// Appends to `appointments.csv`, `messages.csv`, `patients.csv` and `calls.csv` of one folder, which only this program's user can read.
#[derive(Debug, Clone)]
pub struct CsvChannel {
    folder: PathBuf,
}

impl CsvChannel {
    /// The folder is made with the first row.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

#[async_trait]
impl Channel for CsvChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let row = row(notice).ok_or_else(|| SendError::lasting("not_for_this_channel"))?;
        let folder = self.folder.clone();
        let appended = tokio::task::spawn_blocking(move || append(&folder, &row)).await;
        match appended {
            Ok(Ok(())) => Ok(Receipt { provider_id: None, is_delivered: true }),
            // A full disk, a missing right: somebody can mend it.
            _ => Err(SendError::passing("file")),
        }
    }
}

/// A spreadsheet would take such a cell for a formula; an apostrophe tells it not to.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

/// Appends the row unless its key is there, under a lock that other processes respect.
fn append(folder: &Path, row: &Row) -> Result<(), csv::Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(format!("{}.csv", row.table.to_lowercase()));
    let mut file: File = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    file.lock()?;
    let key = row.cells.first().map(String::as_str);
    let mut is_empty = true;
    // A row that was cut short, because the machine went down, has another length and is no reason to stop.
    for record in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&file).into_records() {
        is_empty = false;
        let record = record?;
        if record.get(0) == key && record.len() == row.cells.len() {
            return Ok(());
        }
    }
    let length = file.seek(SeekFrom::End(0))?;
    let ends_in_a_line = length == 0 || last_byte(&file, length)? == b'\n';
    let mut writer = csv::Writer::from_writer(Vec::new());
    if is_empty {
        writer.write_record(row.header)?;
    }
    writer.write_record(row.cells.iter().map(|cell| harmless(cell)))?;
    let mut bytes = if ends_in_a_line { Vec::new() } else { vec![b'\n'] };
    bytes.extend(writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?);
    // One write, so that a reader sees the whole row or nothing of it.
    std::io::Write::write_all(&mut file, &bytes)?;
    file.sync_data()?;
    Ok(())
}

fn last_byte(file: &File, length: u64) -> std::io::Result<u8> {
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut byte, length - 1)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::booked;

    fn rows(folder: &Path) -> Vec<Vec<String>> {
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(folder.join("appointments.csv"));
        reader.unwrap().into_records().map(|record| record.unwrap().iter().map(String::from).collect()).collect()
    }

    #[tokio::test]
    async fn a_row_is_appended_once_and_is_no_formula() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("demo");
        let channel = CsvChannel::new(&folder);
        let mut notice = booked();
        notice.appointment.as_mut().unwrap().name = Some("=HYPERLINK(\"x\"), \"Jane\"".to_owned().into());
        for _ in 0..3 {
            assert!(channel.send(&notice).await.unwrap().is_delivered);
        }
        notice.delivery.key = "another".into();
        channel.send(&notice).await.unwrap();
        let rows = rows(&folder);
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert_eq!((rows[0][0].as_str(), rows[2][0].as_str()), ("key", "another"));
        assert_eq!((rows[1][10].as_str(), rows[1][11].as_str()), ("'=HYPERLINK(\"x\"), \"Jane\"", "'+12025550143"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.join("appointments.csv")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_row_that_was_cut_short_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let channel = CsvChannel::new(folder.path());
        let notice = booked();
        channel.send(&notice).await.unwrap();
        let path = folder.path().join("appointments.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();
        channel.send(&notice).await.unwrap();
        channel.send(&notice).await.unwrap();
        let rows = rows(folder.path());
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert_eq!(rows[2].len(), rows[0].len());
    }
}
