//! Stands for the daemon in the power-cut test: answers on the control socket as a registered one does. A program file
//! that ends in "BROKEN" exits at once, as one does that cannot start.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

const SOCKET: &str = "/run/callbox/callbox.sock";
const STATUS: &str = "{\"ok\":true,\"signaling\":{\"registration\":{\"state\":\"registered\"}}}\n";

fn main() {
    let program = std::fs::read("/proc/self/exe").unwrap();
    if program.ends_with(b"BROKEN") {
        std::process::exit(1);
    }
    std::fs::create_dir_all("/run/callbox").unwrap();
    let _ = std::fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET).unwrap();
    for stream in listener.incoming().flatten() {
        let mut line = String::new();
        if BufReader::new(&stream).read_line(&mut line).is_ok() {
            let _ = (&stream).write_all(STATUS.as_bytes());
        }
    }
}
