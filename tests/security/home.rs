//! A household's server as a process of its own, and what clients do with it: plain requests, WebSockets, and the command
//! line of whoever owns it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Home {
    pub dir: TempDir,
    pub address: SocketAddr,
    child: Child,
}

/// An answer to a plain request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The cookie that was set, as a browser sends it back.
    pub fn cookie(&self) -> Option<String> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, cookie) = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))?;
        cookie.split(';').next().map(str::to_owned)
    }
}

impl Home {
    /// `more`: further lines of the configuration.
    pub async fn start(more: &str) -> Home {
        Home::start_with("", more, "trace").await
    }

    /// One that writes little, so that what is measured is not its log.
    pub async fn quiet(server: &str) -> Home {
        Home::start_with(server, "", "warn").await
    }

    /// `server`: further lines of that section.
    async fn start_with(server: &str, more: &str, level: &str) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let text = format!(
            "[server]\nlisten = '{address}'\n{server}[access]\nmode = 'invited'\n[state]\ndir = '{}'\n{more}",
            state.display()
        );
        std::fs::write(dir.path().join("callbox.toml"), text).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child =
            command(dir.path(), &["server"]).env("RUST_LOG", level).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let home = Home { dir, address, child };
        let start = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not start: {}", home.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        home
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Runs another command of the program beside the server, and returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = command(self.dir.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Invites somebody and returns the link's secret.
    pub fn invite(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["invite", "--json", "--name"], arguments].concat());
        let link = serde_json::from_str::<Value>(&output).unwrap()["link"].as_str().unwrap().to_owned();
        link.split_once("#invite=").unwrap().1.split('&').next().unwrap().to_owned()
    }

    /// Invites somebody, and comes in as them.
    pub async fn enter(&self, arguments: &[&str]) -> Session {
        let answer = self.redeem(&self.invite(arguments)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let you = answer.json()["you"].clone();
        let text = |key: &str| you[key].as_str().unwrap().to_owned();
        Session { cookie: answer.cookie().unwrap(), user: text("userId"), id: text("session") }
    }

    pub async fn redeem(&self, secret: &str) -> Answer {
        self.post("/api/redeem", &json!({ "secret": secret }), &[]).await
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, "").await
    }

    pub async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        self.request("POST", path, &headers, &body.to_string()).await
    }

    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !host {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.raw(format!("{head}\r\n{body}").as_bytes()).await
    }

    /// Sends these bytes and reads to the end.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        };
        let text = timeout(PATIENCE, exchange).await.expect("an answer in time");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A WebSocket, or the status with which it is refused; 0 where the connection just ends.
    pub async fn connect(&self, headers: &[(&str, &str)]) -> Result<Client, u16> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match timeout(PATIENCE, client_async(request, stream)).await.expect("an answer in time") {
            Ok((socket, response)) => {
                let challenge =
                    response.headers().get("callbox-challenge").map(|text| text.to_str().unwrap().to_owned());
                Ok(Client { socket, challenge })
            }
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(tungstenite::Error::Io(_) | tungstenite::Error::Protocol(_)) => Err(0),
            Err(error) => panic!("{error}"),
        }
    }

    /// A WebSocket that has joined as the session's person.
    pub async fn join(&self, session: &Session) -> Client {
        let mut client = self.connect(&[("Cookie", &session.cookie)]).await.unwrap();
        client.say(json!({ "type": "join", "userId": session.user, "accepts": ["peers"] })).await;
        client.hear("joined").await;
        client
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a browser has after its invitation.
pub struct Session {
    pub cookie: String,
    pub user: String,
    /// The ID by which it is revoked.
    pub id: String,
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
    command.args(arguments).arg("--config").arg(dir.join("callbox.toml"));
    command.env_clear().env("HOME", "/nonexistent").env("TZ", "UTC");
    command
}

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// What the server asks to be signed.
    pub challenge: Option<String>,
}

impl Client {
    pub async fn say(&mut self, value: Value) {
        let sent = self.socket.send(Message::text(value.to_string()));
        timeout(PATIENCE, sent).await.expect("sends in time").unwrap();
    }

    /// Bytes as they are, beside all framing.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stream = self.socket.get_mut();
        timeout(PATIENCE, stream.write_all(bytes)).await.expect("writes in time")
    }

    /// Says one text so many times, without waiting for each to be sent.
    pub async fn pour(&mut self, text: &str, times: usize) -> Result<(), tungstenite::Error> {
        for _ in 0..times {
            self.socket.feed(Message::text(text)).await?;
        }
        timeout(PATIENCE, self.socket.flush()).await.expect("sends in time")
    }

    /// Whether the server has not closed it yet.
    pub async fn is_open(&mut self) -> bool {
        loop {
            match timeout(Duration::from_millis(1), self.socket.next()).await {
                Err(_) => return true,
                Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return false,
                Ok(Some(Ok(_))) => {}
            }
        }
    }

    /// The next message, or the code with which the connection is closed.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("hears something in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    pub async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await.expect("the connection is open");
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The code with which the connection is closed, whatever comes before.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// A time so many seconds from now, as the command line takes it.
pub fn in_seconds(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let then = i64::try_from(now).unwrap() + seconds;
    let (days, rest) = (then.div_euclid(86_400), then.rem_euclid(86_400));
    // Civil date of a day number (Howard Hinnant's algorithm).
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
