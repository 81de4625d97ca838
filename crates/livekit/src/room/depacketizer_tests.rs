//! The depacketizer under loss, reordering, gaps, and any schedule.

use proptest::prelude::*;

use super::*;

/// A 20 ms packet (CELT, config 31, one frame) that carries its number.
fn packet(number: u16) -> Bytes {
    Bytes::from(vec![31 << 3, (number >> 8) as u8, number as u8])
}

fn number(payload: &Bytes) -> u16 {
    u16::from(payload[1]) << 8 | u16::from(payload[2])
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn run(fill: Option<Duration>, arrivals: &[(u64, u16, u32)]) -> (Vec<Step>, StreamCounts) {
    let mut depacketizer = Depacketizer::new(fill);
    let mut steps = Vec::new();
    for &(at, seq, ticks) in arrivals {
        while let Some(deadline) = depacketizer.deadline().filter(|&deadline| deadline <= ms(at)) {
            let before = steps.len();
            depacketizer.tick(deadline, &mut steps);
            assert!(depacketizer.deadline() > Some(deadline) || steps.len() > before, "a tick without progress");
        }
        depacketizer.push(ms(at), seq, ticks, packet(seq), &mut steps);
    }
    (steps, depacketizer.counts())
}

fn decoded(steps: &[Step]) -> Vec<u16> {
    steps.iter().filter_map(|step| if let Step::Decode(payload) = step { Some(number(payload)) } else { None }).collect()
}

#[test]
fn in_order_packets_are_decoded_at_once() {
    let (steps, counts) = run(None, &[(0, 65534, 0), (20, 65535, 960), (40, 0, 1920)]);
    assert_eq!(decoded(&steps), [65534, 65535, 0]);
    assert_eq!((steps.len(), counts.lost), (3, 0));
}

#[test]
fn a_small_swap_is_put_right_without_loss() {
    let (steps, counts) = run(None, &[(0, 1, 0), (20, 3, 1920), (25, 2, 960), (60, 4, 2880)]);
    assert_eq!(decoded(&steps), [1, 2, 3, 4]);
    assert_eq!((counts.lost, counts.late), (0, 0));
}

#[test]
fn no_silence_is_filled_in_while_packets_wait_for_a_lost_one() {
    // The third is late, and waits for the second until 60 ms after it came; the silence would be due at 80 ms.
    let (steps, _) = run(Some(ms(80)), &[(0, 1, 0), (75, 3, 1920), (136, 4, 2880)]);
    let lost = Step::Recover { next: packet(3), ticks: 960 };
    assert_eq!(steps, [Step::Decode(packet(1)), lost, Step::Decode(packet(3)), Step::Decode(packet(4))]);
}

#[test]
fn a_lost_packet_is_rebuilt_before_the_next() {
    let (steps, counts) = run(None, &[(0, 1, 0), (40, 3, 1920), (60, 4, 2880), (110, 5, 3840)]);
    let lost = Step::Recover { next: packet(3), ticks: 960 };
    assert_eq!(steps[..3], [Step::Decode(packet(1)), lost, Step::Decode(packet(3))]);
    assert_eq!((decoded(&steps), counts.lost), (vec![1, 3, 4, 5], 1));
}

#[test]
fn a_long_loss_is_concealed_and_then_silent() {
    let (steps, _) = run(None, &[(0, 1, 0), (220, 11, 9600), (400, 12, 10560)]);
    let expected = [Step::Conceal { ticks: 5760 }, Step::Silence { ticks: 1920 }, Step::Recover { next: packet(11), ticks: 960 }];
    assert_eq!(steps[1..4], expected);
}

#[test]
fn a_late_packet_is_dropped() {
    let (steps, counts) = run(None, &[(0, 1, 0), (20, 2, 960), (30, 1, 0)]);
    assert_eq!((decoded(&steps), counts.late), (vec![1, 2], 1));
}

#[test]
fn discontinuous_transmission_is_filled_in_real_time() {
    // Three frames (40 to 100 ms) are not sent.
    let (steps, counts) = run(Some(ms(50)), &[(0, 1, 0), (20, 2, 960), (100, 3, 4800)]);
    let silence: u32 = steps.iter().map(|step| if let Step::Silence { ticks } = step { *ticks } else { 0 }).sum();
    assert_eq!((silence, counts.lost), (2880, 0));
    assert_eq!(decoded(&steps), [1, 2, 3]);
}

#[test]
fn a_pause_without_filling_leaves_no_gap() {
    let (steps, _) = run(None, &[(0, 1, 0), (5000, 2, 240_000)]);
    assert_eq!(steps, [Step::Decode(packet(1)), Step::Decode(packet(2))]);
}

#[test]
fn a_new_stream_under_the_same_source_starts_over() {
    let (steps, counts) = run(None, &[(0, 1, 0), (20, 30_000, 77), (40, 30_001, 1037)]);
    assert_eq!((decoded(&steps), counts.lost), (vec![1, 30_000, 30_001], 0));
}

#[test]
fn lengths_of_packets() {
    assert_eq!(packet_ticks(&[]), None);
    assert_eq!(packet_ticks(&[1 << 3, 0]), Some(960));
    assert_eq!(packet_ticks(&[(3 << 3) | 1, 0]), Some(5760));
    assert_eq!(packet_ticks(&[(31 << 3) | 3, 3]), Some(2880));
    assert_eq!(packet_ticks(&[(31 << 3) | 3, 63]), None, "longer than 120 ms");
    assert_eq!(packet_ticks(&[(31 << 3) | 3]), None, "count is missing");
}

proptest! {
    /// Whatever comes, in whatever order: packets are decoded in order, at most once, and what comes out is bounded.
    #[test]
    fn any_arrivals(arrivals in prop::collection::vec((0u64..300, 0u16..200, any::<bool>()), 0..150), fill in any::<bool>()) {
        let mut depacketizer = Depacketizer::new(fill.then(|| ms(60)));
        let (mut now, mut last) = (0, None::<u16>);
        for (wait, seq, tick) in arrivals {
            now += wait;
            let mut steps = Vec::new();
            if tick {
                depacketizer.tick(ms(now), &mut steps);
            }
            depacketizer.push(ms(now), seq, u32::from(seq) * 960, packet(seq), &mut steps);
            for step in &steps {
                match step {
                    Step::Decode(payload) => {
                        let number = number(payload);
                        prop_assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
                        last = Some(number);
                    }
                    Step::Conceal { ticks } => prop_assert!(*ticks > 0 && *ticks <= 5760 && ticks % 120 == 0),
                    Step::Recover { ticks, .. } | Step::Silence { ticks } => prop_assert!(*ticks > 0 && *ticks <= 24_000),
                }
            }
            prop_assert!(depacketizer.held.len() <= HELD_MAX);
        }
    }

    #[test]
    fn any_bytes_have_a_length_or_none(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
        prop_assert!(packet_ticks(&bytes).is_none_or(|ticks| (1..=5760).contains(&ticks)));
    }
}
