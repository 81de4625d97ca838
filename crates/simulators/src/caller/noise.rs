//! Noise: the same in every run.

/// A linear congruential generator: white enough for a hiss.
#[derive(Debug, Default)]
pub(super) struct Noise {
    state: u64,
}

impl Noise {
    /// Adds noise of an amplitude to samples.
    pub(super) fn add(&mut self, samples: &mut [i16], amplitude: i16) {
        for sample in samples {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = i32::from((self.state >> 48) as u16 as i16) * i32::from(amplitude) / 32_768;
            *sample = i16::try_from(i32::from(*sample) + noise).unwrap_or(*sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_as_loud_as_it_shall_be_and_the_same_every_time() {
        let make = || {
            let mut samples = [0; 1_000];
            Noise::default().add(&mut samples, 500);
            samples
        };
        let loudest = make().iter().map(|sample| sample.unsigned_abs()).max();
        assert!(loudest.is_some_and(|loudest| (450..=500).contains(&loudest)), "{loudest:?}");
        assert_eq!(make(), make());
        let mut full = [i16::MAX; 10];
        Noise::default().add(&mut full, 500);
        assert!(full.iter().all(|sample| *sample > 32_000), "nothing wraps");
    }
}
