//! Tests of the order book: budget, joining, sharing out of audio, clearing.

use super::super::budget::{LIMIT, WINDOW};
use super::*;
use std::time::Duration;

const HZ: u32 = 8_000;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn flushes(orders: &[Order]) -> usize {
    orders.iter().filter(|order| **order == Order::Flush).count()
}

fn finished(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| **outcome == Outcome::Finished).count()
}

/// One whole utterance: asked for, spoken for `ms`, finished.
fn say(book: &mut Utterances, now: Duration, text: &str, ms: usize) {
    assert_eq!(book.speak(text.into()), Accepted::Queued);
    assert!(!book.poll(now).is_empty(), "sent at once");
    book.on_audio(now, &vec![1; HZ as usize / 1_000 * ms]);
    assert_eq!(finished(&book.on_flushed()), 1);
}

#[test]
fn an_utterance_is_sent_and_flushed_at_once() {
    let mut book = Utterances::new(HZ);
    book.speak("Good morning.".into());
    book.speak("How can I help?".into());
    let orders = book.poll(at(0));
    assert_eq!(orders, [Order::Speak("Good morning.".into()), Order::Flush, Order::Speak("How can I help?".into()), Order::Flush]);
    assert!(book.is_busy() && !book.has_begun());
    assert_eq!(book.on_audio(at(100), &[1, 2]), [Outcome::Audio(vec![1, 2])]);
    assert!(book.has_begun());
    assert_eq!(book.on_flushed(), [Outcome::Finished]);
    assert_eq!(book.on_audio(at(100), &[3]), [Outcome::Audio(vec![3])]);
    assert_eq!(book.on_flushed(), [Outcome::Finished]);
    assert!(!book.is_busy());
    assert_eq!(book.on_flushed(), [], "a stray answer finishes nothing");
}

#[test]
fn speech_that_may_never_be_wanted_leaves_five_flushes_for_what_is() {
    let mut book = Utterances::new(HZ);
    let from = book.ahead_from_ms();
    for n in 0..15 {
        assert_eq!(from.load(Ordering::Relaxed), 0, "{n} are used up");
        say(&mut book, at(n * 3_000), "One two three four.", 1_000);
    }
    say(&mut book, at(45_000), "One two three four.", 1_000);
    let first_leaves = u64::try_from(WINDOW.as_millis()).unwrap();
    assert_eq!(from.load(Ordering::Relaxed), first_leaves, "time alone brings it back, nothing has to be said for that");
}

#[test]
fn with_little_budget_left_utterances_are_joined_while_the_listener_has_audio() {
    let mut book = Utterances::new(HZ);
    for n in 0..10 {
        say(&mut book, at(n * 10), "One two three four.", 1_000);
    }
    // About ten seconds lie ahead of the listener, ten flushes are left: now it joins.
    book.speak("First clause,".into());
    book.speak("second clause,".into());
    assert_eq!(book.poll(at(100)), []);
    let wake = book.deadline(at(100)).expect("something waits");
    assert_eq!(wake, at(10_000 - 1_200));
    book.speak("third.".into());
    let orders = book.poll(wake);
    assert_eq!(flushes(&orders), 1);
    assert_eq!(orders.len(), 4);
    assert_eq!(orders[0], Order::Speak("First clause, ".into()));
    // Nineteen characters took 8,000 samples, so thirteen take about 5,474.
    let outcomes = book.on_audio(wake, &vec![7; 6_000]);
    assert_eq!(outcomes, [Outcome::Audio(vec![7; 5_473]), Outcome::Finished, Outcome::Audio(vec![7; 527])]);
    let rest = book.on_audio(wake, &vec![7; 20_000]);
    assert_eq!(finished(&rest), 1);
    assert_eq!(finished(&book.on_flushed()), 1, "the last utterance takes what is left");
}

#[test]
fn who_talks_over_the_agent_is_answered_although_much_was_still_to_be_heard() {
    let mut book = Utterances::new(HZ);
    for n in 0..10 {
        say(&mut book, at(n * 10), "One two three four.", 1_000);
    }
    book.speak("The answer.".into());
    assert_eq!(book.poll(at(100)), []);
    book.cut_off(at(200));
    assert_eq!(book.poll(at(200)), [Order::Speak("The answer.".into()), Order::Flush]);
}

