//! An echo server: an acceptor on the main thread, one shard per CPU.
//!
//! `cargo run -p gnatsd-shards --example echo -- auto|uring|epoll`, then `nc 127.0.0.1 7777`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;

use gnatsd_shards::{Config, Io, Next, Service, Token, start};

#[derive(Default)]
struct Echo(HashMap<Token, Rc<TcpStream>>);

impl Service for Echo {
    type Control = TcpStream;
    type Batch = (); // The shards of this server have nothing to say to each other.

    fn control(&mut self, io: &mut impl Io, stream: TcpStream) {
        let stream = Rc::new(stream);
        if let Ok(token) = io.attach(Rc::clone(&stream)) {
            io.arm_read(token);
            self.0.insert(token, stream);
        }
    }

    fn turn(&mut self, io: &mut impl Io) -> Next {
        let mut all = Vec::new();
        io.take_ready(&mut all);
        for token in all.into_iter().map(|ready| ready.token) {
            if echo(&self.0[&token]).is_ok() {
                io.arm_read(token);
            } else if let Some(stream) = self.0.remove(&token) {
                let _ = stream.shutdown(Shutdown::Both);
                io.detach(token);
            }
        }
        Next::Park(None)
    }
}

/// Sends back what has come. A peer that does not read is cut; a server would keep the rest and
/// `arm_write`.
fn echo(mut stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => stream.write_all(&buffer[..count]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(word) = std::env::args().nth(1) {
        config.driver = word.parse()?;
    }
    let shards = start(config, |_, _| Echo::default())?;
    let listener = TcpListener::bind("127.0.0.1:7777")?;
    println!("listening, driver {}", shards.driver());
    println!("warnings: {:?}", shards.warnings());
    for (stream, shard) in listener.incoming().zip(shards.handles().iter().cycle()) {
        let stream = stream?;
        stream.set_nonblocking(true)?;
        shard.send(stream)?;
    }
    Ok(())
}
