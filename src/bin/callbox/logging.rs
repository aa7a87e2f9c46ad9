//! Where log records go: to the journal with their fields when systemd started the process, else to the terminal.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use callbox::base::lock::lock;
use env_logger::fmt::Formatter;
use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// Targets that warn on every healthy call; they are heard when `RUST_LOG` names them.
#[cfg(feature = "device")]
use callbox::net::peer::{QUIET_TARGETS as QUIET, SILENT_TARGETS as SILENT};
#[cfg(not(feature = "device"))]
const QUIET: &[&str] = &[];
#[cfg(not(feature = "device"))]
const SILENT: &[&str] = &[];

/// What every record carries that says nothing else. There is one site so far.
const SITE: (&str, &str) = ("CALLBOX_SITE", "home");

static LOGGER: OnceLock<Sparing<Output>> = OnceLock::new();

/// Starts logging. `RUST_LOG` (`rust_log`) wins over the configured level.
pub fn start(level: LevelFilter, rust_log: Option<&str>) {
    let journal = if connected_to_journal() { JournalLog::new().ok() } else { None };
    let output = Output { filter: RwLock::new(filter(level, rust_log)), journal };
    let logger = LOGGER.get_or_init(|| Sparing { logger: output, told: Mutex::default() });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(logger.logger.filter().filter());
    }
}

/// Another level from now on, unless `RUST_LOG` says one.
pub fn set_level(level: LevelFilter) {
    if let Some(logger) = LOGGER.get() {
        let filter = filter(level, std::env::var("RUST_LOG").ok().as_deref());
        log::set_max_level(filter.filter());
        *logger.logger.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }
}

fn filter(level: LevelFilter, rust_log: Option<&str>) -> env_logger::Logger {
    builder(level, rust_log).format(write_line).build()
}

fn builder(level: LevelFilter, rust_log: Option<&str>) -> env_logger::Builder {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    // A stranger's odd TLS hello is no warning of ours either.
    for target in QUIET.iter().chain(&["rustls"]) {
        builder.filter_module(target, level.min(LevelFilter::Error));
    }
    for target in SILENT {
        builder.filter_module(target, LevelFilter::Off);
    }
    if let Some(directives) = rust_log {
        builder.parse_filters(directives);
    }
    builder
}

/// Lets an error of the [`QUIET`] targets through at most once in [`SPELL`]: some of them come with every packet that a
/// stranger cares to send.
struct Sparing<L> {
    logger: L,
    told: Mutex<Option<Instant>>,
}

const SPELL: Duration = Duration::from_secs(1);

impl<L: Log> Log for Sparing<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let limited = record.level() == Level::Error && QUIET.iter().any(|target| record.target().starts_with(target));
        if limited {
            let mut told = lock(&self.told);
            if told.is_some_and(|told| told.elapsed() < SPELL) {
                return;
            }
            *told = Some(Instant::now());
        }
        self.logger.log(record);
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// Whether what the process prints is read by everybody who reads the journal.
#[cfg(feature = "server")]
pub fn goes_to_the_journal() -> bool {
    connected_to_journal()
}

/// The terminal's logger, which in front of the journal is its filter.
struct Output {
    filter: RwLock<env_logger::Logger>,
    journal: Option<JournalLog>,
}

impl Output {
    fn filter(&self) -> RwLockReadGuard<'_, env_logger::Logger> {
        self.filter.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Output {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let filter = self.filter();
        let Some(journal) = &self.journal else { return filter.log(record) };
        if !filter.matches(record) {
            return;
        }
        // journalctl shows the message alone, so the fields are told there too.
        let mut message = record.args().to_string();
        let mut fields = Fields(|key: &str, value: &str| message.push_str(&format!(" {key}={value}")));
        let _ = record.key_values().visit(&mut fields);
        let fields = journal_fields(record);
        let mut told = Record::builder();
        told.metadata(record.metadata().clone()).key_values(&fields);
        told.module_path(record.module_path()).file(record.file()).line(record.line());
        journal.log(&told.args(format_args!("{message}")).build());
    }

    fn flush(&self) {}
}

/// A record's fields as the journal has them: `call` is `CALLBOX_CALL`, and the names of others stay theirs.
fn journal_fields(record: &Record<'_>) -> Vec<(String, String)> {
    struct Named(Vec<(String, String)>);
    impl<'kvs> VisitSource<'kvs> for Named {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
            self.0.push((format!("CALLBOX_{}", key.as_str().to_ascii_uppercase()), value.to_string()));
            Ok(())
        }
    }
    let mut fields = Named(Vec::new());
    let _ = record.key_values().visit(&mut fields);
    if !fields.0.iter().any(|(name, _)| name == SITE.0) {
        fields.0.push((SITE.0.to_owned(), SITE.1.to_owned()));
    }
    fields.0
}

/// `TIME LEVEL message key=value`, coloured on a terminal. What came from elsewhere cannot start a line of its own.
fn write_line(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let style = out.default_level_style(record.level());
    let time = out.timestamp_millis();
    write!(out, "{time} {style}{:<5}{style:#} ", record.level())?;
    if !record.target().starts_with("callbox") {
        write!(out, "{}: ", record.target())?;
    }
    let message = record.args().to_string();
    match message.chars().any(char::is_control) {
        true => write!(out, "{}", message.escape_debug())?,
        false => write!(out, "{message}")?,
    }
    let mut text = String::new();
    let mut fields = Fields(|key: &str, value: &str| text.push_str(&format!(" {key}={value}")));
    let _ = record.key_values().visit(&mut fields);
    writeln!(out, "{text}")
}

