//! What the runtime's tests share: a service that runs closures, socket pairs, figures of the
//! process.

// Each test binary uses a part of this.
#![allow(dead_code, unused_imports, unused_macros)]

use std::cell::RefCell;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gnatsd_shards::{
    Config, DriverChoice, Handle, Io, Next, Ready, Runtime, Service, ShardId, Token, start,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Makes a test of each driver out of functions that take a [`DriverChoice`].
macro_rules! on_both_drivers {
    ($($name:ident),* $(,)?) => {
        mod uring {
            $(#[test] fn $name() {
                if super::support::has_uring() {
                    super::$name(gnatsd_shards::DriverChoice::Uring);
                }
            })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(gnatsd_shards::DriverChoice::Epoll); })*
        }
    };
}
pub(crate) use on_both_drivers;

/// Longest time anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a [`Script`] works on.
#[derive(Default)]
pub(crate) struct State {
    /// Streams by token index.
    pub(crate) streams: Vec<Option<(Token, Rc<TcpStream>)>>,
    /// All notifications taken so far.
    pub(crate) ready: Vec<Ready>,
    /// Leaves notifications with the driver.
    pub(crate) ignores_ready: bool,
    /// What each turn answers; parks without deadline if nothing is set.
    pub(crate) next: Option<Next>,
    /// Runs once, in the next turn: after control messages were taken, before the sleep.
    pub(crate) in_turn: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) turns: u64,
}

impl State {
    /// Attaches and keeps a stream.
    pub(crate) fn attach(&mut self, io: &mut dyn Io, stream: TcpStream) -> Token {
        stream.set_nonblocking(true).unwrap();
        let stream = Rc::new(stream);
        let token = io.attach(Rc::clone(&stream)).unwrap();
        if self.streams.len() <= token.index() {
            self.streams.resize_with(token.index() + 1, || None);
        }
        self.streams[token.index()] = Some((token, stream));
        token
    }

    pub(crate) fn stream(&self, token: Token) -> &TcpStream {
        &self.streams[token.index()].as_ref().unwrap().1
    }

    /// Shuts down, detaches and closes.
    pub(crate) fn close(&mut self, io: &mut dyn Io, token: Token) {
        let (token, stream) = self.streams[token.index()].take().unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Both);
        io.detach(token);
    }
}

pub(crate) type Step = Box<dyn FnOnce(&mut State, &mut dyn Io) + Send>;

/// Runs whatever closures arrive.
#[derive(Default)]
pub(crate) struct Script(State);

impl Service for Script {
    type Control = Step;
    type Batch = ();

    fn control(&mut self, io: &mut impl Io, step: Step) {
        step(&mut self.0, io);
    }

    fn turn(&mut self, io: &mut impl Io) -> Next {
        self.0.turns += 1;
        if let Some(in_turn) = self.0.in_turn.take() {
            in_turn();
        }
        if !self.0.ignores_ready {
            io.take_ready(&mut self.0.ready);
        }
        self.0.next.unwrap_or(Next::Park(None))
    }
}

/// Runs steps on a shard and hands back what they answer.
pub(crate) trait RunStep {
    fn run<R: Send + 'static>(
        &self,
        step: impl FnOnce(&mut State, &mut dyn Io) -> R + Send + 'static,
    ) -> R;

    /// Asks until the answer is something.
    fn wait_for<R: Send + 'static>(
        &self,
        step: impl Fn(&mut State, &mut dyn Io) -> Option<R> + Send + Clone + 'static,
    ) -> R {
        let end = Instant::now() + PATIENCE;
        loop {
            let attempt = step.clone();
            if let Some(answer) = self.run(move |state, io| attempt(state, io)) {
                return answer;
            }
            assert!(Instant::now() < end, "waited in vain");
            std::thread::yield_now();
        }
    }
}

impl RunStep for Handle<Step> {
    fn run<R: Send + 'static>(
        &self,
        step: impl FnOnce(&mut State, &mut dyn Io) -> R + Send + 'static,
    ) -> R {
        let (sender, answer) = mpsc::channel();
        self.send(Box::new(move |state, io| {
            let _ = sender.send(step(state, io));
        }))
        .unwrap();
        answer
            .recv_timeout(PATIENCE)
            .expect("no answer from the shard")
    }
}

