//! async-nats, as an application uses it: every way to log in, and the right error when it is refused.

use std::future::Future;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::hashes::HASH;
use super::{LIMIT, tls_builder};
use crate::support::certs::Subject;
use crate::support::{Authority, Nkey, Server, both_drivers};

fn block_on<F: Future>(body: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(body)
}

/// That this client can do what clients do.
async fn use_it(client: Client) {
    let mut subscriber = client.subscribe("use.*").await.expect("subscribe");
    client
        .publish("use.it", "hello".into())
        .await
        .expect("publish");
    let message = timeout(LIMIT, subscriber.next())
        .await
        .expect("a message in time");
    assert_eq!(message.expect("a living subscription").payload, "hello");
    client.drain().await.expect("drain");
}

/// Connects to a server, which has to let it in.
async fn let_in(server: &Server, options: ConnectOptions) -> Client {
    let client = options.connect(server.address().to_string()).await;
    client.unwrap_or_else(|error| panic!("not let in: {error:?}"))
}

/// Connects to a server, which has to refuse it so.
async fn refused(server: &Server, options: ConnectOptions, kind: ConnectErrorKind) {
    let options = options.connection_timeout(Duration::from_secs(5));
    let client = options.connect(server.address().to_string()).await;
    let error = client.map(drop).expect_err("an error");
    assert_eq!(error.kind(), kind, "{error:?}");
}

fn user(name: &str, password: &str) -> ConnectOptions {
    ConnectOptions::with_user_and_password(name.to_owned(), password.to_owned())
}

const VIOLATION: ConnectErrorKind = ConnectErrorKind::AuthorizationViolation;

both_drivers! {
    fn by_user_and_password(driver) {
        for password in ["porkchop", HASH] {
            let conf = format!("authorization {{ user: derek, password: \"{password}\" }}");
            let server = Server::with(driver).conf(&conf).start();
            let right = if password == HASH { "s3cret" } else { password };
            block_on(async {
                use_it(let_in(&server, user("derek", right)).await).await;
                refused(&server, user("derek", "wrong"), VIOLATION).await;
                refused(&server, user("nobody", right), VIOLATION).await;
                refused(&server, ConnectOptions::with_token(right.to_owned()), VIOLATION).await;
                refused(&server, ConnectOptions::new(), VIOLATION).await;
            });
        }
    }

    fn by_token(driver) {
        let server = Server::with(driver).args(&["--auth", "S3Cr3T0k3n!"]).start();
        block_on(async {
            let token = |text: &str| ConnectOptions::with_token(text.to_owned());
            use_it(let_in(&server, token("S3Cr3T0k3n!")).await).await;
            refused(&server, token("S3Cr3T0k3n"), VIOLATION).await;
            refused(&server, user("S3Cr3T0k3n!", ""), VIOLATION).await;
            refused(&server, ConnectOptions::new(), VIOLATION).await;
        });
    }

    fn by_nkey(driver) {
        let conf = format!("authorization {{ users = [{{nkey: {}}}] }}", Nkey::new(1).public());
        let server = Server::with(driver).conf(&conf).start();
        block_on(async {
            let nkey = |number| ConnectOptions::with_nkey(Nkey::new(number).seed());
            use_it(let_in(&server, nkey(1)).await).await;
            refused(&server, nkey(2), VIOLATION).await;
            refused(&server, user("u", "p"), VIOLATION).await;
            refused(&server, ConnectOptions::new(), VIOLATION).await;
        });
    }

    fn over_tls(driver) {
        let authority = Authority::new();
        for (more, conf, is_first) in [
            ("", "authorization { user: u, password: p }", false),
            ("handshake_first: true", "authorization { user: u, password: p }", true),
        ] {
            let server = tls_builder(driver, &authority, more, conf).start();
            let root = server.directory().join("ca.pem");
            let options = |name: &str, password: &str| {
                let options = user(name, password).add_root_certificates(root.clone()).require_tls(true);
                if is_first { options.tls_first() } else { options }
            };
            block_on(async {
                use_it(let_in(&server, options("u", "p")).await).await;
                refused(&server, options("u", "x"), VIOLATION).await;
                // It does not know who has signed the server's certificate.
                let other = server.directory().join("server-cert.pem");
                let untrusting = user("u", "p").add_root_certificates(other);
                let untrusting = if is_first { untrusting.tls_first() } else { untrusting };
                refused(&server, untrusting, ConnectErrorKind::Io).await;
            });
        }
    }

    fn with_a_client_certificate(driver) {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let ann = authority.client(Subject { emails: &["ann@example.com"], ..Subject::default() });
        let bob = authority.client(Subject { emails: &["bob@example.com"], ..Subject::default() });
        let other = stranger.client(Subject { emails: &["ann@example.com"], ..Subject::default() });
        for (more, conf) in [
            ("verify: true", ""),
            ("verify_and_map: true", "authorization { users = [{user: \"ann@example.com\"}] }"),
        ] {
            let builder = tls_builder(driver, &authority, more, conf);
            let builder = other.files(bob.files(ann.files(builder, "ann"), "bob"), "other");
            let server = builder.start();
            let file = |name: &str| server.directory().join(name);
            let with = |name: &str| {
                ConnectOptions::new()
                    .add_root_certificates(file("ca.pem"))
                    .add_client_certificate(file(&format!("{name}-cert.pem")), file(&format!("{name}-key.pem")))
            };
            block_on(async {
                use_it(let_in(&server, with("ann")).await).await;
                refused(&server, with("other"), ConnectErrorKind::Io).await;
                let none = ConnectOptions::new().add_root_certificates(file("ca.pem"));
                refused(&server, none, ConnectErrorKind::Io).await;
                if conf.is_empty() {
                    use_it(let_in(&server, with("bob")).await).await;
                } else {
                    refused(&server, with("bob"), VIOLATION).await;
                }
            });
        }
    }

    /// What may not be published or subscribed to comes back as an error event, and the connection stays.
    fn a_violation_is_an_event(driver) {
        let server = Server::with(driver)
            .conf("authorization { users = [{user: u, password: p, permissions: {
                publish: [\"use.>\"], subscribe: [\"use.>\", \"_INBOX.>\"]
            }}] }")
            .start();
        block_on(async {
            let (send, mut events) = mpsc::unbounded_channel();
            let options = user("u", "p").event_callback(move |event| {
                let send = send.clone();
                async move { drop(send.send(event)) }
            });
            let client = let_in(&server, options).await;
            client.publish("secret", "".into()).await.expect("publish");
            let _kept = client.subscribe("secret").await.expect("subscribe");
            let mut texts = Vec::new();
            while texts.len() < 2 {
                let event = timeout(LIMIT, events.recv()).await.expect("an event in time");
                if let Event::ServerError(error) = event.expect("a client that lives") {
                    texts.push(error.to_string().to_lowercase());
                }
            }
            for (text, what) in texts.iter().zip(["publish", "subscription"]) {
                let part = format!("permissions violation for {what} to \"secret\"");
                assert!(text.contains(&part), "{text}");
            }
            use_it(client).await;
        });
    }
}
