//! The log: lines from every thread to one sink thread, which alone writes.
//!
//! `env_logger` formats and filters in front of it; it cannot reopen a file or change level
//! at run time, so the writing is ours. A shard never waits for a disk: a full queue drops
//! the line, and the sink says how many were lost.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::tz::TimeZone;
use log::{Level, LevelFilter, Record};

/// Lines that may wait for the sink.
const QUEUE_LINES: usize = 16 * 1024;
/// How long the end of the process waits for the sink.
const FLUSH_LIMIT: Duration = Duration::from_millis(300);
/// How long a line may hold up the answer it explains, with debug or protocol lines on.
const SETTLE_LIMIT: Duration = Duration::from_millis(1);
/// Records with this target end the process: tag `[FTL]`.
pub const FATAL: &str = "gnatsd::fatal";
/// Log files are readable by the group at most.
const FILE_MODE: u32 = 0o640;

/// What the log should look like.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Append to this file instead of writing to stderr.
    pub file: Option<PathBuf>,
    /// Debug lines.
    pub debug: bool,
    /// Protocol lines.
    pub trace: bool,
    /// Time in front of every line.
    pub time: bool,
    /// That time is UTC.
    pub utc: bool,
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// Lines handed to the sink and lines it is done with.
#[derive(Debug, Default)]
struct Progress {
    queued: AtomicU64,
    done: AtomicU64,
    /// Handed to nobody: the queue was full.
    lost: AtomicU64,
}

static PROGRESS: Progress = Progress {
    queued: AtomicU64::new(0),
    done: AtomicU64::new(0),
    lost: AtomicU64::new(0),
};

thread_local! {
    /// Lines of all threads that were queued when this thread queued its last one. Once so many are
    /// done, that one is: no more can be in front of it.
    static QUEUED_HERE: Cell<u64> = const { Cell::new(0) };
}

/// With debug or protocol lines on, waits a moment for the lines that this thread has logged so far:
/// who watches the log beside a client sees a line before the answer it explains. Never longer than
/// a millisecond, so a slow disk costs a shard no more than that, and never for what other shards
/// log meanwhile; not at all otherwise.
pub fn settle() {
    if log::max_level() >= LevelFilter::Debug {
        wait_for_own_lines();
    }
}

/// Whether they are written.
fn wait_for_own_lines() -> bool {
    let queued = QUEUED_HERE.get();
    let start = Instant::now();
    loop {
        if PROGRESS.done.load(Ordering::Acquire) >= queued {
            return true;
        }
        if start.elapsed() >= SETTLE_LIMIT {
            return false;
        }
        thread::yield_now();
    }
}

/// The running log.
#[derive(Debug, Clone)]
pub struct Log {
    queue: Sender<Message>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Log {
    /// Starts the sink and takes over the process's logging.
    ///
    /// # Errors
    /// If the file cannot be opened, in the original's words.
    pub fn start(options: &LogOptions) -> Result<Log, String> {
        let sink = Sink::open(options.file.as_deref()).map_err(|(path, error)| {
            format!(
                "error opening file: open {}: {}",
                path.display(),
                super::listener::error_text(&error)
            )
        })?;
        let (queue, lines) = bounded(QUEUE_LINES);
        let writer = QueueWriter {
            queue: queue.clone(),
        };
        let style = Style {
            colours: options.file.is_none() && io::stderr().is_terminal(),
            time: options.time,
            utc: options.utc,
            debug: options.debug,
            pid: std::process::id(),
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || sink.run(&lines))
            .map_err(|e| format!("cannot start the log: {e}"))?;
        env_logger::Builder::new()
            .filter(None, LevelFilter::Error)
            // It names no connection; what goes wrong there is logged with one.
            .filter(Some("rustls"), LevelFilter::Off)
            .filter(Some("gnatsd"), LevelFilter::Trace)
            .format(move |out, record| style.write(out, record))
            .target(env_logger::Target::Pipe(Box::new(writer)))
            .try_init()
            .map_err(|e| format!("cannot start the log: {e}"))?;
        log::set_max_level(match (options.trace, options.debug) {
            (true, _) => LevelFilter::Trace,
            (false, true) => LevelFilter::Debug,
            (false, false) => LevelFilter::Info,
        });
        Ok(Log { queue })
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        let _ = self.queue.send(Message::Reopen);
    }

    /// Waits until everything logged so far is written, but not for ever.
    pub fn flush(&self) {
        let (done, is_done) = bounded(1);
        if self
            .queue
            .send_timeout(Message::Flush(done), FLUSH_LIMIT)
            .is_ok()
        {
            let _ = is_done.recv_timeout(FLUSH_LIMIT);
        }
    }
}

struct Style {
    colours: bool,
    time: bool,
    utc: bool,
    /// Trace does not bring debug lines with it.
    debug: bool,
    pid: u32,
}

impl Style {
    /// `[pid] 2026/01/31 15:04:05.000000 [INF] text`
    fn write(&self, out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
        let (tag, colour) = match record.level() {
            Level::Error if record.target() == FATAL => ("FTL", 31),
            Level::Error => ("ERR", 31),
            Level::Warn => ("WRN", 33),
            Level::Info => ("INF", 32),
            Level::Debug => ("DBG", 36),
            Level::Trace => ("TRC", 33),
        };
        if tag == "DBG" && !self.debug {
            return Ok(());
        }
        write!(out, "[{}] ", self.pid)?;
        if self.time {
            let mut now = jiff::Zoned::now();
            if self.utc {
                now = now.with_time_zone(TimeZone::UTC);
            }
            write!(out, "{} ", now.strftime("%Y/%m/%d %H:%M:%S%.6f"))?;
        }
        if self.colours {
            write!(out, "[\u{1b}[{colour}m{tag}\u{1b}[0m] ")?;
        } else {
            write!(out, "[{tag}] ")?;
        }
        writeln!(out, "{}", record.args())
    }
}

/// Hands finished lines to the sink.
struct QueueWriter {
    queue: Sender<Message>,
}

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.is_empty() {
            return Ok(0);
        }
        // Counted first: the sink must not be done with more than was queued.
        PROGRESS.queued.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            PROGRESS.done.fetch_add(1, Ordering::Release);
            PROGRESS.lost.fetch_add(1, Ordering::Relaxed);
        }
        QUEUED_HERE.set(PROGRESS.queued.load(Ordering::Relaxed));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where lines end up. Lives on its own thread.
