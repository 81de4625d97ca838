//! What callers say, and who they are, stands in no log.

use frontdesk_agent::CallRecord;
use frontdesk_conversation::Speaker;

use crate::booking::{CALLER, example};
use crate::{clinic, run};

/// So many words in a row betray what was said.
const WORDS: usize = 4;

/// A log line in lower case, its words separated by single spaces.
fn plain(text: &str) -> String {
    let letters = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect::<String>();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A log line without what may stand between the digits of a number.
fn digits_joined(text: &str) -> String {
    text.chars().filter(|c| ![' ', '-', '.', '(', ')', '/'].contains(c)).collect()
}

/// Every row of some words of a text.
fn rows(text: &str) -> Vec<String> {
    let plain = plain(text);
    let words: Vec<&str> = plain.split(' ').collect();
    words.windows(WORDS).map(|row| row.join(" ")).collect()
}

/// What must not be logged: words of the transcript, names, numbers spoken and written.
fn secrets(record: &CallRecord) -> Vec<String> {
    let lines = record.transcript.iter().filter(|line| line.speaker == Speaker::Caller || !line.text.contains(clinic::GREETING));
    let mut secrets: Vec<String> = lines.flat_map(|line| rows(&line.text)).collect();
    secrets.extend(CALLER.name.split(' ').map(str::to_lowercase));
    secrets.extend(rows(CALLER.number));
    secrets
}

#[test]
fn no_log_betrays_a_caller() {
    run(async {
        let example = example().await;
        let secrets = secrets(&example.record);
        assert!(secrets.len() > 60, "the transcript is there: {secrets:?}");
        // As told in the call, as he was seen to call from, and as E.164.
        let numbers = [CALLER.digits, &example.from[2..]];
        for (log, name) in example.logs.iter().zip(["bridge", "worker"]) {
            for line in log.lines() {
                let (words, digits) = (format!(" {} ", plain(line)), digits_joined(line));
                let betrayed = secrets.iter().find(|secret| words.contains(&format!(" {secret} ")));
                assert_eq!(betrayed, None, "{name}: {line}");
                let betrayed = numbers.iter().find(|number| digits.contains(*number));
                assert_eq!(betrayed, None, "{name}: {line}");
            }
        }
        let [bridge, worker] = &example.logs;
        assert!(bridge.contains("DEBUG") && worker.contains("DEBUG"), "the logs were verbose");
    });
}

#[test]
fn a_logged_secret_would_be_found() {
    assert_eq!(plain("{\"text\":\"My  name, is Grace-Hopper.\"}"), "text my name is grace hopper");
    assert_eq!(digits_joined("(555) 013-4567"), "5550134567");
    assert_eq!(rows("Yes, that is right now."), ["yes that is right", "that is right now"]);
}
