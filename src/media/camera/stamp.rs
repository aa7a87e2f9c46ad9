//! The stamp: 64 blocks across the top of a picture that say which frame it is and when it was drawn, so that any
//! program can measure from the decoded picture. Luma 16 is 0 and 235 is 1, most significant bit first: 16 bits of
//! frame counter, then 48 bits of Unix time in units of 100 microseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::media::frame::I420;

const BLOCKS: usize = 64;

/// Draws the stamp over the top 32/720 of the picture.
pub fn draw(frame: &mut I420, counter: u16, time: SystemTime) {
    let bits = u64::from(counter) << 48 | (units(time) & 0xffff_ffff_ffff);
    let (width, rows) = band(frame);
    let (y, u, v) = frame.planes_mut();
    for block in 0..BLOCKS {
        let one = bits >> (BLOCKS - 1 - block) & 1 == 1;
        y[block * width / BLOCKS..(block + 1) * width / BLOCKS].fill(if one { 235 } else { 16 });
    }
    (1..rows).for_each(|row| y.copy_within(..width, row * width));
    for plane in [u, v] {
        plane[..rows.div_ceil(2) * width / 2].fill(128);
    }
}

/// Reads frame counter and time (Unix time in units of 100 microseconds) back; `None` where there is no clear stamp.
pub fn read(frame: &I420) -> Option<(u16, u64)> {
    let (width, rows) = band(frame);
    let y = frame.planes().0;
    let mut bits = 0u64;
    for block in 0..BLOCKS {
        // The inner half of the block: its borders are blurred by compression.
        let (start, end) = (block * width / BLOCKS, (block + 1) * width / BLOCKS);
        let inset = (end - start) / 4;
        let lines = y.chunks_exact(width).take(rows - rows / 4).skip(rows / 4);
        let samples = lines.flat_map(|row| &row[start + inset..end - inset]).map(|s| u32::from(*s));
        let (count, sum) = samples.fold((0, 0), |(count, sum), s| (count + 1, sum + s));
        match sum.checked_div(count)? {
            0..=90 => bits <<= 1,
            160..=255 => bits = bits << 1 | 1,
            _ => return None,
        }
    }
    Some(((bits >> 48) as u16, bits & 0xffff_ffff_ffff))
}

/// Unix time in the stamp's units of 100 microseconds.
pub fn units(time: SystemTime) -> u64 {
    (time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() / 100) as u64
}

/// Width of the picture and rows of the stamp.
fn band(frame: &I420) -> (usize, usize) {
    let (width, height) = frame.size();
    (width as usize, (height as usize * 32 / 720).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_drawn_is_read(counter: u16, units in 0u64..1 << 48, half in 32u32..700, height in 2u32..800) {
            let mut frame = I420::new(half * 2, height);
            draw(&mut frame, counter, UNIX_EPOCH + Duration::from_micros(units * 100));
            prop_assert_eq!(read(&frame), Some((counter, units)));
        }
    }

    #[test]
    fn a_picture_without_stamp_has_none() {
        let mut frame = I420::new(640, 480);
        frame.fill(120, 128, 128);
        assert_eq!(read(&frame), None);
    }

    #[test]
    fn a_picture_too_narrow_for_a_stamp_has_none() {
        let mut frame = I420::new(32, 32);
        draw(&mut frame, 1, UNIX_EPOCH);
        assert_eq!(read(&frame), None);
    }
}
