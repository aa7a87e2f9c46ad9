//! What a picture costs on its way to the viewers: conversion from each camera format, scaling, encoding, and handing
//! it to many readers; and looking for a code in it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use callbox::base::qr::Drawing;
use callbox::board::setup::look::Look;
use callbox::logic::picture::fanout::{Fanout, Next};
use callbox::logic::picture::level::Level;
use callbox::logic::unit::AccessUnit;
use callbox::media::camera::{Wanted, synthetic};
use callbox::media::convert::{Converter, Layout, PixelFormat};
use callbox::media::frame::I420;
use callbox::media::h264::{Format, H264Encoder};
use callbox::media::scale::Scaler;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use turbojpeg::{Compressor, Subsamp, YuvImage};

const SIZES: [(u32, u32); 2] = [(640, 480), (1280, 720)];

/// Consecutive pictures of the synthetic camera.
fn pictures((width, height): (u32, u32), count: usize) -> Vec<I420> {
    let mut camera = synthetic::open(Wanted { width, height, fps: 120 }).expect("the synthetic camera opens");
    let mut frame = I420::default();
    let mut next = || camera.next_frame(&mut frame).map(|_| frame.clone());
    (0..count).map(|_| next().expect("a picture")).collect()
}

/// The picture as a camera would deliver it.
fn delivered(format: PixelFormat, picture: &I420) -> Vec<u8> {
    let (width, height) = (picture.size().0 as usize, picture.size().1 as usize);
    let (y, u, v) = picture.planes();
    let chroma = |i: usize| (i / width / 2) * (width / 2) + i % width / 2;
    match format {
        PixelFormat::I420 => [y, u, v].concat(),
        PixelFormat::Nv12 => y.iter().copied().chain(u.iter().zip(v).flat_map(|(u, v)| [*u, *v])).collect(),
        PixelFormat::Yuyv => {
            (0..y.len()).step_by(2).flat_map(|i| [y[i], u[chroma(i)], y[i + 1], v[chroma(i)]]).collect()
        }
        PixelFormat::Uyvy => {
            (0..y.len()).step_by(2).flat_map(|i| [u[chroma(i)], y[i], v[chroma(i)], y[i + 1]]).collect()
        }
        PixelFormat::Mjpeg => {
            let doubled =
                |plane: &[u8]| plane.chunks(width / 2).flat_map(|row| [row, row].concat()).collect::<Vec<_>>();
            let pixels = [y.to_vec(), doubled(u), doubled(v)].concat();
            let image = YuvImage { pixels: &pixels[..], width, align: 1, height, subsamp: Subsamp::Sub2x1 };
            let mut compressor = Compressor::new().expect("a JPEG compressor");
            compressor.set_quality(85).expect("a quality");
            compressor.compress_yuv_to_vec(image).expect("a JPEG picture")
        }
    }
}

fn convert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convert to I420");
    for size in SIZES {
        let picture = &pictures(size, 1)[0];
        for format in PixelFormat::ALL {
            let buffer = delivered(format, picture);
            let bytes = if matches!(format, PixelFormat::Yuyv | PixelFormat::Uyvy) { 2 } else { 1 };
            let layout = Layout { format, width: size.0, height: size.1, stride: size.0 * bytes, full_range: false };
            let (mut converter, mut frame) = (Converter::new(), I420::default());
            group.throughput(Throughput::Elements(u64::from(size.0) * u64::from(size.1)));
            group.bench_function(
                BenchmarkId::new(format!("{format:?}"), format!("{}x{}", size.0, size.1)),
                |bencher| {
                    bencher.iter(|| converter.convert(layout, black_box(&buffer), &mut frame));
                },
            );
        }
    }
    group.finish();
}

fn scale(criterion: &mut Criterion) {
    let (from, mut to) = (pictures((1920, 1080), 1).remove(0), I420::new(1280, 720));
    let mut scaler = Scaler::default();
    criterion.bench_function("scale 1920x1080 to 1280x720", |bencher| {
        bencher.iter(|| scaler.scale(black_box(&from), &mut to));
    });
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let pictures = pictures(size, 60);
        for (name, key) in [("picture", false), ("key picture", true)] {
            let mut encoder = H264Encoder::new(Format::for_camera(size, 30.0, Some(Level::L3_1))).expect("an encoder");
            let (mut captured, mut number) = (Instant::now(), 0);
            group.bench_function(BenchmarkId::new(name, format!("{}x{}", size.0, size.1)), |bencher| {
                bencher.iter(|| {
                    captured += Duration::from_secs(1) / 30;
                    number += 1;
                    encoder.encode(&pictures[number % pictures.len()], captured, key)
                });
            });
        }
    }
    group.finish();
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan out a picture");
    let slice = vec![0x41; 10_000];
    let unit = |key| AccessUnit::new([&slice[..]], key, Instant::now(), (1280, 720));
    let (key, other) = (unit(true), unit(false));
    for subscribers in [1usize, 4, 16] {
        let mut fanout = Fanout::new();
        fanout.push(key.clone(), true);
        let mut cursors = vec![fanout.subscribe(); subscribers];
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter(|| {
                fanout.push(other.clone(), false);
                let read = |cursor| matches!(fanout.next(cursor), Next::Item(_));
                cursors.iter_mut().map(read).filter(|got| *got).count()
            });
        });
    }
    group.finish();
}

/// From the encoder's slices to what is sent: once a picture, and what is left to do for each viewer.
fn packetize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packetize 10 kB");
    let slice = vec![0x41; 10_000];
    let make = || AccessUnit::new([black_box(&slice[..])], false, Instant::now(), (1280, 720));
    group.bench_function("once", |bencher| bencher.iter(make));
    let unit = make();
    group.bench_function("for a viewer", |bencher| {
        bencher.iter(|| unit.payloads().iter().map(|payload| black_box(payload.clone()).len()).sum::<usize>());
    });
    group.finish();
}

/// Looking for a code to set up by, in a picture with one and in one without.
fn look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look for a code");
    let text = "CALLBOX:1;I:front-door;N:Front door;U:wss\\://call.example.org/ws;K:s3cret;S:Home;P:12345678;C:DE;;";
    let code = Drawing::new(text).expect("a code");
    for size in SIZES {
        let (width, height) = (size.0 as usize, size.1 as usize);
        let mut shown = I420::new(size.0, size.1);
        shown.fill(120, 128, 128);
        let module = height / 2 / code.width();
        let left = (width - module * code.width()) / 2;
        for (i, pixel) in shown.planes_mut().0.iter_mut().enumerate() {
            let (x, y) = ((i % width).wrapping_sub(left) / module, (i / width).wrapping_sub(height / 4) / module);
            if x < code.width() && y < code.width() {
                *pixel = if code.is_dark(x, y) { 40 } else { 210 };
            }
        }
        let mut look = Look::default();
        assert_eq!(look.read(&shown), [text]);
        for (what, picture) in [("with", &shown), ("without", &pictures(size, 1)[0])] {
            group.bench_function(BenchmarkId::new(what, format!("{width}x{height}")), |bencher| {
                bencher.iter(|| look.read(black_box(picture)));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = convert, scale, encode, packetize, fan_out, look
}
criterion_main!(benches);
