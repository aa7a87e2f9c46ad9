//! Names for a camera that outlast a restart, when /dev/video numbers do not: what the driver calls it, and udev's links
//! by serial number and by socket.

use std::fs;
use std::path::{Path, PathBuf};

use crate::media::camera::CameraError;

/// Where udev puts the links: by what the camera says of itself, and by the socket it is plugged into.
const LINKS: [&str; 2] = ["/dev/v4l/by-id", "/dev/v4l/by-path"];

/// The links that lead to a device node, those by serial number first.
pub fn links(node: &Path) -> Vec<PathBuf> {
    LINKS.iter().flat_map(|dir| links_in(Path::new(dir), node)).collect()
}

fn links_in(dir: &Path, node: &Path) -> Vec<PathBuf> {
    let Ok(node) = node.canonicalize() else { return Vec::new() };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut links: Vec<PathBuf> =
        entries.filter(|link| link.canonicalize().is_ok_and(|target| target == node)).collect();
    links.sort();
    links
}

/// The one camera of that name: the very name, else a part of one; capitals do not count.
pub fn pick(wanted: &str, cameras: Vec<(PathBuf, String)>) -> Result<PathBuf, CameraError> {
    let lower = wanted.trim().to_lowercase();
    let matching = |fits: &dyn Fn(&str) -> bool| -> Vec<&PathBuf> {
        cameras.iter().filter(|(_, name)| fits(name.trim().to_lowercase().as_str())).map(|(path, _)| path).collect()
    };
    let same = matching(&|name| name == lower);
    let found = if same.is_empty() { matching(&|name| name.contains(&lower)) } else { same };
    match found[..] {
        [path] => Ok(path.clone()),
        [] => Err(CameraError::NoneOfThatName { name: wanted.to_owned(), there: in_words(&cameras) }),
        [..] => {
            let alike: Vec<_> = cameras.iter().filter(|(path, _)| found.contains(&path)).cloned().collect();
            Err(CameraError::SeveralOfThatName { name: wanted.to_owned(), found: in_words(&alike) })
        }
    }
}

fn in_words(cameras: &[(PathBuf, String)]) -> String {
    let word = |(path, name): &(PathBuf, String)| format!("{name:?} ({})", path.display());
    match cameras {
        [] => "no camera is plugged in".to_owned(),
        [..] => cameras.iter().map(word).collect::<Vec<_>>().join(" and "),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn camera(node: &str, name: &str) -> (PathBuf, String) {
        (node.into(), name.to_owned())
    }

    #[test]
    fn a_name_finds_its_camera_under_any_number() {
        let cameras = [camera("/dev/video4", "USB Camera: USB Camera"), camera("/dev/video0", "Logi C920")];
        let find = |wanted: &str| pick(wanted, cameras.to_vec()).map_err(|error| error.to_string());
        assert_eq!(find("USB Camera: USB Camera"), Ok("/dev/video4".into()));
        assert_eq!(find("usb camera"), Ok("/dev/video4".into()));
        assert_eq!(find(" c920 "), Ok("/dev/video0".into()));
        let missing = find("Brio").unwrap_err();
        assert!(missing.starts_with("no camera is called \"Brio\"") && missing.contains("\"Logi C920\" (/dev/video0)"));
        assert!(pick("Brio", Vec::new()).unwrap_err().to_string().contains("no camera is plugged in"));
    }

    #[test]
    fn two_of_one_name_are_both_shown() {
        let cameras = vec![camera("/dev/video0", "Cam"), camera("/dev/video2", "Cam"), camera("/dev/video4", "Cam 2")];
        let error = pick("cam", cameras.clone()).unwrap_err().to_string();
        assert!(error.contains("\"Cam\" (/dev/video0) and \"Cam\" (/dev/video2)"), "{error}");
        assert!(!error.contains("video4") && error.contains("/dev/v4l/by-path"), "{error}");
        assert_eq!(pick("Cam 2", cameras).unwrap(), PathBuf::from("/dev/video4"));
    }

    #[test]
    fn links_lead_to_their_node_only() {
        let dir = tempfile::tempdir().unwrap();
        let (ids, nodes) = (dir.path().join("by-id"), [dir.path().join("video0"), dir.path().join("video1")]);
        fs::create_dir(&ids).unwrap();
        nodes.iter().for_each(|node| fs::write(node, "").unwrap());
        symlink("../video0", ids.join("usb-index0")).unwrap();
        symlink("../video1", ids.join("usb-index1")).unwrap();
        symlink("../video9", ids.join("usb-gone")).unwrap();
        assert_eq!(links_in(&ids, &nodes[0]), [ids.join("usb-index0")]);
        assert!(links_in(&ids, &dir.path().join("video9")).is_empty());
    }
}
