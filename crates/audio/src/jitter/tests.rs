//! Behaviour of the jitter buffer on clean, bad and hostile streams, in virtual time.

use super::*;
use proptest::prelude::*;

/// 20 ms at 8 kHz.
const TICKS: u32 = 160;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stream of frames; the payload is the frame's number.
struct Line {
    buffer: JitterBuffer<usize>,
    first_seq: u16,
    first_timestamp: u32,
    /// Arrivals, sorted by time before playing.
    arrivals: Vec<(Duration, Incoming<usize>)>,
}

impl Line {
    fn new(first_seq: u16, first_timestamp: u32) -> Self {
        let buffer = JitterBuffer::new(JitterConfig::g711());
        Self { buffer, first_seq, first_timestamp, arrivals: Vec::new() }
    }

    fn frame(&self, n: usize) -> Incoming<usize> {
        Incoming {
            seq: self.first_seq.wrapping_add(n as u16),
            timestamp: self.first_timestamp.wrapping_add(n as u32 * TICKS),
            arrival: Duration::ZERO,
            marker: false,
            quiet: false,
            ticks: None,
            payload: n,
        }
    }

    fn arrive(&mut self, at: Duration, mut packet: Incoming<usize>) {
        packet.arrival = at;
        self.arrivals.push((at, packet));
    }

