//! A Y4M file as camera: played in real time at its own rate, over and over.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

use y4m::{Colorspace, Decoder, Limits};

use super::{Camera, CameraError, Ticks, Wanted};
use crate::media::frame::{I420, MAX_SIDE, copy_plane};

/// Largest picture in bytes: 3840x3840 in 4:2:0.
const MAX_FRAME_BYTES: usize = MAX_SIDE as usize * MAX_SIDE as usize * 3 / 2;
/// Highest and lowest rate, pictures a second.
const FPS: (f64, f64) = (0.5, 120.0);

/// Opens a Y4M file with 8-bit 4:2:0 or grey pictures. Size and rate are the file's (an odd last column or row is cut);
/// `wanted` only serves to say so.
pub fn open(path: &Path, wanted: Wanted) -> Result<Box<dyn Camera>, CameraError> {
    let decoder = start(path)?;
    let fps = rate(path, &decoder)?;
    let (width, height) = (decoder.get_width() as u32 & !1, decoder.get_height() as u32 & !1);
    if (width, height) != (wanted.width, wanted.height) || fps != f64::from(wanted.fps) {
        log::info!(file = path.to_string_lossy().as_ref(), width, height, fps; "the video file's size and rate are used");
    }
    Ok(Box::new(Y4m { path: path.to_owned(), decoder, size: (width, height), ticks: Ticks::new(fps), played: 0 }))
}

struct Y4m {
    path: PathBuf,
    decoder: Decoder<BufReader<File>>,
    size: (u32, u32),
    ticks: Ticks,
    /// Pictures since the file was last started from its beginning.
    played: u64,
}

