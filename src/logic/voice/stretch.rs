//! Makes a stretch of voice a little shorter or longer without a click and at its pitch: one period (or what resembles
//! one most) is left out or said twice, and the seam is cross-faded.

/// Shortest piece that can be stretched: 5 ms at 48 kHz.
const MIN: usize = 240;
/// Longest piece that is looked at; what follows stays as it is.
const MAX: usize = 1_920;

/// Leaves one period out of `voice`. Returns how many samples went; 0 where the piece is too short.
pub fn shorten(voice: &mut Vec<i16>) -> usize {
    let Some((lag, overlap)) = period(voice) else { return 0 };
    for i in 0..overlap {
        voice[lag + i] = fade(voice[i], voice[lag + i], i, overlap);
    }
    voice.drain(..lag);
    lag
}

/// Repeats one period of `voice`. Returns how many samples came; 0 where the piece is too short.
pub fn lengthen(voice: &mut Vec<i16>) -> usize {
    let Some((lag, overlap)) = period(voice) else { return 0 };
    let mut longer = Vec::with_capacity(voice.len() + lag);
    longer.extend_from_slice(&voice[..lag]);
    longer.extend((0..overlap).map(|i| fade(voice[lag + i], voice[i], i, overlap)));
    longer.extend_from_slice(&voice[overlap..]);
    *voice = longer;
    lag
}

/// The distance at which the beginning of `voice` finds itself again, and how long the seam may be.
fn period(voice: &[i16]) -> Option<(usize, usize)> {
    let voice = &voice[..voice.len().min(MAX)];
    if voice.len() < MIN {
        return None;
    }
    let overlap = voice.len() / 4;
    let likeness = |lag: usize| {
        let (mut product, mut energy) = (0.0f32, 1.0f32);
        for (a, b) in voice[..overlap].iter().zip(&voice[lag..lag + overlap]) {
            product += f32::from(*a) * f32::from(*b);
            energy += f32::from(*b) * f32::from(*b);
        }
        product / energy.sqrt()
    };
    let lags = overlap..=voice.len() - overlap;
    let best = lags.map(|lag| (lag, likeness(lag))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((best.0, overlap))
}

fn fade(from: i16, to: i16, i: usize, length: usize) -> i16 {
    let (i, length) = (i as i32, length as i32);
    ((i32::from(from) * (length - i) + i32::from(to) * i) / length) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize) -> Vec<i16> {
        (0..samples).map(|i| ((i as f32 * 440.0 / 48_000.0 * std::f32::consts::TAU).sin() * 10_000.0) as i16).collect()
    }

    /// The steepest step between two samples: a click would be steeper than the tone itself.
    fn steepest(voice: &[i16]) -> i32 {
        voice.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap()
    }

    #[test]
    fn keeps_a_tone_smooth() {
        for length in [240, 480, 960, 2_880, 5_760] {
            let original = tone(length);
            let mut shorter = original.clone();
            let gone = shorten(&mut shorter);
            assert_eq!(shorter.len() + gone, length);
            assert!(gone > 0 && gone <= 1_440, "{gone}");

            let mut longer = original.clone();
            let more = lengthen(&mut longer);
            assert_eq!(longer.len(), length + more);
            assert!(more > 0);
            if length >= 480 {
                for voice in [&shorter, &longer] {
                    assert!(steepest(voice) < steepest(&original) * 5 / 4, "{length}: {}", steepest(voice));
                }
            }
            assert_eq!(original.last(), shorter.last());
            assert_eq!(original.last(), longer.last());
            assert_eq!(original.first(), longer.first());
        }
    }

    #[test]
    fn takes_silence_noise_and_scraps() {
        assert_eq!(shorten(&mut Vec::new()), 0);
        assert_eq!(lengthen(&mut vec![1; 239]), 0);
        assert!(shorten(&mut vec![0; 960]) > 0);
        let mut random = fastrand::Rng::with_seed(1);
        let mut noise: Vec<i16> = (0..960).map(|_| random.i16(..)).collect();
        assert!(shorten(&mut noise) > 0);
        let mut loud = vec![i16::MIN; 960];
        lengthen(&mut loud);
        assert!(loud.iter().all(|sample| *sample == i16::MIN));
    }
}