    /// Pops at each of the given times, pushing what has arrived before; one answer a pop.
    fn play(&mut self, pops: impl IntoIterator<Item = Duration>) -> Vec<Playout<usize>> {
        self.arrivals.sort_by_key(|(at, _)| *at);
        let mut arrivals = std::mem::take(&mut self.arrivals).into_iter().peekable();
        let mut out = Vec::new();
        for now in pops {
            while let Some((_, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
                self.buffer.insert(packet);
            }
            out.push(self.buffer.pop(now));
        }
        out
    }
}

/// Frame numbers by slot, `None` where nothing was played.
fn numbers(slots: &[Playout<usize>]) -> Vec<Option<usize>> {
    slots
        .iter()
        .map(|slot| match slot {
            Playout::Packet(packet) => Some(packet.payload),
            Playout::Missing | Playout::Empty => None,
        })
        .collect()
}

fn pops(phase_ms: u64, count: u64) -> impl Iterator<Item = Duration> {
    (0..count).map(move |n| ms(phase_ms + 20 * n))
}

proptest! {
    /// The voice path: whatever the numbers wrap around, whatever the phase of the consumer's clock, and with
    /// a few milliseconds of jitter on both sides, every frame plays once, in its slot.
    #[test]
    fn a_clean_stream_passes_untouched(
        first_seq: u16,
        first_timestamp: u32,
        phase in 0u64..20,
        arrival_jitter in prop::collection::vec(0u64..8, 400),
        pop_jitter in prop::collection::vec(0u64..8, 420),
    ) {
        let mut line = Line::new(first_seq, first_timestamp);
        for (n, jitter) in arrival_jitter.iter().enumerate() {
            line.arrive(ms(20 * n as u64 + jitter), line.frame(n));
        }
        let times = pop_jitter.iter().zip(pops(phase, 420)).map(|(jitter, at)| at + ms(*jitter));
        let slots = numbers(&line.play(times));
        let begin = slots.iter().position(Option::is_some).unwrap();
        prop_assert!(begin <= 4, "began after {begin} slots");
        let expected: Vec<_> = (0..400).map(Some).collect();
        prop_assert_eq!(&slots[begin..begin + 400], &expected[..]);
        prop_assert_eq!(line.buffer.stats().played, 400);
        prop_assert_eq!(line.buffer.stats().missing, 0);
    }

    /// Loss leaves holes and moves nothing; the lost frames' slots are concealed or silent.
    #[test]
    fn loss_displaces_nothing(first_seq: u16, lost in prop::collection::btree_set(1usize..190, 0..60), phase in 0u64..20) {
        // A run longer than the greatest depth is a break in the stream, tested below.
        let longest = lost.iter().fold((0, 0, usize::MAX), |(best, run, last), &n| {
            let run = if n == last.wrapping_add(1) { run + 1 } else { 1 };
            (run.max(best), run, n)
        });
        prop_assume!(longest.0 <= 8);
        let mut line = Line::new(first_seq, 7);
        for n in (0..200).filter(|n| !lost.contains(n)) {
            line.arrive(ms(20 * n as u64), line.frame(n));
        }
        let slots = numbers(&line.play(pops(phase, 210)));
        let begin = slots.iter().position(Option::is_some).unwrap();
        for n in 0..200 {
            let expected = (!lost.contains(&n)).then_some(n);
            prop_assert_eq!(slots[begin + n], expected, "slot {}", n);
        }
    }

    /// Packets that overtake one another within the depth are put in order, and copies are played once.
    #[test]
    fn reordering_and_copies_within_the_depth_are_undone(
        delays in prop::collection::vec((0u64..35, any::<bool>()), 200),
    ) {
        let mut line = Line::new(65_500, u32::MAX - 3_000);
        for (n, (delay, copied)) in delays.iter().enumerate() {
            // The first packet sets the pace; were it late itself, the rest would only be earlier.
            let delay = if n == 0 { 0 } else { *delay };
            line.arrive(ms(20 * n as u64 + delay), line.frame(n));
            if *copied {
                line.arrive(ms(20 * n as u64 + delay + 3), line.frame(n));
            }
        }
        let slots = numbers(&line.play(pops(0, 210)));
        let begin = slots.iter().position(Option::is_some).unwrap();
        let expected: Vec<_> = (0..200).map(Some).collect();
        prop_assert_eq!(&slots[begin..begin + 200], &expected[..]);
        let stats = line.buffer.stats();
        let copies = delays.iter().filter(|(_, copied)| *copied).count() as u64;
        prop_assert_eq!(stats.duplicate + stats.late, copies);
    }

    /// Heavy jitter loses nothing that a deeper buffer could keep: order holds and each frame plays at most once.
    #[test]
    fn order_holds_under_any_jitter(delays in prop::collection::vec(0u64..600, 300), phase in 0u64..20) {
        let mut line = Line::new(40_000, 0);
        for (n, delay) in delays.iter().enumerate() {
            line.arrive(ms(20 * n as u64 + delay), line.frame(n));
        }
        let slots = numbers(&line.play(pops(phase, 400)));
        let played: Vec<usize> = slots.into_iter().flatten().collect();
        prop_assert!(played.is_sorted_by(|a, b| a < b));
    }

    /// Nothing that a peer can send panics, plays twice, or fills the memory.
    #[test]
    fn hostile_streams_are_survived(
        steps in prop::collection::vec(
            (any::<u16>(), any::<u32>(), prop::option::of(any::<u32>()), any::<bool>(), any::<bool>(), 0u64..1_000_000, 0u32..6),
            1..300,
        ),
    ) {
        let mut buffer = JitterBuffer::new(JitterConfig::opus());
        let mut now = Duration::ZERO;
        let mut seen = std::collections::HashSet::new();
        for (payload, (seq, timestamp, ticks, marker, quiet, step, kind)) in steps.into_iter().enumerate() {
            now += Duration::from_micros(step);
            match kind {
                // Numbers near one another, so that the buffer gets past its checks.
                0..=2 => buffer.insert(Incoming {
                    seq: seq % 300, timestamp: timestamp % 100_000, arrival: now, marker, quiet, ticks, payload,
                }),
                3 => buffer.insert(Incoming { seq, timestamp, arrival: now, marker, quiet, ticks, payload }),
                4 => if let Playout::Packet(packet) = buffer.pop(now) {
                    prop_assert!(seen.insert(packet.payload));
                },
                _ => { buffer.select_source(u32::from(marker)); let _ = buffer.following(); }
            }
            prop_assert!(buffer.depth() <= ms(400 + 120));
            prop_assert!(buffer.target() <= ms(200));
        }
    }
}

#[test]
fn one_lost_packet_is_one_missing_frame_and_the_next_can_rebuild_it() {
    let mut line = Line::new(9, 0);
    for n in [0, 1, 3, 4] {
        line.buffer.insert(line.frame(n));
    }
    let mut pop = || line.buffer.pop(ms(100));
    assert!(matches!(pop(), Playout::Packet(Packet { payload: 0, seq: 9, timestamp: 0 })));
    assert!(matches!(pop(), Playout::Packet(Packet { payload: 1, .. })));
    assert_eq!(pop(), Playout::Missing);
    assert_eq!(line.buffer.following(), Some(&3));
    // The lost one arrives after all: its slot has passed.
    line.buffer.insert(line.frame(2));
    assert_eq!(line.buffer.stats().late, 1);
    assert!(matches!(line.buffer.pop(ms(140)), Playout::Packet(Packet { payload: 3, .. })));
}

#[test]
fn the_first_packet_waits_for_the_initial_depth() {
    let mut line = Line::new(0, 0);
    line.buffer.insert(line.frame(0));
    assert_eq!(line.buffer.pop(ms(39)), Playout::Empty);
    assert!(matches!(line.buffer.pop(ms(40)), Playout::Packet(_)));
    assert_eq!(line.buffer.pop(ms(60)), Playout::Empty);
    assert_eq!(line.buffer.stats().underruns, 1);
}

#[test]
fn silence_suppression_is_silence_and_not_loss() {
    let mut line = Line::new(0, 0);
    // Fifty frames of speech, two seconds without packets, fifty frames of speech.
    for n in 0..100 {
        let pause = if n < 50 { 0 } else { 100 };
        let mut packet = line.frame(n);
        packet.timestamp += pause * TICKS;
        packet.marker = n == 50;
        line.arrive(ms(20 * (n as u64 + u64::from(pause))), packet);
    }
    let slots = line.play(pops(5, 210));
    assert!(!slots.contains(&Playout::Missing));
    let numbers = numbers(&slots);
    for spurt in [0..50, 50..100] {
        let at = numbers.iter().position(|n| *n == Some(spurt.start)).unwrap();
        let expected: Vec<_> = spurt.map(Some).collect();
        assert_eq!(numbers[at..at + 50], expected);
    }
    assert_eq!(line.buffer.stats().played, 100);
}

#[test]
fn a_short_pause_inside_the_buffer_keeps_its_length() {
    let mut line = Line::new(0, 0);
    for (n, timestamp) in [(0, 0), (1, 160), (2, 160 * 4), (3, 160 * 5)] {
        let mut packet = line.frame(n);
        packet.timestamp = timestamp;
        line.buffer.insert(packet);
    }
    let slots: Vec<_> = pops(100, 6).map(|now| line.buffer.pop(now)).collect();
    assert_eq!(numbers(&slots), [Some(0), Some(1), None, None, Some(2), Some(3)]);
    assert!(!slots.contains(&Playout::Missing));
}

#[test]
fn sequence_numbers_taken_by_other_payload_types_are_no_loss() {
    // Telephone events share the sequence numbers; the audio's timestamps go on without a gap.
    let mut line = Line::new(0, 0);
    for (n, seq) in [(0, 0), (1, 1), (2, 5), (3, 6)] {
        let mut packet = line.frame(n);
        packet.seq = seq;
        line.buffer.insert(packet);
    }
    let slots: Vec<_> = pops(100, 4).map(|now| line.buffer.pop(now)).collect();
    assert_eq!(numbers(&slots), [Some(0), Some(1), Some(2), Some(3)]);
}

#[test]
fn a_stall_of_the_line_deepens_the_buffer_and_loses_nothing() {
    let mut line = Line::new(0, 0);
    for n in 0..200 {
        // For a while every fifth packet is held up by 100 ms, and the four after it with it.
        let held_up = if (60..160).contains(&n) { 100 - 20 * (n % 5) as u64 } else { 0 };
        line.arrive(ms(20 * n as u64 + held_up), line.frame(n));
    }
    let slots = numbers(&line.play(pops(3, 230)));
    let played: Vec<_> = slots.iter().copied().flatten().collect();
    assert_eq!(played, (0..200).collect::<Vec<_>>());
    // It stumbles when the trouble begins, then has learnt.
    assert!(line.buffer.stats().underruns <= 4, "{:?}", line.buffer.stats());
    assert_eq!(line.buffer.stats().overflowed, 0);
}

#[test]
fn a_burst_is_cut_to_the_target_in_one_piece() {
    let mut line = Line::new(0, 0);
    for n in 0..30 {
        let mut packet = line.frame(n);
        packet.arrival = ms(600);
        line.buffer.insert(packet);
    }
    assert!(line.buffer.depth() <= ms(400));
    let slots: Vec<_> = pops(800, 30).map(|now| line.buffer.pop(now)).collect();
    let played: Vec<_> = numbers(&slots).into_iter().flatten().collect();
    assert_eq!(played.last(), Some(&29));
    assert!(played.is_sorted_by(|a, b| a + 1 == *b), "no second cut: {played:?}");
    assert!(!slots.contains(&Playout::Missing));
}

#[test]
fn another_ssrc_begins_anew() {
    let mut line = Line::new(100, 5_000);
    line.buffer.select_source(1);
    line.buffer.insert(line.frame(0));
    line.buffer.select_source(1);
    assert!(matches!(line.buffer.pop(ms(40)), Playout::Packet(_)));
    line.buffer.select_source(2);
    // Lower numbers than before, which would be late for the old sender.
    line.buffer.push(50, 99, ms(50), 77);
    assert_eq!(line.buffer.pop(ms(60)), Playout::Empty, "the new sender is buffered anew");
    assert!(matches!(line.buffer.pop(ms(90)), Playout::Packet(Packet { payload: 77, .. })));
    assert_eq!(line.buffer.stats().restarts, 1);
}

#[test]
fn a_sender_that_leaps_is_followed_at_its_second_packet() {
    let mut line = Line::new(0, 0);
    line.buffer.insert(line.frame(0));
    assert!(matches!(line.buffer.pop(ms(40)), Playout::Packet(_)));
    line.buffer.push(20_000, 1, ms(50), 1);
    assert_eq!(line.buffer.depth(), Duration::ZERO, "one stray packet proves nothing");
    line.buffer.push(20_001, 161, ms(70), 2);
    let slots: Vec<_> = pops(110, 2).map(|now| line.buffer.pop(now)).collect();
    assert_eq!(numbers(&slots), [Some(1), Some(2)]);
}

#[test]
fn a_faster_sender_is_kept_up_with_in_silence_only() {
    let mut line = Line::new(0, 0);
    let count = 3_000;
    for n in 0..count {
        let mut packet = line.frame(n);
        // A clock 0.5 % fast (far beyond real ones) and silence for one second in five.
        packet.quiet = n % 250 >= 200;
        line.arrive(Duration::from_micros(19_900 * n as u64), packet);
    }
    let slots = numbers(&line.play(pops(0, 3_000)));
    let played: Vec<_> = slots.into_iter().flatten().collect();
    let skipped: Vec<_> = (0..*played.last().unwrap()).filter(|n| !played.contains(n)).collect();
    assert!(!skipped.is_empty() && skipped.iter().all(|n| n % 250 >= 200), "{skipped:?}");
    assert!(line.buffer.depth() <= ms(140), "{:?}", line.buffer.depth());
    assert_eq!(line.buffer.stats().overflowed, 0);
}

#[test]
fn a_line_that_turns_bad_is_given_depth_in_silence() {
    let mut line = Line::new(0, 0);
    for n in 0..600 {
        let mut packet = line.frame(n);
        packet.quiet = n % 250 >= 100;
        // Jitter of 55 ms, which 40 ms of depth only just bears.
        let jitter = if n % 40 == 0 { 55 } else { (n % 3) as u64 * 27 };
        line.arrive(ms(20 * n as u64 + jitter), packet);
    }
    line.play(pops(0, 640));
    let stats = line.buffer.stats();
    assert!(stats.added > 0 || stats.underruns > 0, "{stats:?}");
    assert_eq!(stats.played + stats.late, 600, "{stats:?}");
}

#[test]
fn odd_configurations_are_put_right() {
    let config = JitterConfig { clock_hz: 0, frame_ms: 0, initial_ms: 9_999, min_ms: 500, max_ms: 0, limit_ms: 0 };
    let mut buffer = JitterBuffer::new(config);
    buffer.push(0, 0, Duration::ZERO, ());
    assert!(matches!(buffer.pop(ms(10_000)), Playout::Packet(_)));
}

#[test]
fn packets_of_another_length_keep_their_place() {
    // 30 ms packets: the consumer pops once for each packet's worth of audio.
    let mut line = Line::new(0, 0);
    for n in 0..4_u32 {
        line.buffer.insert(Incoming {
            seq: n as u16,
            timestamp: n * 240,
            arrival: ms(0),
            marker: false,
            quiet: false,
            ticks: Some(240),
            payload: n as usize,
        });
    }
    assert_eq!(line.buffer.depth(), ms(120));
    let slots: Vec<_> = pops(50, 4).map(|now| line.buffer.pop(now)).collect();
    assert_eq!(numbers(&slots), [Some(0), Some(1), Some(2), Some(3)]);
}