impl Camera for Y4m {
    fn describe(&self) -> String {
        format!("video file {}, {}x{} at {} fps", self.path.display(), self.size.0, self.size.1, self.ticks.fps)
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn fps(&self) -> f64 {
        self.ticks.fps
    }

    fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError> {
        // Read before the tick, so that the picture is there when its time comes.
        self.read(frame)?;
        self.ticks.wait();
        Ok(Instant::now())
    }
}

impl Y4m {
    fn read(&mut self, frame: &mut I420) -> Result<(), CameraError> {
        let (columns, rows) = (self.decoder.get_width(), self.decoder.get_height());
        if (columns as u32 & !1, rows as u32 & !1) != self.size {
            return Err(failure(&self.path, "its size changed while it was played"));
        }
        let picture = match self.decoder.read_frame() {
            Ok(picture) => picture,
            Err(y4m::Error::EOF) if self.played > 0 => {
                self.played = 0;
                self.decoder = start(&self.path)?;
                return self.read(frame);
            }
            Err(y4m::Error::EOF) => return Err(failure(&self.path, "it holds no whole picture")),
            Err(other) => return Err(failure(&self.path, &other.to_string())),
        };
        self.played += 1;
        frame.resize(self.size.0, self.size.1);
        let width = self.size.0 as usize;
        let (y, u, v) = frame.planes_mut();
        copy_plane(picture.get_y_plane(), columns, y, width);
        for (from, to) in [(picture.get_u_plane(), u), (picture.get_v_plane(), v)] {
            match from {
                [] => to.fill(128),
                samples => copy_plane(samples, columns.div_ceil(2), to, width / 2),
            }
        }
        Ok(())
    }
}

fn start(path: &Path) -> Result<Decoder<BufReader<File>>, CameraError> {
    let file = File::open(path).map_err(|source| CameraError::open(path, source))?;
    let limits = Limits { bytes: MAX_FRAME_BYTES };
    let decoder = Decoder::new_with_limits(BufReader::new(file), limits).map_err(|error| match error {
        y4m::Error::UnknownColorspace => failure(path, COLOURS),
        y4m::Error::OutOfMemory => failure(path, "its pictures are larger than 3840x3840"),
        y4m::Error::EOF | y4m::Error::BadInput | y4m::Error::ParseError(_) | y4m::Error::IoError(_) => {
            failure(path, "it is not a Y4M file (ffmpeg -i clip.mp4 -pix_fmt yuv420p clip.y4m makes one)")
        }
    })?;
    match decoder.get_colorspace() {
        Colorspace::C420 | Colorspace::C420jpeg | Colorspace::C420mpeg2 | Colorspace::C420paldv | Colorspace::Cmono => {
        }
        _ => return Err(failure(path, COLOURS)),
    }
    let sides = 2..=MAX_SIDE as usize;
    if !sides.contains(&decoder.get_width()) || !sides.contains(&decoder.get_height()) {
        return Err(failure(path, "its pictures are smaller than 2x2 or larger than 3840x3840"));
    }
    Ok(decoder)
}

const COLOURS: &str = "only 8-bit 4:2:0 and grey pictures are supported (ffmpeg's -pix_fmt yuv420p makes them)";

fn rate(path: &Path, decoder: &Decoder<BufReader<File>>) -> Result<f64, CameraError> {
    let ratio = decoder.get_framerate();
    match ratio.num as f64 / ratio.den as f64 {
        fps if fps.is_finite() && fps > 0.0 => Ok(fps.clamp(FPS.0, FPS.1)),
        _ => Err(failure(path, "it states no frame rate")),
    }
}

fn failure(path: &Path, reason: &str) -> CameraError {
    CameraError::File { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const WANTED: Wanted = Wanted { width: 4, height: 4, fps: 30 };

    fn file(header: &str, pictures: &[&[u8]]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{header}").unwrap();
        for picture in pictures {
            file.write_all(b"FRAME\n").unwrap();
            file.write_all(picture).unwrap();
        }
        file.flush().unwrap();
        file
    }

    #[test]
    fn plays_over_and_over_at_its_own_rate() {
        let file = file("YUV4MPEG2 W4 H4 F100:1 Ip A1:1 C420jpeg", &[&[10; 24], &[20; 24], &[30; 24]]);
        let mut camera = open(file.path(), WANTED).unwrap();
        assert_eq!((camera.size(), camera.fps()), ((4, 4), 100.0));
        let (mut frame, start) = (I420::default(), Instant::now());
        for number in 0..8u8 {
            camera.next_frame(&mut frame).unwrap();
            assert_eq!(frame.planes().0, [10 * (number % 3 + 1); 16]);
        }
        assert!(start.elapsed().as_millis() >= 65, "{:?}", start.elapsed());
    }

    /// As FFmpeg writes it to a pipe, and as it looks where the pipe broke.
    #[test]
    fn a_clip_that_ends_anywhere_starts_over() {
        let header = "YUV4MPEG2 W4 H4 F120:1 Ip A0:0 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED\n";
        let picture = |number: u8| [b"FRAME\n".as_slice(), &[10 * number; 24]].concat();
        let whole = [header.as_bytes(), &picture(1), &picture(2), &picture(3)].concat();
        let two = whole.len() - picture(3).len();
        for length in two..=whole.len() {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&whole[..length]).unwrap();
            let mut camera = open(file.path(), WANTED).unwrap();
            let pictures = if length == whole.len() { 3 } else { 2 };
            let mut frame = I420::default();
            for number in (0..pictures).chain(0..pictures) {
                camera.next_frame(&mut frame).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
                assert_eq!(frame.planes().0, [10 * (number + 1); 16], "{length} bytes");
            }
        }
    }

    #[test]
    fn odd_sizes_are_cut_and_grey_gets_neutral_colours() {
        let luma: Vec<u8> = (0..25).collect();
        let grey = file("YUV4MPEG2 W5 H5 F100:1 Cmono", &[&luma]);
        let mut camera = open(grey.path(), WANTED).unwrap();
        let mut frame = I420::default();
        camera.next_frame(&mut frame).unwrap();
        assert_eq!(frame.planes().0, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18]);
        assert_eq!(frame.planes().1, [128; 4]);

        let mut picture = vec![50; 25];
        picture.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
        let colour = file("YUV4MPEG2 W5 H5 F100:1", &[&picture]);
        open(colour.path(), WANTED).unwrap().next_frame(&mut frame).unwrap();
        assert_eq!((frame.planes().1, frame.planes().2), (&[1, 2, 4, 5][..], &[11, 12, 14, 15][..]));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let message = |header: &str| open(file(header, &[]).path(), WANTED).err().expect(header).to_string();
        assert!(message("hello").contains("not a Y4M file"));
        assert!(message("YUV4MPEG2 W4 H4 F30:1 C444").contains("4:2:0"));
        assert!(message("YUV4MPEG2 W4 H4 F30:1 C420p10").contains("4:2:0"));
        assert!(message("YUV4MPEG2 W4 H4 F0:0").contains("frame rate"));
        assert!(message("YUV4MPEG2 W4 H1 F30:1").contains("smaller"));
        assert!(message("YUV4MPEG2 W9999 H9999 F30:1").contains("larger"));
        let missing = open(Path::new("/no/such/file.y4m"), WANTED).err().unwrap();
        assert!(missing.to_string().starts_with("cannot open camera /no/such/file.y4m"));
    }

    #[test]
    fn a_file_without_a_whole_picture_is_an_error_not_a_busy_loop() {
        let mut frame = I420::default();
        for pictures in [&[][..], &[&[1u8; 10][..]][..]] {
            let file = file("YUV4MPEG2 W4 H4 F100:1", pictures);
            let error = open(file.path(), WANTED).unwrap().next_frame(&mut frame).err().unwrap();
            assert!(error.to_string().contains("no whole picture"));
        }
    }
}
