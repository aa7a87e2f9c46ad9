//! A certificate authority for tests: Debian's pebble, which resolves names at pebble-challtestsrv and comes to see whether
//! they are ours at the ports it is told; and a front that says of it what pebble itself does not.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::tls::connect;
use crate::web::exchange;

/// What pebble takes a while for on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// A port that nobody has now. Below those that the kernel gives to clients, so that it stays so.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() as u16).wrapping_mul(61).wrapping_add(next) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A directory with certificates for what answers at 127.0.0.1: `root.pem` vouches for `cert.pem`.
struct Pair(tempfile::TempDir);

impl Pair {
    fn new() -> Pair {
        let dir = tempfile::tempdir().unwrap();
        let authority = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&authority).unwrap().pem();
        let issuer = Issuer::new(params, authority);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        for (name, text) in [("root.pem", root), ("cert.pem", cert), ("key.pem", key.serialize_pem())] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Pair(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

struct Process(Child);

impl Process {
    fn start(program: &str, arguments: &[&str], listens: u16) -> Process {
        let child = Command::new(program)
            .args(arguments)
            // It waits some seconds before it looks, and refuses one nonce in twenty.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process =
            Process(child.unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup test installs it")));
        let end = Instant::now() + LONG;
        while TcpStream::connect(("127.0.0.1", listens)).is_err() {
            assert!(Instant::now() < end, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Pebble {
    pair: Pair,
    port: u16,
    management: u16,
    /// Where it comes to see.
    pub http: u16,
    pub tls: u16,
    names: u16,
    records: u16,
    life: Duration,
    running: Option<[Process; 2]>,
}

impl Pebble {
    /// Does not run yet. Its certificates are good for `life`.
    pub fn new(life: Duration) -> Pebble {
        let [port, management, http, tls, names, records] = std::array::from_fn(|_| port());
        Pebble { pair: Pair::new(), port, management, http, tls, names, records, life, running: None }
    }

    pub fn started(life: Duration) -> Pebble {
        let mut pebble = Pebble::new(life);
        pebble.start();
        pebble
    }

    pub fn start(&mut self) {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let config = json!({ "pebble": {
            "listenAddress": at(self.port),
            "managementListenAddress": at(self.management),
            "certificate": self.pair.path("cert.pem"),
            "privateKey": self.pair.path("key.pem"),
            "httpPort": self.http,
            "tlsPort": self.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": self.life.as_secs(),
        } });
        let file = self.pair.path("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let (names, records) = (at(self.names), at(self.records));
        let server = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"];
        let arguments = [&server[..], &["-dns01", &names, "-management", &records]].concat();
        let server = Process::start("pebble-challtestsrv", &arguments, self.records);
        let arguments = ["-config", file.to_str().unwrap(), "-dnsserver", &names];
        self.running = Some([Process::start("pebble", &arguments, self.port), server]);
    }

    pub fn stop(&mut self) {
        self.running = None;
    }

    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// Vouches for pebble's own port, and not for what it issues.
    pub fn ca_file(&self) -> PathBuf {
        self.pair.path("root.pem")
    }

    /// What vouches for what it issues.
    pub async fn root(&self) -> String {
        body(self.management, "/roots/0", &self.pair.text("root.pem")).await
    }

    /// A hook for dns-01 that tells the name server, and writes down what it was told; `first` comes before that.
    pub fn hook(&self, dir: &Path, first: &str) -> PathBuf {
        let text = format!(
            r#"#!/bin/bash
set -eu
printf '%s %s\n' "$1" "$2" >> "{log}"
{first}
if [ "$1" = set ]; then body='{{"host":"'$2'.","value":"'$3'"}}'; else body='{{"host":"'$2'."}}'; fi
exec 3<>/dev/tcp/127.0.0.1/{port}
printf 'POST /%s-txt HTTP/1.0\r\nContent-Length: %s\r\n\r\n%s' "$1" "${{#body}}" "$body" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
"#,
            log = dir.join("hook.log").display(),
            port = self.records,
        );
        let (draft, hook) = (dir.join("draft"), dir.join("hook"));
        std::fs::write(&draft, text).unwrap();
        // By another process, since one that a test starts meanwhile would have this file open for writing.
        assert!(Command::new("install").args(["-m", "755"]).args([&draft, &hook]).status().unwrap().success());
        hook
    }
}

async fn body(port: u16, path: &str, roots: &str) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = connect(address, "127.0.0.1", roots).await.unwrap();
    let response = exchange(stream, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")).await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.split(' ').nth(1) == Some("200"), "{head}");
    body.to_owned()
}

/// What the front answers for a path: status, headers, body.
pub type Answer = (u16, String, String);

/// Answers by HTTPS at the address of an authority, for as long as it lives.
pub struct Front {
    pair: Pair,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Front {
    pub async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Front {
        let pair = Pair::new();
        let certificates =
            CertificateDer::pem_slice_iter(pair.text("cert.pem").as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.text("key.pem").as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(certificates, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer, log) = (acceptor.clone(), answer.clone(), log.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = vec![0; 16 * 1024];
                    let length = stream.read(&mut head).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    log.lock().unwrap().push(path.clone());
                    let (status, headers, body) = answer(&path);
                    let length = body.len();
                    let text = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Front { pair, address, asked, task }
    }

    /// Pebble's directory with `more` in it, and `answer` for everything else; `{front}` stands for our own address.
    pub async fn of(
        pebble: &Pebble,
        more: &[(&str, &str)],
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Front {
        let text = body(pebble.port, "/dir", &pebble.pair.text("root.pem")).await;
        let mut directory: Value = serde_json::from_str(&text).unwrap();
        let here = Arc::new(Mutex::new(String::new()));
        for (name, path) in more {
            directory[name] = json!(format!("{{front}}{path}"));
        }
        let (directory, base) = (directory.to_string(), here.clone());
        let front = Front::start(move |path| match path {
            "/dir" => (200, String::new(), directory.replace("{front}", &base.lock().unwrap())),
            path => answer(path),
        });
        let front = front.await;
        *here.lock().unwrap() = format!("https://{}", front.address);
        front
    }

    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// Vouches for the front and, with `pebble`, for both.
    pub fn ca_file(&self, pebble: &Pebble) -> PathBuf {
        let both = self.pair.path("both.pem");
        std::fs::write(&both, self.pair.text("root.pem") + &pebble.pair.text("root.pem")).unwrap();
        both
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(path)).count()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}