/// Hands each field to a function, values quoted where they would not read as one word.
struct Fields<F>(F);

impl<'kvs, F: FnMut(&str, &str)> VisitSource<'kvs> for Fields<F> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        let text = value.to_string();
        let plain =
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"=".contains(c));
        if plain {
            (self.0)(key.as_str(), &text)
        } else {
            (self.0)(key.as_str(), &format!("{text:?}"))
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_holds_time_level_message_and_fields() {
        let pipe = Pipe::default();
        let target = env_logger::Target::Pipe(Box::new(pipe.clone()));
        let logger = builder(LevelFilter::Info, None).format(write_line).target(target).build();
        let fields: &[(&str, Value<'_>)] =
            &[("camera", "/dev/video0".into()), ("name", "a b\n".into()), ("width", 640.into()), ("none", "".into())];
        let none: &[(&str, Value<'_>)] = &[];
        let mut record = Record::builder();
        record.level(Level::Info).target("callbox::media").key_values(&fields);
        logger.log(&record.args(format_args!("camera opened")).build());
        logger.log(&record.target("hyper").args(format_args!("odd\nline")).key_values(&none).build());
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        assert_eq!(rest, r#"INFO  camera opened camera=/dev/video0 name="a b\n" width=640 none="""#);
        assert!(lines[1].ends_with(r"INFO  hyper: odd\nline"), "{}", lines[1]);
    }

    #[cfg(feature = "device")]
    #[test]
    fn how_a_caller_ends_its_association_is_no_error_of_ours() {
        let enabled = |target, level, asked: Option<&str>| {
            let metadata = log::Metadata::builder().target(target).level(level).build();
            builder(LevelFilter::Info, asked).build().enabled(&metadata)
        };
        assert!(!enabled("rtc_sctp::association", Level::Error, None));
        assert!(enabled("rtc_sctp::association", Level::Error, Some("rtc_sctp=error")), "unless somebody asks");
        assert!(enabled("webrtc::peer_connection", Level::Error, None));
        assert!(!enabled("rtc_ice::agent", Level::Warn, None));
    }

    #[test]
    fn the_journal_has_every_field_under_a_name_of_ours() {
        let fields: &[(&str, Value<'_>)] = &[("call", "c 1".into()), ("peer", "anna".into()), ("code", "busy".into())];
        let mut record = Record::builder();
        record.key_values(&fields);
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            named("CALLBOX_CALL", "c 1"),
            named("CALLBOX_PEER", "anna"),
            named("CALLBOX_CODE", "busy"),
            named("CALLBOX_SITE", "home"),
        ];
        assert_eq!(journal_fields(&record.build()), expected);
        let fields: &[(&str, Value<'_>)] = &[("site", "office".into())];
        record.key_values(&fields);
        assert_eq!(journal_fields(&record.build()), [named("CALLBOX_SITE", "office")]);
    }

    #[test]
    fn the_level_can_change_while_records_come() {
        let pipe = Pipe::default();
        let to = |level| {
            let target = env_logger::Target::Pipe(Box::new(pipe.clone()));
            builder(level, None).format(write_line).target(target).build()
        };
        let output = Output { filter: RwLock::new(to(LevelFilter::Info)), journal: None };
        let debug = |text: &str| {
            let mut record = Record::builder();
            record.level(Level::Debug).target("callbox::net");
            output.log(&record.args(format_args!("{text}")).build());
        };
        debug("before");
        *output.filter.write().unwrap() = to(LevelFilter::Debug);
        debug("after");
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("after") && !text.contains("before"), "{text}");
    }

    #[cfg(feature = "device")]
    #[test]
    fn a_flood_of_errors_from_the_stack_below_is_one_line() {
        let pipe = Pipe::default();
        let target = env_logger::Target::Pipe(Box::new(pipe.clone()));
        let logger = builder(LevelFilter::Info, None).format(write_line).target(target).build();
        let logger = Sparing { logger, told: Mutex::default() };
        for target in ["rtc_ice::agent", "webrtc::driver", "callbox::net"] {
            for _ in 0..100 {
                let mut record = Record::builder();
                record.level(Level::Error).target(target);
                logger.log(&record.args(format_args!("odd packet")).build());
            }
        }
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("rtc")).count(), 1, "{text}");
        assert_eq!(text.lines().count(), 101);
    }

    #[cfg(feature = "device")]
    #[test]
    fn the_stack_below_is_quiet_unless_asked() {
        let hears = |level, rust_log: Option<&str>, target: &str, of: Level| {
            let record = Record::builder().level(of).target(target).build();
            builder(level, rust_log).build().matches(&record)
        };
        use LevelFilter::{Info, Off, Trace};
        assert!(hears(Info, None, "callbox::net", Level::Info));
        assert!(!hears(Info, None, "callbox::net", Level::Debug));
        for target in ["rtc_ice::agent", "rtc::peer", "webrtc", "rtc_dtls"] {
            assert!(!hears(Trace, None, target, Level::Warn), "{target}");
            assert!(hears(Info, None, target, Level::Error), "{target}");
            assert!(!hears(Off, None, target, Level::Error), "{target}");
        }
        assert!(hears(Info, Some("debug"), "callbox", Level::Debug));
        assert!(!hears(Info, Some("debug"), "rtc_ice", Level::Warn));
        assert!(hears(Info, Some("warn,rtc_ice=debug"), "rtc_ice::agent", Level::Debug));
        assert!(!hears(Info, Some("warn,rtc_ice=debug"), "callbox", Level::Info));
    }
}
