//! Peers that no library would be.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use proptest::collection::vec;
use proptest::prelude::*;
use rustls::ConnectionTrafficSecrets;
use rustls::version::{TLS12, TLS13};

use super::super::{Scratch, Step, TlsServer};
use super::{Certs, Link, Peer, Wire};

const HANDSHAKE: u8 = 22;
const KEY_UPDATE: u8 = 24;

/// The client's keys of TLS 1.3, for records of one's own making.
struct Forger {
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Forger {
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv.clone();
        let sequence = self.sequence.to_be_bytes();
        nonce[4..]
            .iter_mut()
            .zip(sequence)
            .for_each(|(a, b)| *a ^= b);
        self.sequence += 1;
        let mut inner = [content, &[kind]].concat();
        let len = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, len[0], len[1]];
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(header), &mut inner)
            .unwrap();
        [&header[..], &inner].concat()
    }
}

fn forger(certs: &Certs) -> (Link, Forger) {
    let server = TlsServer::new(&certs.options()).unwrap();
    let mut client = (*certs.client(&TLS13, None)).clone();
    client.enable_secret_extraction = true;
    let mut link = Link::new(&server, &client.into(), Wire::new());
    let peer = std::mem::replace(&mut link.peer, Peer::new(&certs.client(&TLS13, None)));
    let (sequence, secrets) = peer.tls.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
        panic!("another cipher");
    };
    let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap();
    let forger = Forger {
        key: LessSafeKey::new(key),
        iv: iv.as_ref().to_vec(),
        sequence,
    };
    (link, forger)
}

#[test]
fn sends_while_half_a_message_of_the_library_is_held() {
    // The library keeps places in the bytes it was shown, and must see the same bytes again.
    let certs = Certs::new();
    let (mut link, mut forger) = forger(&certs);
    link.wire
        .up
        .extend(forger.record(HANDSHAKE, &[KEY_UPDATE, 0]));
    assert_eq!(link.receive(100).unwrap(), b"");
    assert!(link.session.kept() > 0);
    for _ in 0..3 {
        let slices = [std::io::IoSlice::new(b"MSG foo 1 2\r\nhi\r\n")];
        let sent = link
            .session
            .send(&mut link.wire, &slices, &mut link.scratch);
        assert_eq!(sent.unwrap(), 17);
    }
    // The other half: no answer wanted.
    link.wire.up.extend(forger.record(HANDSHAKE, &[0, 1, 0]));
    assert_eq!(link.receive(100).unwrap(), b"");
    assert_eq!(link.session.kept(), 0);
    link.session.close_notify(&mut link.wire);
}

#[test]
fn a_message_that_never_ends_is_refused() {
    let certs = Certs::new();
    let (mut link, mut forger) = forger(&certs);
    let mut begin = vec![KEY_UPDATE, 0, 0xff, 0xff];
    begin.resize(1000, 0);
    let failure = loop {
        link.wire.up.extend(forger.record(HANDSHAKE, &begin));
        match link.receive(100) {
            Ok(got) => assert_eq!(got, b""),
            Err(failure) => break failure,
        }
        assert!(!link.session.has_plaintext(), "nothing to do but wait");
        let kept = link.session.kept();
        assert!(kept < 100_000, "{kept} bytes for one message");
        begin.fill(0);
    };
    assert_eq!(failure.to_string(), "tls: handshake message too large");
}

#[test]
fn hellos_in_many_records_are_as_good_as_whole_ones() {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    for version in [&TLS12, &TLS13] {
        let mut client = (*certs.client(version, None)).clone();
        client.max_fragment_size = Some(40);
        for chunks in [vec![usize::MAX], vec![1], vec![41, 0, 3]] {
            let mut link = Link::new(&server, &client.clone().into(), Wire::in_chunks(chunks));
            link.peer.say(&[b'x'; 1000], &mut link.wire);
            assert_eq!(link.receive(77).unwrap(), [b'x'; 1000]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        is_new in any::<bool>(),
        flight in 0..3_usize,
        flips in vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        junk in vec(any::<u8>(), 0..40),
        chunks in vec(prop_oneof![Just(0), 1..500_usize], 1..5),
    ) {
        thread_local! {
            static CERTS: Certs = Certs::new();
        }
        CERTS.with(|certs| {
            let version = if is_new { &TLS13 } else { &TLS12 };
            let server = TlsServer::new(&certs.options()).unwrap();
            let mut session = server.session();
            let mut peer = Peer::new(&certs.client(version, None));
            let mut wire = Wire::in_chunks(chunks);
            let mut scratch = Scratch::new();
            let mut into = [0; 300];
            for round in 0..4 {
                let _ = peer.exchange(&mut wire);
                if round == flight {
                    wire.up.extend(&junk);
                    for (at, mask) in &flips {
                        if !wire.up.is_empty() {
                            let at = at.index(wire.up.len());
                            wire.up[at] ^= mask;
                        }
                    }
                }
                for _ in 0..2000 {
                    match session.handshake(&mut wire, &mut scratch) {
                        Step::Blocked { .. } => {}
                        Step::Done => {
                            let _ = session.receive(&mut wire, &mut into, &mut scratch);
                            let slices = [std::io::IoSlice::new(&into)];
                            let _ = session.send(&mut wire, &slices, &mut scratch);
                        }
                        Step::Failed(text) => {
                            assert!(!text.is_empty() && text.is_ascii());
                            return;
                        }
                    }
                    if wire.up.is_empty() {
                        break;
                    }
                }
            }
        });
    }
}
