//! Callers' voices become one stream: added up, and turned down together where the sum would not fit.

/// Highest level that leaves the mixer; what is below passes unchanged.
const CEILING: i32 = 30_000;
/// Full gain; gains are in steps of 1/65536.
const UNITY: i32 = 1 << 16;
/// The gain comes back by this much a block of 10 ms: from half to full in 0.3 s.
const RELEASE: i32 = UNITY / 64;
/// The gain moves to a block's value within this many samples, 1 ms, so that it does not click.
const RAMP: usize = 48;

/// Mixes blocks of `N` samples.
pub struct Mixer<const N: usize> {
    sum: [i32; N],
    gain: i32,
}

impl<const N: usize> Default for Mixer<N> {
    fn default() -> Self {
        Mixer { sum: [0; N], gain: UNITY }
    }
}

impl<const N: usize> Mixer<N> {
    pub fn add(&mut self, voice: &[i16; N]) {
        for (sum, sample) in self.sum.iter_mut().zip(voice) {
            *sum += i32::from(*sample);
        }
    }

    /// The mix of what was added since the last call; silence where nothing was.
    pub fn take(&mut self) -> [i16; N] {
        let peak = self.sum.iter().map(|sample| sample.abs()).max().unwrap_or(0);
        let fitting =
            if peak > CEILING { (i64::from(CEILING) * i64::from(UNITY) / i64::from(peak)) as i32 } else { UNITY };
        let before = self.gain;
        self.gain = fitting.min(before + RELEASE).min(UNITY);

        let mut mixed = [0; N];
        for (i, (mixed, sum)) in mixed.iter_mut().zip(&mut self.sum).enumerate() {
            let step = i.min(RAMP) as i64;
            let gain = i64::from(before) + i64::from(self.gain - before) * step / RAMP as i64;
            let sample = i64::from(std::mem::take(sum)) * gain / i64::from(UNITY);
            // Only within the ramp can a sample still be above the ceiling.
            *mixed = sample.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 480;

    fn tone(hertz: f32, level: f32, block: usize) -> [i16; N] {
        std::array::from_fn(|i| {
            let t = (block * N + i) as f32 / 48_000.0;
            ((t * hertz * std::f32::consts::TAU).sin() * level) as i16
        })
    }

    #[test]
    fn one_voice_passes_unchanged_and_silence_stays_silent() {
        let mut mixer = Mixer::<N>::default();
        for block in 0..20 {
            let voice = tone(440.0, 29_000.0, block);
            mixer.add(&voice);
            assert_eq!(mixer.take(), voice);
        }
        assert_eq!(mixer.take(), [0; N]);
    }

    #[test]
    fn two_quiet_voices_are_their_sum() {
        let mut mixer = Mixer::<N>::default();
        let (a, b) = (tone(440.0, 8_000.0, 0), tone(1_000.0, 8_000.0, 0));
        mixer.add(&a);
        mixer.add(&b);
        let mixed = mixer.take();
        assert!(mixed.iter().zip(a.iter().zip(&b)).all(|(m, (a, b))| *m == a + b));
    }

    #[test]
    fn sixteen_full_voices_neither_wrap_nor_clip() {
        let mut mixer = Mixer::<N>::default();
        let (mut clipped, mut peak) = (0, 0);
        for block in 0..100 {
            let voice = tone(440.0, 32_767.0, block);
            (0..16).for_each(|_| mixer.add(&voice));
            let mixed = mixer.take();
            for (mixed, voice) in mixed.iter().zip(&voice) {
                assert!(mixed.signum() * voice.signum() >= 0, "wrapped: {voice} -> {mixed}");
                clipped += u32::from(*mixed == i16::MAX || *mixed == i16::MIN);
                peak = peak.max(mixed.unsigned_abs());
            }
        }
        assert!(clipped <= RAMP as u32, "{clipped}");
        assert!(peak >= 29_900, "{peak}");
    }

    #[test]
    fn extremes_stay_within_range_and_the_gain_comes_back() {
        let mut mixer = Mixer::<N>::default();
        (0..16).for_each(|_| mixer.add(&[i16::MIN; N]));
        let mixed = mixer.take();
        assert_eq!(mixed[0], i16::MIN);
        assert!((-30_001..=-29_900).contains(&i32::from(mixed[N - 1])), "{}", mixed[N - 1]);
        let voice = [1_000; N];
        let blocks = (0..100).position(|_| {
            mixer.add(&voice);
            mixer.take() == voice
        });
        assert!(blocks.is_some_and(|blocks| blocks > 10), "{blocks:?}");
    }
}
