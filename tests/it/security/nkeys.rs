//! Logins by nkey: a nonce in INFO, and a signature over it in CONNECT.

use std::collections::HashSet;

use super::{VIOLATION, connect, expect_refused, wait_line};
use crate::support::{Driver, Nkey, RawClient, Server, both_drivers};

/// Characters of a nonce.
const NONCE_LEN: usize = 15;

/// Two with nkeys, the second with permissions, and one with a password.
fn server(driver: Driver) -> Server {
    let conf = format!(
        "authorization {{ users = [
            {{nkey: {}}}
            {{nkey: {}, permissions: {{publish: \"a\", subscribe: \"a\"}}}}
            {{user: joe, password: foo}}
        ] }}",
        Nkey::new(1).public(),
        Nkey::new(2).public()
    );
    Server::with(driver).args(&["-DV"]).conf(&conf).start()
}

fn nonce(client: &RawClient) -> String {
    let nonce = client.info()["nonce"].as_str();
    nonce.expect("a nonce in INFO").to_owned()
}

/// Keys of CONNECT.
fn keys(nkey: &str, signature: &str) -> String {
    format!(r#""nkey":"{nkey}","sig":"{signature}""#)
}

/// The log line for who has shown this nkey.
fn refused(nkey: &str) -> String {
    format!("Authorization Error - Nkey \"{nkey}\"")
}

both_drivers! {
    fn who_signs_is_let_in(driver) {
        let server = server(driver);
        for number in [1, 2] {
            let key = Nkey::new(number);
            let signs: [fn(&Nkey, &str) -> String; 2] = [Nkey::sign, Nkey::sign_padded];
            for sign in signs {
                let mut client = server.bare_client();
                assert_eq!(client.info()["auth_required"], true);
                let nonce = nonce(&client);
                client.send(connect(&keys(&key.public(), &sign(&key, &nonce))));
                client.send("SUB a 1\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\n");
                let violation = "-ERR 'Permissions Violation for Publish to \"b\"'\r\n";
                let all = client.until_pong();
                assert_eq!(all.contains(violation), number == 2, "{all}");
                assert!(all.contains("MSG a 1 0\r\n\r\n"), "{all}");
                if number == 2 {
                    let name = key.public();
                    let line = format!("Publish Violation - User \"{name}\", Subject \"b\"");
                    wait_line(&server, &client, "ERR", &line);
                }
            }
        }
        // In the same list, by password and without a signature.
        server.login(r#"{"verbose":false,"user":"joe","pass":"foo"}"#);
    }

    fn each_connection_has_a_nonce_of_its_own(driver) {
        let server = server(driver);
        let nonces: HashSet<String> = (0..200)
            .map(|_| {
                let nonce = nonce(&server.bare_client());
                let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                assert!(nonce.len() == NONCE_LEN && nonce.chars().all(is_base64url), "{nonce}");
                nonce
            })
            .collect();
        assert_eq!(nonces.len(), 200);
        let plain = Server::with(driver).args(&["--auth", "x"]).start();
        assert!(plain.bare_client().info()["nonce"].is_null());
    }

    fn a_signature_is_good_for_its_own_connection_only(driver) {
        let server = server(driver);
        let key = Nkey::new(1);
        let mut first = server.bare_client();
        let replayed = connect(&keys(&key.public(), &key.sign(&nonce(&first))));
        first.send(&replayed);
        first.ping();
        for _ in 0..20 {
            let mut second = server.bare_client();
            second.send(&replayed);
            wait_line(&server, &second, "DBG", "Signature not verified");
            expect_refused(&server, &mut second, &refused(&key.public()));
        }
        // Also when the first has gone.
        drop(first);
        let mut third = server.bare_client();
        third.send(&replayed);
        expect_refused(&server, &mut third, &refused(&key.public()));
    }

    fn who_does_not_sign_is_not(driver) {
        let server = server(driver);
        let (key, other, stranger) = (Nkey::new(1), Nkey::new(2), Nkey::new(3));
        let public = key.public();
        type Show = Box<dyn Fn(&str) -> String>;
        let show = |make: fn(&Nkey, &Nkey, &str) -> String| -> Show {
            Box::new(move |nonce| make(&Nkey::new(1), &Nkey::new(2), nonce))
        };
        let cases: Vec<(&str, Show, Option<&str>)> = vec![
            ("no signature", show(|_, _, _| String::new()), Some("Signature missing")),
            (
                "not base64",
                show(|_, _, _| "****".to_owned()),
                Some("Signature not valid base64"),
            ),
            (
                "url-safe with padding",
                show(|key, _, nonce| format!("-{}==", &key.sign(nonce)[1..])),
                Some("Signature not valid base64"),
            ),
            (
                "too short",
                show(|_, _, _| "AAAA".to_owned()),
                Some("Signature not verified"),
            ),
            (
                "another's",
                show(|_, other, nonce| other.sign(nonce)),
                Some("Signature not verified"),
            ),
            (
                "over something else",
                show(|key, _, nonce| key.sign(&format!("{nonce}x"))),
                Some("Signature not verified"),
            ),
            (
                "over nothing",
                show(|key, _, _| key.sign("")),
                Some("Signature not verified"),
            ),
        ];
        for (what, make, line) in cases {
            let mut client = server.bare_client();
            let nonce = nonce(&client);
            client.send(connect(&keys(&public, &make(&nonce))) + "SUB a 1\r\nPING\r\n");
            println!("{what}");
            if let Some(line) = line {
                wait_line(&server, &client, "DBG", line);
            }
            expect_refused(&server, &mut client, &refused(&public));
        }
        // A key that nobody knows, with its own right signature; the one who is known without any key.
        let mut client = server.bare_client();
        let nonce_ = nonce(&client);
        client.send(connect(&keys(&stranger.public(), &stranger.sign(&nonce_))));
        expect_refused(&server, &mut client, &refused(&stranger.public()));
        // A password does not help an nkey, nor an nkey a password.
        for keys in [
            format!(r#""user":"{public}","pass":"""#),
            format!(r#""user":"{public}""#),
        ] {
            let mut client = server.bare_client();
            client.send(connect(&keys));
            expect_refused(&server, &mut client, &format!("Authorization Error - User \"{public}\""));
        }
        let mut client = server.bare_client();
        client.send(connect(&format!(r#""user":"joe","pass":"foo",{}"#, keys(&other.public(), "x"))));
        expect_refused(&server, &mut client, &refused(&other.public()));
    }

    /// A4: keys of every length, with every kind of flaw, and signatures of every length.
    fn a4_odd_keys_and_signatures(driver) {
        let server = server(driver);
        let (key, long) = (Nkey::new(1), Nkey::new(1).public().repeat(2));
        let mut cases = 0;
        let mut refuse = |nkey: &str, sign: &dyn Fn(&str) -> String| {
            let mut client = server.bare_client();
            let nonce = nonce(&client);
            client.send(connect(&keys(nkey, &sign(&nonce))));
            client.expect_last(VIOLATION);
            cases += 1;
        };
        let public = key.public();
        for length in (0..=80).filter(|length| *length != public.len()) {
            refuse(&long[..length], &|nonce| key.sign(nonce));
        }
        // One character after the other is another one, or none of the alphabet.
        for at in 0..public.len() {
            let mut bytes = public.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes.clone()).expect("ASCII");
            refuse(&other, &|nonce| key.sign(nonce));
            bytes[at] = b'1';
            let odd = String::from_utf8(bytes).expect("ASCII");
            refuse(&odd, &|nonce| key.sign(nonce));
        }
        refuse(&public.to_lowercase(), &|nonce| key.sign(nonce));
        refuse(&key.seed(), &|nonce| key.sign(nonce));
        for bytes in (0..=128).filter(|bytes| *bytes != 64) {
            let cut = |nonce: &str| {
                let raw = key.sign_raw(nonce).repeat(2);
                data_encoding::BASE64URL_NOPAD.encode(&raw[..bytes])
            };
            refuse(&public, &cut);
        }
        for bit in 0..64 {
            let flipped = |nonce: &str| {
                let mut raw = key.sign_raw(nonce);
                raw[bit] ^= 1 << (bit % 8);
                data_encoding::BASE64URL_NOPAD.encode(&raw)
            };
            refuse(&public, &flipped);
        }
        println!("A4 {}: {cases} cases, 0 let in", driver.name());
        let mut client = server.bare_client();
        let nonce = nonce(&client);
        client.send(connect(&keys(&public, &key.sign(&nonce))));
        client.ping();
    }
}
