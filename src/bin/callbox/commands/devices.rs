//! `callbox devices`: what this machine can capture with and play on.

use callbox::media::audio::alsa;
use callbox::media::camera::v4l2;
use serde_json::{Value, json};

use crate::outcome::{Failure, print};

pub fn list(as_json: bool) -> Result<(), Failure> {
    let sound = alsa::list();
    let devices = json!({ "cameras": v4l2::list(), "capture": sound.capture, "playback": sound.playback });
    match as_json {
        true => print(format!("{devices:#}\n").as_bytes()),
        false => print(table(&devices).as_bytes()),
    }
}

fn table(devices: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut out = String::new();

    let mut rows = Vec::new();
    for camera in list(&devices["cameras"]) {
        let mut about = [text(&camera["path"]), text(&camera["name"])];
        for format in list(&camera["formats"]) {
            let mut fourcc = text(&format["fourcc"]);
            for size in list(&format["sizes"]) {
                let rates: Vec<String> = list(&size["fps"]).iter().map(rate).collect();
                let pixels = format!("{}x{}", size["width"], size["height"]);
                let [path, name] = std::mem::take(&mut about);
                rows.push(vec![path, name, std::mem::take(&mut fourcc), pixels, rates.join(" ")]);
            }
        }
        if about.iter().any(|part| !part.is_empty()) {
            rows.push(about.to_vec());
        }
    }
    section(&mut out, "Cameras", "[camera] source", rows);

    let mut links = Vec::new();
    for camera in list(&devices["cameras"]) {
        let mut about = format!("{} ({})", text(&camera["name"]), text(&camera["path"]));
        for link in list(&camera["links"]) {
            links.push(vec![text(&link), std::mem::take(&mut about)]);
        }
    }
    if !links.is_empty() {
        section(&mut out, "The same cameras, by paths that a restart does not change", "[camera] source", links);
    }

    for (title, key, field) in
        [("Microphones", "[microphone] source", "capture"), ("Speakers", "[speaker] sink", "playback")]
    {
        let row = |d: &Value| vec![format!("alsa:{}", text(&d["pcm"])), text(&d["name"])];
        section(&mut out, title, key, list(&devices[field]).iter().map(row).collect());
    }
    out
}

/// Rows under a title, their columns aligned.
fn section(out: &mut String, title: &str, key: &str, rows: Vec<Vec<String>>) {
    if !out.is_empty() {
        out.push('\n');
    }
    if rows.is_empty() {
        return out.push_str(&format!("{title}: none. With {key} = \"auto\" a synthetic one stands in.\n"));
    }
    out.push_str(&format!("{title}, as {key} takes them:\n"));
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column| rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column: usize| width(column).unwrap_or_default()).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
}

/// Frames a second, with decimals only where there are some.
fn rate(fps: &Value) -> String {
    let fps = fps.as_f64().unwrap_or_default();
    let text = format!("{fps:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_each_thing_once() {
        let devices = json!({
            "cameras": [
                { "path": "/dev/video0", "name": "Webcam", "links": ["/dev/v4l/by-id/webcam", "/dev/v4l/by-path/usb-1"],
                    "formats": [
                    { "fourcc": "YUYV", "sizes": [
                        { "width": 640, "height": 480, "fps": [30.0, 14.985] },
                        { "width": 1280, "height": 720, "fps": [10.0] }] },
                    { "fourcc": "MJPG", "sizes": [{ "width": 1280, "height": 720, "fps": [30.0] }] }] },
                { "path": "/dev/video2", "name": "Odd", "formats": [] }],
            "capture": [{ "pcm": "plughw:CARD=C920,DEV=0", "name": "C920, USB Audio" }],
            "playback": [],
        });
        let expected = "\
Cameras, as [camera] source takes them:
  /dev/video0  Webcam  YUYV  640x480   30 14.98
                             1280x720  10
                       MJPG  1280x720  30
  /dev/video2  Odd

The same cameras, by paths that a restart does not change, as [camera] source takes them:
  /dev/v4l/by-id/webcam   Webcam (/dev/video0)
  /dev/v4l/by-path/usb-1

Microphones, as [microphone] source takes them:
  alsa:plughw:CARD=C920,DEV=0  C920, USB Audio

Speakers: none. With [speaker] sink = \"auto\" a synthetic one stands in.
";
        assert_eq!(table(&devices), expected);
    }
}