pub(crate) fn config(shards: usize, driver: DriverChoice) -> Config {
    Config {
        shards,
        driver,
        pin: false,
        thread_name: "test".to_owned(),
        lanes: Vec::new(),
    }
}

/// Starts shards that run closures.
pub(crate) fn script(shards: usize, driver: DriverChoice) -> Runtime<Step> {
    start(config(shards, driver), |_: ShardId, _| Script::default()).unwrap()
}

/// Stops shards of closures and waits for them.
pub(crate) fn stop(runtime: Runtime<Step>) {
    for handle in runtime.handles() {
        handle
            .send(Box::new(|state, _| state.next = Some(Next::Stop)))
            .unwrap();
    }
    runtime.join().unwrap();
}

/// Whether this machine lets us test the uring driver; says so if not.
pub(crate) fn has_uring() -> bool {
    match start(config(1, DriverChoice::Uring), |_: ShardId, _| {
        Script::default()
    }) {
        Ok(runtime) => {
            stop(runtime);
            true
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// `count` connected pairs over loopback: our end and the peer's.
pub(crate) fn pairs(count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (0..count)
        .map(|_| {
            let peer = TcpStream::connect(address).unwrap();
            let (ours, _) = listener.accept().unwrap();
            ours.set_nodelay(true).unwrap();
            peer.set_nodelay(true).unwrap();
            (ours, peer)
        })
        .collect()
}

pub(crate) fn pair() -> (TcpStream, TcpStream) {
    pairs(1).remove(0)
}

/// Raises the limit of open files as far as permitted and says what it is.
pub(crate) fn raise_nofile() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.unwrap_or(u64::MAX)
}

/// CPU time of the whole process.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * u64::try_from(rustix::param::page_size()).unwrap()
}

/// Entries of a directory, such as `/proc/self/fd`.
pub(crate) fn entries(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A bounded echo server, with the rest of an echo kept until the peer reads.
#[derive(Default)]
pub(crate) struct Echo {
    connections: Vec<Option<RefCell<Echoing>>>,
    ready: Vec<Ready>,
    stopping: bool,
}

struct Echoing {
    stream: Rc<TcpStream>,
    pending: Vec<u8>,
}

pub(crate) enum EchoControl {
    Serve(TcpStream),
    Stop,
}

impl Echo {
    /// One read and one write. False when the connection is over.
    fn serve(&self, io: &mut impl Io, token: Token) -> bool {
        use std::io::{ErrorKind, Read, Write};
        let Some(connection) = &self.connections[token.index()] else {
            return true;
        };
        let connection = &mut *connection.borrow_mut();
        let mut stream = &*connection.stream;
        if connection.pending.is_empty() {
            let mut buffer = [0; 64 * 1024];
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => connection.pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        if !connection.pending.is_empty() {
            match stream.write(&connection.pending) {
                Ok(count) => drop(connection.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        if connection.pending.is_empty() {
            io.arm_read(token);
        } else {
            io.arm_write(token);
        }
        true
    }
}

impl Service for Echo {
    type Control = EchoControl;
    type Batch = ();

    fn control(&mut self, io: &mut impl Io, message: EchoControl) {
        let EchoControl::Serve(stream) = message else {
            self.stopping = true;
            return;
        };
        stream.set_nonblocking(true).unwrap();
        let stream = Rc::new(stream);
        let token = io.attach(Rc::clone(&stream)).unwrap();
        io.arm_read(token);
        if self.connections.len() <= token.index() {
            self.connections.resize_with(token.index() + 1, || None);
        }
        self.connections[token.index()] = Some(RefCell::new(Echoing {
            stream,
            pending: Vec::new(),
        }));
    }

    fn turn(&mut self, io: &mut impl Io) -> Next {
        if self.stopping {
            return Next::Stop;
        }
        let mut ready = std::mem::take(&mut self.ready);
        io.take_ready(&mut ready);
        for Ready { token, .. } in ready.drain(..) {
            if !self.serve(io, token)
                && let Some(connection) = self.connections[token.index()].take()
            {
                let stream = connection.into_inner().stream;
                let _ = stream.shutdown(std::net::Shutdown::Both);
                io.detach(token);
            }
        }
        self.ready = ready;
        Next::Park(None)
    }
}
