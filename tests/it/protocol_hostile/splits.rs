//! P1: sixty conversations, split at each byte and sent byte by byte. The answer must not change.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::transcripts::{CONF, End, NAME_BYTES, TRANSCRIPTS};
use super::wait_all_read;
use crate::support::{Driver, Server, both_drivers};

/// Connections open at once.
const BATCH: usize = 300;

/// How long an answer may stay away.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Sent behind each conversation that goes on: what it is answered with shows that nothing else came.
const BARRIER: (&str, &str) = ("PING\r\n", "PONG\r\n");

/// One conversation on a connection of its own.
struct Conversation {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    end: End,
    /// For a failure: which it is, and how it is sent.
    label: String,
}

impl Conversation {
    /// Connects, and reads INFO. `number` is different for each conversation of a server.
    fn open(server: &Server, transcript: usize, number: usize, how: &str) -> Self {
        let (input, output, end) = TRANSCRIPTS[transcript];
        let name = format!("{number:0NAME_BYTES$}");
        let barrier = if end == End::Open { BARRIER } else { ("", "") };
        let stream = TcpStream::connect(server.address()).expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        stream
            .set_read_timeout(Some(ANSWER_LIMIT))
            .expect("set a timeout");
        // Thousands of connections must leave nothing behind in the kernel.
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .expect("set SO_LINGER");
        let mut info = String::new();
        let mut reader = BufReader::new(&stream);
        reader.read_line(&mut info).expect("INFO");
        assert!(
            info.starts_with("INFO {") && reader.buffer().is_empty(),
            "{info:?}"
        );
        Self {
            stream,
            input: format!("{input}{}", barrier.0)
                .replace('@', &name)
                .into_bytes(),
            output: format!("{}{}", output.concat(), barrier.1)
                .replace('@', &name)
                .into_bytes(),
            end,
            label: format!("{input:?}, {how}"),
        }
    }

    fn send(&mut self, bytes: std::ops::Range<usize>) {
        // A server that has closed already takes no more; what it said is looked at later.
        let _ = self.stream.write_all(&self.input[bytes]);
    }

    /// What came instead of what should have come.
    fn difference(mut self) -> Option<String> {
        let mut got = Vec::new();
        let read = match self.end {
            End::Closed => self.stream.read_to_end(&mut got),
            End::Open => {
                got.resize(self.output.len(), 0);
                self.stream.read_exact(&mut got).map(|()| got.len())
            }
        };
        if read.is_ok() && got == self.output {
            return None;
        }
        let (want, got) = (self.output.escape_ascii(), got.escape_ascii());
        Some(format!(
            "{}: {read:?}\n  want {want}\n  got  {got}",
            self.label
        ))
    }
}

/// Sends one batch after another, each conversation in two parts; gives the differences.
fn run_split(server: &Server, places: &[(usize, usize)]) -> Vec<String> {
    let mut differences = Vec::new();
    for (batch, places) in places.chunks(BATCH).enumerate() {
        let mut open: Vec<_> = places
            .iter()
            .enumerate()
            .map(|(at, &(transcript, split))| {
                Conversation::open(
                    server,
                    transcript,
                    batch * BATCH + at,
                    &format!("split at {split}"),
                )
            })
            .collect();
        for (conversation, &(_, split)) in open.iter_mut().zip(places) {
            conversation.send(0..split.min(conversation.input.len()));
        }
        wait_all_read(server);
        for (conversation, &(_, split)) in open.iter_mut().zip(places) {
            let length = conversation.input.len();
            conversation.send(split.min(length)..length);
        }
        differences.extend(open.into_iter().filter_map(Conversation::difference));
    }
    differences
}

fn start(driver: Driver) -> Server {
    Server::with(driver).conf(CONF).start()
}

#[track_caller]
fn assert_none(what: &str, differences: &[String]) {
    println!("{what}, {} differences", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

both_drivers! {
    fn unsplit(driver) {
        let server = start(driver);
        let whole: Vec<_> = (0..TRANSCRIPTS.len())
            .map(|transcript| (transcript, usize::MAX))
            .collect();
        let differences = run_split(&server, &whole);
        assert_none(&format!("P1: {} transcripts", whole.len()), &differences);
    }

    fn split_at_each_byte(driver) {
        let server = start(driver);
        let places: Vec<_> = TRANSCRIPTS
            .iter()
            .enumerate()
            .flat_map(|(transcript, (input, ..))| {
                // `@` is one byte here; a few splits more reach the end of the longer real input.
                let length = input.len() + input.matches('@').count() * (NAME_BYTES - 1);
                (1..=length).map(move |split| (transcript, split))
            })
            .collect();
        let differences = run_split(&server, &places);
        assert!(places.len() > 1800, "{} splits", places.len());
        assert_none(
            &format!(
                "P1: {} transcripts, {} splits",
                TRANSCRIPTS.len(),
                places.len()
            ),
            &differences,
        );
    }

    /// Each byte is read by the server before the next one is sent.
    fn byte_by_byte(driver) {
        let server = start(driver);
        let mut open: Vec<_> = (0..TRANSCRIPTS.len())
            .map(|transcript| Conversation::open(&server, transcript, transcript, "byte by byte"))
            .collect();
        let longest = open
            .iter()
            .map(|conversation| conversation.input.len())
            .max()
            .unwrap_or(0);
        for at in 0..longest {
            for conversation in open
                .iter_mut()
                .filter(|conversation| at < conversation.input.len())
            {
                conversation.send(at..at + 1);
            }
            wait_all_read(&server);
        }
        let differences: Vec<_> = open
            .into_iter()
            .filter_map(Conversation::difference)
            .collect();
        assert_none(
            &format!(
                "P1: {} transcripts, {longest} bytes at most, dribbled",
                TRANSCRIPTS.len()
            ),
            &differences,
        );
    }
}
