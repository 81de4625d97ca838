//! Speech of which no words came: the caller is not left waiting, and noise is not talked to.

mod support;

use std::time::Duration;

use frontdesk_conversation::{CallTime, Command, Input};
use support::{World, checks, ms};

/// How often the caller was asked to say it again.
fn times_asked(world: &World) -> usize {
    let unheard = &world.config.phrases.unheard;
    world.said().iter().filter(|said| *said == unheard).count()
}

fn is_order(command: &Command) -> bool {
    matches!(command, Command::Synthesise { .. })
}

#[test]
fn a_recogniser_that_answers_nothing_is_not_mistaken_for_a_silent_caller() {
    let mut world = World::silent_start(vec![]);
    world.finalize_ms = None;
    let unheard = world.config.phrases.unheard.clone();
    for _ in 0..2 {
        // In two short stretches, as numbers are told.
        let end = world.speak(world.now, 600, "");
        world.speak(end + Duration::from_millis(500), 600, "");
        let said = world.run_until("a request", |command| matches!(command, Command::Synthesise { .. }));
        assert!(matches!(said, Command::Synthesise { text, .. } if text == unheard));
        world.run_until_listening();
    }
    world.speak(world.now, 1500, "");
    world.run_until("the end", |command| matches!(command, Command::HangUp));
    checks::check(&world);
}

#[test]
fn a_caller_of_whom_no_words_came_is_asked_again_when_he_waits_and_not_for_ever() {
    let mut world = World::silent_start(vec![]);
    let mut asked_at = Vec::new();
    for _ in 0..2 {
        // The recogniser answers, but without words.
        let end = world.speak(world.now, 1500, "");
        world.run_until("a question", is_order);
        asked_at.push(world.now.since(end));
        world.run_until_listening();
    }
    assert_eq!(asked_at, [Duration::from_secs(3); 2]);
    assert_eq!(times_asked(&world), 2);
    world.speak(world.now, 1500, "");
    world.run_ms(14_000);
    assert_eq!(times_asked(&world), 2, "it may be noise");
    world.says("can you hear me");
    world.run_until_listening();
    world.speak(world.now, 1500, "");
    world.run_until("a question", is_order);
    assert_eq!(times_asked(&world), 3, "words between begin the count anew");
    world.feed(Input::CallerLeft);
    assert_eq!(world.summary().misunderstood, 3);
    checks::check(&world);
}

#[test]
fn a_short_sound_is_no_speech_and_several_together_are() {
    let mut world = World::silent_start(vec![]);
    world.speak(world.now, 500, "");
    world.run_ms(10_000);
    assert_eq!(times_asked(&world), 0);
    world.speak(world.now, 600, "");
    world.run_ms(5000);
    assert_eq!(times_asked(&world), 1, "he has tried twice");
    checks::check(&world);
}

#[test]
fn who_goes_on_speaking_is_not_asked_and_neither_is_noise_under_the_agents_own_words() {
    let mut world = World::silent_start(vec![]);
    let end = world.speak(world.now, 1500, "");
    world.run_until_time(end + Duration::from_millis(2500));
    let end = world.speak(world.now, 1500, "hello is anybody there");
    world.run_until_time(end + Duration::from_secs(9));
    assert_eq!(times_asked(&world), 0);

    let mut world = World::scripted(vec![]);
    world.run_ms(300);
    let end = world.speak(world.now, 1200, "");
    world.run_until_time(end + Duration::from_secs(9));
    assert_eq!(times_asked(&world), 0);
    checks::check(&world);
}

#[test]
fn a_recogniser_that_was_connected_anew_is_waited_for() {
    let asked_at = |reopened: bool| -> CallTime {
        let mut world = World::silent_start(vec![]);
        world.finalize_ms = None;
        let end = world.speak(world.now, 1500, "");
        assert_eq!(end, ms(1500));
        world.run_until_time(ms(3200));
        if reopened {
            world.feed(Input::TranscriptionReopened);
        }
        world.run_until("a question", is_order);
        world.now
    };
    assert_eq!(asked_at(false), ms(4000));
    assert_eq!(asked_at(true), ms(4700));
}
