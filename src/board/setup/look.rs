//! Finds and reads QR codes in pictures.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::media::frame::I420;
use crate::media::scale::Scaler;

/// Wider pictures are made smaller first: what a person holds up is large, and a small board has little time.
const MAX_WIDTH: u32 = 800;

/// Reads codes, with a buffer for smaller pictures.
#[derive(Default)]
pub struct Look {
    scaled: I420,
    scaler: Scaler,
}

impl Look {
    /// The texts of all codes in the picture.
    pub fn read(&mut self, frame: &I420) -> Vec<String> {
        let (width, height) = frame.size();
        let frame = if width > MAX_WIDTH {
            self.scaled.resize(MAX_WIDTH, height * MAX_WIDTH / width);
            self.scaler.scale(frame, &mut self.scaled);
            &self.scaled
        } else {
            frame
        };
        let (width, height) = (frame.size().0 as usize, frame.size().1 as usize);
        let luma = frame.planes().0;
        texts(width, height, |x, y| luma.get(y * width + x).copied().unwrap_or_default())
    }
}

/// The texts of all codes among these grey pixels. What panics the reader is a picture without a code.
pub fn texts(width: usize, height: usize, pixel: impl Fn(usize, usize) -> u8) -> Vec<String> {
    let read = || {
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, pixel);
        let mut found = Vec::new();
        for grid in picture.detect_grids() {
            let mut bytes = Vec::new();
            if grid.decode_to(&mut bytes).is_ok() {
                found.extend(String::from_utf8(bytes));
            }
        }
        found
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_default()
}
