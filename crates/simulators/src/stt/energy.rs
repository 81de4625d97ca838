//! Where speech is: energy of 20 ms steps against an absolute and an adaptive threshold.

/// Root mean square below which a step is never speech (full scale is 32,768); well above G.711's quantisation noise.
const SPEECH_RMS: f32 = 200.0;
/// Speech stands out from the background by this factor.
const ABOVE_NOISE: f32 = 3.0;
/// How fast the background estimate rises, a step; it falls at once.
const NOISE_RISE: f32 = 1.01;
/// The background is never taken to be louder, so that long speech does not become background.
const NOISE_MAX: f32 = 1_000.0;

/// Tells speech from silence, step by step.
#[derive(Debug, Clone)]
pub(super) struct Energy {
    noise: f32,
}

impl Default for Energy {
    fn default() -> Self {
        Self { noise: SPEECH_RMS / ABOVE_NOISE }
    }
}

impl Energy {
    /// Whether a step is speech.
    pub(super) fn is_speech(&mut self, samples: &[i16]) -> bool {
        let rms = rms(samples);
        let speech = rms >= SPEECH_RMS.max(self.noise * ABOVE_NOISE);
        self.noise = if rms < self.noise { rms.max(1.0) } else { (self.noise * NOISE_RISE).min(NOISE_MAX) };
        speech
    }
}

fn rms(samples: &[i16]) -> f32 {
    let sum: f32 = samples.iter().map(|sample| f32::from(*sample) * f32::from(*sample)).sum();
    (sum / samples.len().max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_steps_are_speech_and_steady_noise_stops_being_it() {
        let mut energy = Energy::default();
        assert!(!energy.is_speech(&[0; 320]) && !energy.is_speech(&[]));
        assert!(energy.is_speech(&[3_000; 320]));
        let mut noise = Energy::default();
        let heard = (0..500).filter(|_| noise.is_speech(&[400; 320])).count();
        assert!(heard > 0 && heard < 100, "{heard}");
        assert!(noise.is_speech(&[3_000; 320]), "speech over the noise");
    }
}
