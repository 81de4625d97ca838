//! Recordings: sealed on the disk, opened for a purpose, gone with their call; and none without consent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use frontdesk_agent::recording::{RecordingPart, RecordingVault};
use frontdesk_agent::{Consent, RecordingConsent};
use frontdesk_clinic::config::{ConsentBy, RecordingConfig};
use frontdesk_clinic::recordings::{SealedRecordings, Swept, open, sweep, sweep_plain};
use frontdesk_clinic::records::{Held, Purpose, erase_patient, find_patients, set_hold};
use frontdesk_clinic::tools::recording_tool;
use frontdesk_clinic::{ClinicStore, Owner, PhoneNumber, TenantId};
use serde_json::json;

use super::records::{call, chain_is_sound, years_pass};
use super::support::{TestDatabase, clinic};
use super::tools::Call;

/// A folder of this test's own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("frontdesk-recordings-{}", uuid::Uuid::new_v4())))
    }

    /// How many files lie below it.
    fn count(&self) -> usize {
        std::fs::read_dir(self.0.join("demo")).map_or(0, Iterator::count)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn purpose() -> Purpose {
    "complaint 12".parse().unwrap()
}

fn part(call_id: &str, begins_ms: u64) -> RecordingPart {
    RecordingPart { call_id: call_id.into(), begins_ms, rate_hz: 16_000 }
}

/// Records half a second in which both sides say one number over and over.
async fn record(clinic: &ClinicStore, folder: &Path, part: &RecordingPart, (caller, agent): (i16, i16)) {
    let mut file = SealedRecordings::new(clinic.clone(), folder).create(part).await.unwrap();
    file.write(&[caller; 8_000], &[agent; 8_000]).unwrap();
    file.finish().unwrap();
}

/// The samples of each part of a call's recording: (where it begins, caller and agent).
async fn heard(clinic: &ClinicStore, folder: &Path, call_id: &str) -> Vec<(u64, Vec<[i16; 2]>)> {
    let exported = open(clinic, folder, call_id, &purpose()).await.unwrap().expect("a recording");
    let mut parts = Vec::new();
    for mut part in exported.parts {
        let mut samples = Vec::new();
        while let Some(pcm) = part.audio.next_segment().unwrap() {
            samples.extend(pcm.chunks_exact(4).map(|f| [i16::from_le_bytes([f[0], f[1]]), i16::from_le_bytes([f[2], f[3]])]));
        }
        assert!(!part.audio.is_cut_off());
        parts.push((part.begins_ms, samples));
    }
    parts
}

#[tokio::test]
async fn a_recording_lies_sealed_and_opens_for_a_purpose_until_its_call_is_erased() {
    let (test, folder) = (TestDatabase::new().await, Folder::new());
    let (clinic_demo, database) = (test.clinic(), test.database());
    let demo = TenantId::new("demo").unwrap();
    call(&clinic_demo, "one", 1, "2026-12-01T09:00").await;
    call(&clinic_demo, "other", 2, "2026-12-01T09:30").await;
    record(&clinic_demo, &folder.0, &part("one", 0), (0x4142, 0x4344)).await;
    // Another worker took the call over, and a third began it anew.
    record(&clinic_demo, &folder.0, &part("one", 90_000), (5, 6)).await;
    record(&clinic_demo, &folder.0, &part("one", 0), (7, 8)).await;
    record(&clinic_demo, &folder.0, &part("other", 0), (9, 10)).await;
    assert_eq!(folder.count(), 4);
    for entry in std::fs::read_dir(folder.0.join("demo")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(bytes.len() > 32_000 && !bytes.windows(8).any(|window| window == b"BADCBADC"), "nothing lies in the clear");
    }

    let parts = heard(&clinic_demo, &folder.0, "one").await;
    assert_eq!(parts.iter().map(|(begins, _)| *begins).collect::<Vec<_>>(), [0, 0, 90_000]);
    assert!(parts.contains(&(0, vec![[0x4142, 0x4344]; 8_000])) && parts.contains(&(90_000, vec![[5, 6]; 8_000])));
    let read = "SELECT count(*) FROM audit_events WHERE action = 'recording.read' AND call_id = 'one' AND purpose = 'complaint 12'";
    assert_eq!(test.count(read).await, 1);
    assert!(open(&clinic_demo, &folder.0, "none", &purpose()).await.unwrap().is_none());
    // Another clinic finds nothing, even with the file under its own name.
    let other = clinic(test.database(), "other");
    std::fs::create_dir_all(folder.0.join("other")).unwrap();
    std::fs::copy(folder.0.join("demo/one.sealed"), folder.0.join("other/one.sealed")).unwrap();
    assert!(open(&other, &folder.0, "one", &purpose()).await.unwrap().is_none());

    let plain = folder.0.join("plain");
    std::fs::create_dir_all(&plain).unwrap();
    for name in ["one.json", "one.wav", "one-from-9s.wav", "other.json", "one.txt"] {
        std::fs::write(plain.join(name), "x").unwrap();
    }
    assert_eq!(sweep(&database, &demo, &folder.0).await.unwrap(), Swept { removed: 0, kept: 4 }, "nothing was erased yet");

    let found = find_patients(&clinic_demo, &PhoneNumber::parse("+12025550001", "1").unwrap(), None).await.unwrap();
    years_pass(&test, 1).await;
    let mut owner = Owner::connect(&test.url, "cli:test").await.unwrap();
    set_hold(&mut owner, &demo, &Held::Call("other".into())).await.unwrap();
    erase_patient(&mut owner, &demo, found[0].id, None).await.unwrap();
    let gone = open(&clinic_demo, &folder.0, "one", &purpose()).await.unwrap_err().to_string();
    assert!(gone.contains("may have been erased"), "{gone}");
    assert_eq!(sweep(&database, &demo, &folder.0).await.unwrap(), Swept { removed: 3, kept: 1 });
    assert_eq!(sweep(&database, &demo, &folder.0).await.unwrap(), Swept { removed: 0, kept: 1 });
    assert_eq!(sweep_plain(&database, &demo, &plain).await.unwrap(), Swept { removed: 3, kept: 1 });
    assert!(plain.join("other.json").exists() && plain.join("one.txt").exists());
    assert_eq!(heard(&clinic_demo, &folder.0, "other").await, [(0, vec![[9, 10]; 8_000])]);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'recording.removed' AND call_id = 'one'").await, 6);
    chain_is_sound(&test).await;
}

#[tokio::test]
async fn a_recording_without_its_key_is_none() {
    let (test, folder) = (TestDatabase::new().await, Folder::new());
    let database = test.database();
    let vault = SealedRecordings::new(clinic(database.clone(), "demo"), &folder.0);
    database.close().await;
    let error = vault.create(&part("one", 0)).await.err().expect("no key can be had").to_string();
    assert!(error.contains("cannot be sealed"), "{error}");
    assert_eq!(folder.count(), 0);
}

#[tokio::test]
async fn what_the_caller_said_to_it_is_noted_and_stays_when_the_call_is_taken_over() {
    let (test, folder) = (TestDatabase::new().await, Folder::new());
    let clinic = test.clinic();
    let config = |consent| RecordingConfig { consent, notice: Some("May we record this call?".into()) };
    let (asks, tells) = (config(ConsentBy::Ask), config(ConsentBy::Notice));
    for (call_id, answers, expected) in [
        ("silent", vec![], (Consent::Awaited, Consent::Given)),
        ("yes", vec![true], (Consent::Given, Consent::Given)),
        ("no", vec![false], (Consent::Refused, Consent::Refused)),
        ("yes and no", vec![true, false], (Consent::Refused, Consent::Refused)),
        ("no and yes", vec![false, true], (Consent::Refused, Consent::Refused)),
    ] {
        let consent = RecordingConsent::new(asks.consent_at_first());
        let tool = recording_tool(&clinic, &consent);
        for agrees in answers {
            let result = tool.run(&Call::at(&clinic, call_id).context, json!({"agrees": agrees})).await.unwrap();
            assert_eq!(result, json!({"recording": consent.now() == Consent::Given}));
        }
        assert_eq!(consent.now(), expected.0, "{call_id}");
        let later = [&asks, &tells].map(|config| clinic.recording_consent_of(call_id, config));
        let [asked, told] = later;
        assert_eq!((asked.await.unwrap(), told.await.unwrap()), expected, "{call_id}, by another worker");
    }
    // A refusal takes away what there is at once, also what an earlier worker has recorded.
    record(&clinic, &folder.0, &part("no", 0), (1, 2)).await;
    record(&clinic, &folder.0, &part("yes", 0), (1, 2)).await;
    let file = SealedRecordings::new(clinic.clone(), &folder.0).create(&part("no", 9_000)).await.unwrap();
    assert_eq!(folder.count(), 3);
    file.discard().unwrap();
    assert_eq!(folder.count(), 1);
    // A yes that cannot be noted is none; a no is one all the same.
    test.database().close().await;
    let lost = ClinicStore::new(closed(&test).await, super::support::keys(), TenantId::new("demo").unwrap());
    for (agrees, expected) in [(true, Consent::Awaited), (false, Consent::Refused)] {
        let consent = RecordingConsent::new(Consent::Awaited);
        let tool: Arc<_> = recording_tool(&lost, &consent);
        assert!(tool.run(&Call::at(&lost, "x").context, json!({"agrees": agrees})).await.is_err());
        assert_eq!(consent.now(), expected);
    }
}

async fn closed(test: &TestDatabase) -> frontdesk_clinic::Database {
    let database = test.database();
    database.close().await;
    database
}
