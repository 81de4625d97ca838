//! The examples of `examples/`, run as their readers would: in writing in virtual time, and in rooms of a real LiveKit server.

#[expect(dead_code, reason = "an example has a main of its own")]
#[path = "../../examples/custom_provider.rs"]
mod custom_provider;
#[expect(dead_code, reason = "an example has a main of its own")]
#[path = "../../examples/hand_off.rs"]
mod hand_off;
#[expect(dead_code, reason = "an example has a main of its own")]
#[path = "../../examples/minimal.rs"]
mod minimal;
#[expect(dead_code, reason = "an example has a main of its own")]
#[path = "../../examples/relay.rs"]
mod relay;
#[expect(dead_code, reason = "an example has a main of its own")]
#[path = "../../examples/tools.rs"]
mod tools;

mod pages;
mod rooms;
mod writing;

/// Long examples are no examples.
#[test]
fn an_example_has_at_most_sixty_lines() {
    for (name, text) in [
        ("custom_provider", include_str!("../../examples/custom_provider.rs")),
        ("hand_off", include_str!("../../examples/hand_off.rs")),
        ("minimal", include_str!("../../examples/minimal.rs")),
        ("relay", include_str!("../../examples/relay.rs")),
        ("tools", include_str!("../../examples/tools.rs")),
    ] {
        assert!(text.lines().count() <= 60, "{name}: {} lines", text.lines().count());
    }
}
