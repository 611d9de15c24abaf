//! A2: nothing happens before CONNECT, whatever is asked for by way of login.

use super::{VIOLATION, connect, tls_builder, wait_line};
use crate::support::wire::TlsClient;
use crate::support::{Authority, Builder, Nkey, RawClient, Server, both_drivers};

/// Operations that would have an effect, or an answer.
const OPERATIONS: [&str; 14] = [
    "PING\r\n",
    "PONG\r\n",
    "SUB spy.> 1\r\n",
    "sub > spies 1\r\n",
    "UNSUB 1\r\n",
    "PUB heard 2\r\nhi\r\n",
    "pub heard reply 2\r\nhi\r\n",
    "HPUB heard 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    "INFO {\"nonce\":\"x\"}\r\n",
    "+OK\r\n",
    "-ERR 'x'\r\n",
    "MSG heard 1 2\r\nhi\r\n",
    "\r\n",
    "\u{0}\u{16}\u{ff}",
];

/// A way to ask for a login: arguments and configuration of a server, and who gets in, if anybody does.
struct Form {
    name: &'static str,
    conf: String,
    args: &'static [&'static str],
    right: Option<&'static str>,
}

fn forms() -> Vec<Form> {
    let form = |name, conf: &str, args, right| Form {
        name,
        conf: conf.to_owned(),
        args,
        right,
    };
    let derek = Some(r#""user":"derek","pass":"porkchop""#);
    let token = Some(r#""auth_token":"secret""#);
    let hash = super::hashes::HASH;
    let nkey = Nkey::new(1).public();
    vec![
        form(
            "user and password",
            "authorization { user: derek, password: porkchop }",
            &[],
            derek,
        ),
        form(
            "user by flags",
            "",
            &["--user", "derek", "--pass", "porkchop"],
            derek,
        ),
        form("token", "authorization { token: secret }", &[], token),
        form("token by flag", "", &["--auth", "secret"], token),
        form(
            "a list",
            "authorization { users = [{user: derek, password: porkchop}] }",
            &[],
            derek,
        ),
        form(
            "a hash",
            &format!("authorization {{ user: derek, password: \"{hash}\" }}"),
            &[],
            Some(r#""user":"derek","pass":"s3cret""#),
        ),
        form(
            "nkeys",
            &format!(
                "authorization {{ users = [{{nkey: {nkey}}}, {{user: derek, password: porkchop}}] }}"
            ),
            &[],
            derek,
        ),
        form("nobody", "authorization { users = [] }", &[], None),
    ]
}

/// Tries every operation on connections that `open` makes; `right` gets in.
fn try_all(server: &Server, form: &Form, open: impl Fn() -> RawClient) -> usize {
    let mut listener = form.right.map(|keys| {
        let mut client = open();
        client.send(connect(keys) + "SUB heard 1\r\n");
        client.ping();
        client
    });
    let mut tried = 0;
    // Alone; in front of a login that would be right; where a login is refused.
    let wrong = connect(r#""user":"no","pass":"no","auth_token":"no""#);
    let right = form.right.map(connect).unwrap_or_default();
    for operation in OPERATIONS {
        for bytes in [
            operation.to_owned(),
            format!("{operation}{right}{operation}"),
            format!("{wrong}{operation}"),
        ] {
            let mut client = open();
            // All of it, as far as the server takes it: it may have closed behind the first byte.
            let _ = client.try_send(&bytes);
            client.expect_last(VIOLATION);
            let who = if form.conf.contains("users") {
                let name = if bytes.starts_with(&wrong) { "no" } else { "" };
                format!("Authorization Error - User \"{name}\"")
            } else {
                "Authorization Error".to_owned()
            };
            wait_line(server, &client, "ERR", &who);
            tried += 1;
        }
    }
    if let Some(listener) = &mut listener {
        listener.ping();
    }
    let subscriptions = usize::from(listener.is_some());
    let subsz = server.subsz("");
    assert_eq!(subsz["num_subscriptions"], subscriptions, "{}", form.name);
    let varz = server.varz();
    assert_eq!(
        (&varz["in_msgs"], &varz["out_msgs"]),
        (&0.into(), &0.into()),
        "{}",
        form.name
    );
    tried
}

fn builder_of(builder: Builder, form: &Form) -> Builder {
    builder.conf(&form.conf).args(form.args)
}

both_drivers! {
    fn a2_nothing_before_connect(driver) {
        let mut tried = 0;
        for form in forms() {
            let server = builder_of(Server::with(driver), &form).monitor().start();
            tried += try_all(&server, &form, || server.bare_client());
        }
        println!("A2 {}: {tried} cases, 0 with effect", driver.name());
    }

    fn a2_nothing_before_connect_over_tls(driver) {
        let authority = Authority::new();
        let config = TlsClient::new(&authority).config();
        let form = Form {
            name: "TLS",
            conf: String::new(),
            args: &[],
            right: Some(r#""user":"derek","pass":"porkchop""#),
        };
        let conf = "authorization { user: derek, password: porkchop }";
        let server = tls_builder(driver, &authority, "", conf).monitor().start();
        let tried = try_all(&server, &form, || RawClient::connect_tls(server.address(), &config));
        println!("A2 {}: {tried} cases over TLS, 0 with effect", driver.name());
    }

    /// What begins like CONNECT is read as an operation and fails as one.
    fn what_begins_like_connect(driver) {
        let server = Server::with(driver).args(&["--auth", "x"]).start();
        for (bytes, answer) in [
            ("CX\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
            ("CONNECT\r\n", ""),
            ("CONNECT {\r\nSUB a 1\r\n", ""),
            ("c\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        ] {
            let mut client = server.bare_client();
            client.send(bytes);
            client.expect_last(answer);
        }
    }
}
