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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::qr::{COLOURS, Drawing, RESET};

    const TEXT: &str = "CALLBOX:1;I:front-door;N:Haustür;S:Home;P:12345678;;";

    fn read(width: usize, height: usize, pixel: impl Fn(usize, usize) -> u8) -> Vec<String> {
        texts(width, height, pixel)
    }

    #[test]
    fn the_terminal_shows_what_a_camera_reads() {
        let shown = Drawing::new(TEXT).unwrap().for_terminal();
        let plain: String = shown.replace(COLOURS, "").replace(RESET, "");
        let rows: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        assert!(rows.iter().all(|row| row.len() == rows[0].len()) && shown.lines().all(|l| l.starts_with(COLOURS)));
        let pixel = |x: usize, y: usize| {
            let half = (y / 4) % 2;
            match rows[y / 8][x / 4] {
                '█' => 0,
                '▀' if half == 0 => 0,
                '▄' if half == 1 => 0,
                _ => 255,
            }
        };
        assert_eq!(read(rows[0].len() * 4, rows.len() * 8, pixel), [TEXT]);
    }

    #[test]
    fn the_picture_is_a_png_that_a_camera_reads() {
        let file = Drawing::new(TEXT).unwrap().png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = info.width as usize;
        assert_eq!(read(side, side, |x, y| pixels[y * side + x]), [TEXT]);
        assert!(Drawing::new(&"x".repeat(3000)).is_none());
    }

    #[test]
    fn the_path_on_a_page_is_the_same_code() {
        let drawing = Drawing::new(TEXT).unwrap();
        let mut dark = vec![false; drawing.width() * drawing.width()];
        for square in drawing.svg_path().split('M').skip(1) {
            let (x, rest) = square.split_once(' ').unwrap();
            let y = rest.strip_suffix("h1v1h-1z").unwrap();
            dark[y.parse::<usize>().unwrap() * drawing.width() + x.parse::<usize>().unwrap()] = true;
        }
        let side = drawing.width() * 4;
        let shade = |x: usize, y: usize| if dark[y / 4 * drawing.width() + x / 4] { 0 } else { 255 };
        assert_eq!(read(side, side, shade), [TEXT]);
    }
}
