//! QR codes (ISO/IEC 18004) to show: in a terminal, on a page, and as a picture to print or send.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of light around a code, which readers need to find it.
const QUIET: usize = 4;
/// Pixels a module in a picture: sharp on a phone's screen and on paper.
#[cfg(feature = "board")]
const SCALE: usize = 8;
/// Black on white in colours that no theme changes, so that light stays light on a dark terminal.
pub const COLOURS: &str = "\x1b[38;5;16;48;5;231m";
pub const RESET: &str = "\x1b[0m";

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

    /// The dark modules as the `d` of an SVG `path`, in a square of [`width`](Drawing::width) units a side.
    pub fn svg_path(&self) -> String {
        let mut path = String::new();
        for (x, y) in (0..self.width).flat_map(|y| (0..self.width).map(move |x| (x, y))) {
            if self.is_dark(x, y) {
                path.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
        path
    }

    /// A PNG file.
    #[cfg(feature = "board")]
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
