//! QR codes (ISO/IEC 18004) to show: in a terminal, and as a picture to print or send.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of light around a code, which readers need to find it.
const QUIET: usize = 4;
/// Pixels a module in a picture: sharp on a phone's screen and on paper.
const SCALE: usize = 8;
/// Black on white in colours that no theme changes, so that light stays light on a dark terminal.
const COLOURS: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// A code with the light around it.
pub struct Drawing {
    /// Modules a side.
    width: usize,
    dark: Vec<bool>,
}

impl Drawing {
    /// Or `None` where the text is too long for any code.
    pub fn new(text: &str) -> Option<Drawing> {
        // Less redundancy makes larger modules, and a camera fails for small ones long before it fails for damage.
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let (inner, colors) = (code.width(), code.to_colors());
        let width = inner + 2 * QUIET;
        let dark = |i: usize| {
            let (x, y) = ((i % width).checked_sub(QUIET), (i / width).checked_sub(QUIET));
            x.zip(y)
                .filter(|(x, y)| x.max(y) < &inner)
                .is_some_and(|(x, y)| colors.get(y * inner + x) == Some(&Color::Dark))
        };
        Some(Drawing { width, dark: (0..width * width).map(dark).collect() })
    }

    /// Modules a side, with the light around.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.width && self.dark.get(y * self.width + x).is_some_and(|dark| *dark)
    }

    /// Lines of half blocks, two modules high each.
    pub fn for_terminal(&self) -> String {
        let mut text = String::new();
        for y in (0..self.width).step_by(2) {
            text.push_str(COLOURS);
            text.extend((0..self.width).map(|x| match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            }));
            text.push_str(RESET);
            text.push('\n');
        }
        text
    }

    /// A PNG file.
    pub fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let side = self.width * SCALE;
        let light = |i: usize| if self.is_dark(i % side / SCALE, i / side / SCALE) { 0 } else { 255 };
        let pixels: Vec<u8> = (0..side * side).map(light).collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, side as u32, side as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&pixels)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::setup::look;

    const TEXT: &str = "CALLBOX:1;I:front-door;N:Haustür;S:Home;P:12345678;;";

    fn read(width: usize, height: usize, pixel: impl Fn(usize, usize) -> u8) -> Vec<String> {
        look::texts(width, height, pixel)
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
}
