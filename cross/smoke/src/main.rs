//! One picture, one packet of voice, one call, each taken to its far end and compared with what went in. cross/verify
//! runs this on an emulated processor: codecs that were built wrong for it rarely fail, they make noise.

use std::time::{Duration, Instant};

use callbox::media::camera::{Wanted, synthetic};
use callbox::media::convert::{Converter, Layout, PixelFormat};
use callbox::media::frame::I420;
use callbox::media::h264::{Format, H264Encoder};
use callbox::media::opus::{PACKET, VoiceDecoder, VoiceEncoder};
use callbox::net::peer::{Peer, PeerEvent, PeerSettings};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use turbojpeg::{Compressor, Subsamp, YuvImage};

const SIZE: (u32, u32) = (640, 480);
/// Emulated processors are slow; nothing here may hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    report("H.264", h264);
    report("JPEG", jpeg);
    report("Opus", opus);
    report("call", call);
}

fn report(what: &str, check: fn() -> String) {
    let start = Instant::now();
    let result = check();
    println!("{what}: {result} ({} ms)", start.elapsed().as_millis());
}

fn picture() -> I420 {
    let mut frame = I420::default();
    let mut camera = synthetic::open(Wanted { width: SIZE.0, height: SIZE.1, fps: 30 }).expect("the synthetic camera");
    camera.next_frame(&mut frame).expect("a picture");
    frame
}

/// How alike two planes are: peak signal-to-noise ratio in dB.
fn likeness(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>) -> f64 {
    let (mut count, mut sum) = (0u64, 0u64);
    for (a, b) in a.zip(b) {
        count += 1;
        sum += u64::from(a.abs_diff(b)).pow(2);
    }
    assert_eq!(count, u64::from(SIZE.0 * SIZE.1), "a whole picture was compared");
    10.0 * (255.0 * 255.0 * count as f64 / sum.max(1) as f64).log10()
}

fn h264() -> String {
    let picture = picture();
    let mut encoder = H264Encoder::new(Format::for_camera(SIZE, 30.0, None)).expect("an encoder");
    let unit = encoder.encode(&picture, Instant::now(), true).expect("encoding works").expect("a key picture");
    assert!(unit.key);
    let mut decoder = Decoder::new().expect("a decoder");
    let decoded = decoder.decode(&unit.annex_b()).expect("decoding works").expect("a picture at once");
    let rows = decoded.y().chunks(decoded.strides().0).take(SIZE.1 as usize);
    let seen = rows.flat_map(|row| row[..SIZE.0 as usize].iter().copied());
    let likeness = likeness(picture.planes().0.iter().copied(), seen);
    assert!(likeness > 30.0, "the decoded picture is another one: {likeness:.1} dB");
    format!("key picture of {} bytes, {likeness:.1} dB like the original", unit.bytes())
}

fn jpeg() -> String {
    let picture = picture();
    let (y, u, v) = picture.planes();
    let pixels = [y, u, v].concat();
    let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
    let image = YuvImage { pixels: &pixels[..], width, align: 1, height, subsamp: Subsamp::Sub2x2 };
    let data = Compressor::new().and_then(|mut to| to.compress_yuv_to_vec(image)).expect("a JPEG picture");
    let layout =
        Layout { format: PixelFormat::Mjpeg, width: SIZE.0, height: SIZE.1, stride: SIZE.0, full_range: false };
    let mut seen = I420::default();
    Converter::new().convert(layout, &data, &mut seen).expect("a readable picture");
    // JPEG has the full range of samples, a call's pictures the limited one.
    let limited = y.iter().map(|&sample| (16.0 + f64::from(sample) * 219.0 / 255.0).round() as u8);
    let likeness = likeness(limited, seen.planes().0.iter().copied());
    assert!(likeness > 30.0, "the decoded picture is another one: {likeness:.1} dB");
    format!("picture of {} bytes, {likeness:.1} dB like the original", data.len())
}

fn opus() -> String {
    let (mut encoder, mut decoder) =
        (VoiceEncoder::new().expect("an encoder"), VoiceDecoder::new().expect("a decoder"));
    let tone = |at: usize| (at as f32 * 440.0 / 48_000.0 * std::f32::consts::TAU).sin() * 8_000.0;
    let (mut bytes, mut heard) = (0, Vec::new());
    for packet in 0..10 {
        let voice: [i16; PACKET] = std::array::from_fn(|i| tone(packet * PACKET + i) as i16);
        let data = encoder.encode(&voice).expect("encoding works");
        bytes += data.len();
        heard = decoder.decode(&data).expect("decoding works").to_vec();
    }
    assert_eq!(heard.len(), PACKET);
    let crossings = heard.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    let loudest = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    // 440 Hz crosses zero 17.6 times in 20 ms.
    assert!((16..=19).contains(&crossings), "the tone has another pitch: {crossings} crossings");
    assert!((6_000..=10_000).contains(&loudest), "the tone has another loudness: {loudest}");
    format!("10 packets of {} bytes, the tone is the same", bytes / 10)
}

#[tokio::main]
async fn call() -> String {
    tokio::time::timeout(PATIENCE, connect()).await.expect("two peers on loopback connect")
}

async fn connect() -> String {
    let settings = PeerSettings { bind: vec![[127, 0, 0, 1].into()], loopback: true, ..PeerSettings::default() };
    let (caller, offer, mut at_caller) = Peer::offer(&settings).await.expect("an offer");
    let (callee, answer, mut at_callee) = Peer::answer(&settings, &offer).await.expect("an answer");
    caller.accept_answer(&answer).await.expect("the answer fits the offer");
    let (mut caller_is_up, mut callee_is_up) = (false, false);
    while !(caller_is_up && callee_is_up) {
        let (event, other, is_up) = tokio::select! {
            event = at_caller.recv() => (event, &callee, &mut caller_is_up),
            event = at_callee.recv() => (event, &caller, &mut callee_is_up),
        };
        match event.expect("the call goes on") {
            PeerEvent::Candidate(candidate) => other.add_candidate(candidate.as_ref()).await.expect("a candidate"),
            PeerEvent::Connected => *is_up = true,
            PeerEvent::Closed(reason) => panic!("the call ended: {reason:?}"),
            _ => {}
        }
    }
    caller.close().await;
    callee.close().await;
    format!("offer of {} bytes, answer of {}, ICE and DTLS connected", offer.len(), answer.len())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_asked_of_a_cross_build_holds_here() {
        super::main();
    }
}