struct Sink {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Sink, (PathBuf, io::Error)> {
        let file = match path {
            Some(path) => Some(open_file(path).map_err(|e| (path.to_owned(), e))?),
            None => None,
        };
        Ok(Sink {
            path: path.map(Path::to_owned),
            file,
        })
    }

    fn run(mut self, lines: &Receiver<Message>) {
        let mut batch = Vec::new();
        let mut count = 0;
        while let Ok(first) = lines.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.extend_from_slice(&line);
                        count += 1;
                    }
                    Message::Reopen => {
                        self.write(&mut batch);
                        self.reopen();
                    }
                    Message::Flush(done) => {
                        self.write(&mut batch);
                        let _ = done.send(());
                    }
                }
                if batch.len() > 256 * 1024 {
                    break;
                }
                next = lines.try_recv().ok();
            }
            self.write(&mut batch);
            PROGRESS.done.fetch_add(count, Ordering::Release);
            count = 0;
            let lost = PROGRESS.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                log::warn!("{lost} log lines were lost: the log could not keep up");
            }
        }
    }

    /// A log that cannot be written to is no reason to stop serving.
    fn write(&mut self, batch: &mut Vec<u8>) {
        let _ = match &mut self.file {
            Some(file) => file.write_all(batch),
            None => io::stderr().lock().write_all(batch),
        };
        batch.clear();
    }

    /// Keeps the old file if the new one cannot be opened.
    fn reopen(&mut self) {
        let Some(path) = &self.path else {
            log::info!("File log re-open ignored, not a file logger");
            return;
        };
        match open_file(path) {
            Ok(file) => {
                self.file = Some(file);
                log::info!("File log re-opened");
            }
            Err(e) => log::error!("cannot re-open log file {}: {e}", path.display()),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(FILE_MODE)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_for_its_own_lines_only() {
        let (queue, lines) = bounded(QUEUE_LINES);
        let mut writer = QueueWriter { queue };
        assert!(wait_for_own_lines(), "nothing was logged here");
        writer.write_all(b"line\n").unwrap();
        assert!(!wait_for_own_lines(), "nobody has written it");
        let other = thread::spawn(wait_for_own_lines);
        assert!(other.join().unwrap(), "another thread has no part in it");
        assert!(matches!(lines.try_recv(), Ok(Message::Line(line)) if line == b"line\n"));
        PROGRESS.done.fetch_add(1, Ordering::Release);
        assert!(wait_for_own_lines());
    }

    #[test]
    fn lines_look_as_the_original() {
        let style = |colours, time| Style {
            colours,
            time,
            utc: true,
            debug: false,
            pid: 7,
        };
        let line = |style: &Style, level, target: &str| {
            let mut out = Vec::new();
            let args = format_args!("text");
            let record = Record::builder()
                .level(level)
                .target(target)
                .args(args)
                .build();
            style.write(&mut out, &record).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            line(&style(false, false), Level::Info, "gnatsd"),
            "[7] [INF] text\n"
        );
        assert_eq!(
            line(&style(false, false), Level::Error, FATAL),
            "[7] [FTL] text\n"
        );
        assert_eq!(
            line(&style(true, false), Level::Trace, "gnatsd"),
            "[7] [\u{1b}[33mTRC\u{1b}[0m] text\n"
        );
        assert_eq!(line(&style(true, false), Level::Debug, "gnatsd"), "");
        let timed = line(&style(false, true), Level::Warn, "gnatsd");
        assert_eq!(
            timed.len(),
            "[7] 2026/01/31 15:04:05.000000 [WRN] text\n".len(),
            "{timed}"
        );
    }
}
