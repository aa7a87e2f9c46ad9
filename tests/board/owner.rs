//! Whoever makes the code is the owner: from `callbox provision` to the board that lets them in, and nobody else.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::card::Board;
use crate::code::clip;

const PATIENCE: Duration = Duration::from_secs(30);

/// The board's own server, killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(board: &Board) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let config = board.root("callbox.toml");
        let state = board.places.daemon.display();
        let text = format!("server.listen = '{address}'\naccess.mode = 'invited'\nstate.dir = '{state}'\n");
        fs::write(&config, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_callbox"))
            .args(["server", "--config", config.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { child, address };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn redeem(&self, secret: &str) -> String {
        let body = format!("{{\"secret\":\"{secret}\"}}");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("POST /api/redeem HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        let kind = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{kind}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_callbox")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The secret of a link.
fn secret(link: &str) -> String {
    link.split_once("#invite=").unwrap().1.get(..43).unwrap().to_owned()
}

/// Makes a code and shows it to the board. Returns the link's secret and the code.
fn provision(board: &Board) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (png, film, found, root) =
        (path("code.png"), path("clip.y4m"), path("found"), board.places.root.to_str().unwrap());
    let out = run(&["provision", "--id", "hall", "--ssid", "Home", "--open", "--png", &png]);
    let link = out.split_whitespace().find(|word| word.contains("#invite=")).expect("a link").to_owned();
    assert!(link.starts_with("https://hall.local:8443/#invite="), "{link}");
    clip(&png, &film);
    let camera = format!("file:{film}");
    let scan = ["board", "scan", "--to", &found, "--root", root, "--speaker", "none", "--seconds", "60", "--camera"];
    run(&[&scan[..], &[&camera]].concat());
    let code = fs::read_to_string(&found).unwrap();
    run(&["board", "apply", &found, "--root", root]);
    (secret(&link), code)
}

#[test]
fn whoever_made_the_code_is_the_owner() {
    let board = Board::new();
    fs::create_dir_all(&board.places.daemon).unwrap();
    let first_link = board.places.daemon.join("first-link");
    // The board has been up before it sees the code, as every board is.
    let server = Server::start(&board);
    let end = Instant::now() + PATIENCE;
    while !first_link.exists() {
        assert!(Instant::now() < end, "no first link is made");
        std::thread::sleep(Duration::from_millis(20));
    }
    let first = secret(&fs::read_to_string(&first_link).unwrap());
    let (owners, code) = provision(&board);
    assert!(!code.contains(&owners), "whoever sees the code is not let in by it");
    drop(server);

    let server = Server::start(&board);
    let answer = server.redeem(&first);
    assert!(
        answer.contains("invitationUnknown") && !first_link.exists(),
        "the other link is worth nothing now: {answer}"
    );
    let answer = server.redeem(&owners);
    assert!(answer.contains("\"role\":\"owner\""), "{answer}");
    assert!(server.redeem(&owners).contains("invitationUsedUp"));
    assert!(!board.places.daemon.join("first-owner").exists());
    assert!(!board.start().report.contains("Owner"));

    // Another code makes no second owner.
    let (second, _) = provision(&board);
    drop(server);
    let server = Server::start(&board);
    assert!(server.redeem(&second).contains("invitationUnknown"));
    assert!(!board.places.daemon.join("first-owner").exists());
}
