//! Against the server side of rustls, over real sockets: everything arrives, opened or counted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::lengths::Lengths;
use crate::scanner::Scanner;

const MESSAGE: &[u8] = b"MSG foo 1 16\r\nxxxxxxxxxxxxxxxx\r\n";

/// How the server divides what it says into records.
const PIECES: [usize; 4] = [1, 37, 5000, 1 << 20];

/// The side of the server.
pub(crate) type Secured = StreamOwned<ServerConnection, TcpStream>;

/// A certificate of its own, and everything as it is by default.
fn server_config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// A server that says this line to everybody, and then has this part on a connection with TLS; its address.
pub(crate) fn serve_each(
    line: &'static [u8],
    part: impl Fn(&mut Secured) + Clone + Send + 'static,
) -> String {
    let config = server_config();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(line).unwrap();
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let part = part.clone();
            thread::spawn(move || part(&mut StreamOwned::new(connection, stream)));
        }
    });
    address
}

/// A server that accepts one connection, with this part of its own.
fn serve<T: Send + 'static>(
    part: impl FnOnce(&mut Secured) -> T + Send + 'static,
) -> (TcpStream, JoinHandle<T>) {
    let config = server_config();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let connection = ServerConnection::new(config).unwrap();
        part(&mut StreamOwned::new(connection, stream))
    });
    (stream, server)
}

/// Reads until there are so many messages, and so many PONGs.
fn receive(
    session: &mut Session,
    stream: &TcpStream,
    is_skimming: bool,
    scanner: &mut Scanner,
    (messages, pongs): (u64, u64),
) {
    let mut buffer = vec![0; 256 * 1024];
    while scanner.messages < messages || scanner.pongs < pongs {
        session
            .receive(stream, &mut buffer, is_skimming, scanner)
            .unwrap();
    }
}

#[test]
fn messages_are_counted_whether_records_are_opened_or_not() {
    for piece in PIECES {
        for is_skimming in [false, true] {
            let count = if piece == 1 { 50 } else { 20_000 };
            let (mut stream, server) = serve(move |stream| {
                for bytes in MESSAGE.repeat(count).chunks(piece) {
                    stream.write_all(bytes).unwrap();
                }
                // As in a run: whoever skims asks when all has come, and then looks at everything.
                stream.read_exact(&mut [0; 6]).unwrap();
                stream.write_all(b"PONG\r\n").unwrap();
                stream.flush().unwrap();
            });
            let mut session = Handshake::shake(&mut stream).unwrap();
            let mut scanner = Scanner::default();
            scanner.expect(Lengths::alike(MESSAGE.len()));
            let count = count as u64;
            receive(&mut session, &stream, is_skimming, &mut scanner, (count, 0));
            session.send(&stream, b"PING\r\n").unwrap();
            receive(&mut session, &stream, false, &mut scanner, (count, 1));
            assert_eq!(scanner.messages, count, "pieces of {piece}");
            server.join().unwrap();
        }
    }
}

#[test]
fn what_is_sent_arrives_however_little_the_socket_takes() {
    let length = 32 << 20;
    let (is_full, reads) = std::sync::mpsc::channel();
    let (mut stream, server) = serve(move |stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        reads.recv().unwrap();
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).unwrap();
        let mut end = Vec::new();
        stream.read_to_end(&mut end).unwrap();
        (bytes, end.len())
    });
    let mut session = Handshake::shake(&mut stream).unwrap();
    stream.set_nonblocking(true).unwrap();
    let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let mut rest = bytes.as_slice();
    let mut was_kept = false;
    while !rest.is_empty() || session.has_unsent() {
        let count = session.send(&stream, rest).unwrap();
        assert!(count == 0 || count <= rest.len());
        rest = &rest[count..];
        if session.has_unsent() && !was_kept {
            was_kept = true;
            is_full.send(()).unwrap();
        }
    }
    assert!(was_kept, "the socket took everything at once");
    session.close(&stream);
    // Without a good-bye the end would be an error there.
    let (arrived, behind) = server.join().unwrap();
    assert!(arrived == bytes && behind == 0);
}

#[test]
fn an_end_is_an_error_here_and_so_is_a_record_that_was_changed() {
    let (mut stream, server) = serve(|stream| {
        stream.write_all(MESSAGE).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    let mut session = Handshake::shake(&mut stream).unwrap();
    let mut scanner = Scanner::default();
    scanner.expect(Lengths::alike(MESSAGE.len()));
    let mut buffer = vec![0; 256 * 1024];
    let error = loop {
        if let Err(e) = session.receive(&stream, &mut buffer, false, &mut scanner) {
            break e.to_string();
        }
    };
    assert!(error.contains("closed") && scanner.messages == 1, "{error}");
    server.join().unwrap();

    // A second connection, of which the server's side is written by hand: its record opens with no key.
    let (mut stream, server) = serve(|stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
        stream.sock.write_all(&record).unwrap();
    });
    let mut session = Handshake::shake(&mut stream).unwrap();
    let error = loop {
        if let Err(e) = session.receive(&stream, &mut buffer, false, &mut Scanner::default()) {
            break e.to_string();
        }
    };
    assert!(error.contains("does not open"), "{error}");
    server.join().unwrap();
}

#[test]
fn a_server_that_speaks_something_else_is_refused() {
    let mut handshake = Handshake::begin().unwrap();
    assert_eq!(handshake.outgoing.first(), Some(&22));
    assert!(
        handshake
            .take(b"-ERR 'Secure Connection - TLS Required'\r\n")
            .is_err()
    );
}