#[test]
fn joined_utterances_all_finish_even_if_the_estimate_was_too_long() {
    let mut book = Utterances::new(HZ);
    for n in 0..10 {
        say(&mut book, at(n), "Hello there.", 500);
    }
    book.speak("First.".into());
    book.speak("Second.".into());
    book.speak("…".into());
    book.poll(at(60_000));
    assert_eq!(finished(&book.on_audio(at(60_000), &[1; 10])), 0);
    assert_eq!(finished(&book.on_flushed()), 3);
}

#[test]
fn never_more_than_twenty_flushes_in_a_minute() {
    let mut book = Utterances::new(HZ);
    let mut sent: Vec<Duration> = Vec::new();
    let mut asked = 0;
    let mut done = 0;
    for tick in 0..30_000 {
        let now = at(tick * 10);
        if tick % 50 == 0 && tick < 20_000 {
            assert_eq!(book.speak("A clause of speech.".into()), Accepted::Queued);
            asked += 1;
        }
        let orders = book.poll(now);
        for _ in 0..flushes(&orders) {
            sent.push(now);
        }
        if book.is_busy() && tick % 5 == 0 {
            done += finished(&book.on_audio(now, &[1; 400]));
            done += finished(&book.on_flushed());
        }
    }
    assert_eq!(asked, 400);
    assert_eq!(done, asked, "each utterance finishes once");
    for window in sent.windows(LIMIT + 1) {
        assert!(window[LIMIT] - window[0] >= WINDOW, "{window:?}");
    }
}

#[test]
fn clearing_drops_everything_until_the_service_has_cleared() {
    let mut book = Utterances::new(HZ);
    assert_eq!(book.clear(at(0)), [], "nothing to clear");
    book.speak("One.".into());
    book.poll(at(0));
    book.speak("Two.".into());
    assert_eq!(book.clear(at(1)), [Order::Clear]);
    book.speak("Three.".into());
    assert_eq!(flushes(&book.poll(at(2))), 1, "what comes after the clear does not wait for its answer");
    assert_eq!(book.on_audio(at(3), &[1; 100]), [], "old audio");
    assert_eq!(book.on_flushed(), []);
    book.on_cleared();
    assert_eq!(book.on_audio(at(4), &[2]), [Outcome::Audio(vec![2])]);
    assert_eq!(book.on_flushed(), [Outcome::Finished]);
}

#[test]
fn a_refused_flush_is_sent_again_before_anything_else() {
    let mut book = Utterances::new(HZ);
    let now = at(100_000);
    book.speak("One.".into());
    assert_eq!(flushes(&book.poll(now)), 1);
    book.on_flush_refused(now);
    book.speak("Two.".into());
    assert_eq!(book.poll(now), []);
    assert!(!book.is_busy(), "no answer is owed meanwhile");
    let wake = book.deadline(now).expect("a flush is pending");
    assert_eq!(book.poll(wake)[0], Order::Flush);
    assert!(book.is_busy());
}

#[test]
fn what_was_not_heard_is_said_again_on_a_new_connection() {
    let mut book = Utterances::new(HZ);
    book.speak("One.".into());
    book.poll(at(0));
    book.speak("Two.".into());
    book.poll(at(0));
    book.restart();
    assert_eq!(book.poll(at(1)), [Order::Speak("One.".into()), Order::Flush, Order::Speak("Two.".into()), Order::Flush]);
}

#[test]
fn nothing_to_say_finishes_in_its_turn() {
    let mut book = Utterances::new(HZ);
    assert_eq!(book.speak(" … ".into()), Accepted::FinishedAtOnce);
    book.speak("One.".into());
    assert_eq!(book.speak("!".into()), Accepted::Queued);
    book.poll(at(0));
    assert_eq!(book.speak("".into()), Accepted::Queued);
    assert_eq!(book.on_flushed(), [Outcome::Finished, Outcome::Finished, Outcome::Finished]);
}

#[test]
fn long_texts_are_cut_between_words_and_the_queue_is_bounded() {
    let mut orders = Vec::new();
    push_speak(&"word ".repeat(900), false, &mut orders);
    assert_eq!(orders.len(), 3);
    push_speak(&"x".repeat(4_500), true, &mut orders);
    for order in &orders {
        let Order::Speak(text) = order else { panic!("only texts") };
        assert!(text.chars().count() <= MAX_SPEAK_CHARS);
    }
    let mut book = Utterances::new(HZ);
    for _ in 0..MAX_PENDING {
        assert_eq!(book.speak("One.".into()), Accepted::Queued);
    }
    assert_eq!(book.speak("One.".into()), Accepted::Full);
}
