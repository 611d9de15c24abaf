//! A5: nothing that somebody logs in with, right or wrong, is shown anywhere.

use std::fs;

use super::hashes::{HASH, SLOW_HASH};
use super::{connect, tls_builder};
use crate::support::{
    Authority, Builder, Driver, Nkey, RawClient, Server, TlsClient, both_drivers,
};

/// Rounds over all logins of a form.
const ROUNDS: usize = 6;

/// Everything that monitoring shows, with all that it may be asked for.
const PAGES: [&str; 12] = [
    "/",
    "/varz",
    "/connz",
    "/connz?auth=1&subs=1&state=all&sort=start",
    "/connz?auth=1&subs=1&state=closed",
    "/connz?auth=true&subs=detail",
    "/connz?state=closed&limit=10000",
    "/subsz?subs=1",
    "/subscriptionsz?subs=1",
    "/routez",
    "/healthz",
    "/stacksz",
];

/// Secrets of these tests, unlike anything a server writes of its own accord.
const PASSWORD: &str = "Kennwort-93751-richtig";
const WRONG: &str = "Kennwort-48210-falsch";
const TOKEN: &str = "Marke-66017-richtig";

/// A way to log in, and logins that are tried: what is sent, `%SIG%` for a signature over the nonce.
struct Form {
    conf: String,
    args: Vec<String>,
    logins: Vec<String>,
    secrets: Vec<String>,
}

fn forms() -> Vec<Form> {
    let form = |conf: String, args: &[&str], logins: &[String], secrets: &[&str]| Form {
        conf,
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        logins: logins.to_vec(),
        secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
    };
    let pass =
        |name: &str, password: &str| connect(&format!(r#""user":"{name}","pass":"{password}""#));
    let token = |token: &str| connect(&format!(r#""auth_token":"{token}""#));
    let broken = [
        // Broken in all ways that come to mind, the secret behind or in front of the break.
        format!("CONNECT {{\"user\":\"u\",\"pass\":\"{WRONG}\"\r\n"),
        format!("CONNECT {{\"pass\":\"{WRONG}\",\"verbose\":7}}\r\n"),
        format!("CONNECT {{\"pass\":\"{WRONG}\",\"protocol\":9}}\r\n"),
        format!("CONNECT {{\"pass\":{{\"{WRONG}\":1}}}}\r\n"),
        format!("CONNECT {{\"PASS\":\"{WRONG}\",\"Auth_Token\":\"{WRONG}\"}}\r\nPING\r\n"),
        format!("CONNECT {{\"{WRONG}\":\"{WRONG}\"}}x\r\n"),
        format!("CONNECT \"{WRONG}\"\r\n"),
        format!("CONNECT {WRONG}\r\n"),
        format!("CONNECTX {WRONG}\r\n"),
        format!("CONECT {{\"pass\":\"{WRONG}\"}}\r\n"),
        format!("CONNECT {{\"jwt\":\"{WRONG}\",\"sig\":\"{WRONG}\"}}\r\nPING\r\n"),
        format!("CONNECT {{\"pass\":\"{WRONG}{}\"}}\r\n", "x".repeat(5000)),
        format!("CONNECT {{\"user\":\"u\",\"pass\":\"{WRONG}"),
    ];
    let nkey = Nkey::new(1);
    let signed = connect(&format!(r#""nkey":"{}","sig":"%SIG%""#, nkey.public()));
    let missigned = connect(&format!(r#""nkey":"{}","sig":"{WRONG}""#, nkey.public()));
    let unknown = connect(&format!(
        r#""nkey":"{}","sig":"%SIG%""#,
        Nkey::new(2).public()
    ));
    vec![
        form(
            format!("authorization {{ user: u, password: \"{PASSWORD}\" }}"),
            &[],
            &[
                &[pass("u", PASSWORD), pass("u", WRONG), token(WRONG)][..],
                &broken,
            ]
            .concat(),
            &[PASSWORD, WRONG],
        ),
        form(
            format!("authorization {{ token: \"{TOKEN}\" }}"),
            &[],
            &[&[token(TOKEN), token(WRONG), pass("u", WRONG)][..], &broken].concat(),
            &[TOKEN, WRONG],
        ),
        form(
            format!(
                "authorization {{ users = [
                    {{user: u, password: \"{PASSWORD}\"}}
                    {{user: h, password: \"{HASH}\"}}
                    {{user: s, password: \"{SLOW_HASH}\"}}
                    {{nkey: {}, permissions: {{publish: a, subscribe: a}}}}
                ] }}",
                nkey.public()
            ),
            &[],
            &[
                pass("u", PASSWORD),
                pass("h", "s3cret"),
                pass("h", HASH),
                pass("nobody", WRONG),
                token(WRONG),
                signed,
                missigned,
                unknown,
            ],
            &[
                PASSWORD,
                WRONG,
                "s3cret",
                HASH,
                &HASH[7..],
                SLOW_HASH,
                &nkey.seed(),
            ],
        ),
        form(
            String::new(),
            &["--user", "u", "--pass", PASSWORD],
            &[pass("u", PASSWORD), pass("u", WRONG)],
            &[PASSWORD, WRONG],
        ),
        form(
            String::new(),
            &["--auth", TOKEN],
            &[token(TOKEN), token(WRONG)],
            &[TOKEN, WRONG],
        ),
    ]
}

/// Does what clients do when they are in, and when they are not.
fn try_login(mut client: RawClient, login: &str, secrets: &mut Vec<String>) {
    let nonce = client.info()["nonce"].as_str().unwrap_or_default();
    let signature = Nkey::new(1).sign(nonce);
    if login.contains("%SIG%") {
        secrets.push(signature.clone());
    }
    let login = login.replace("%SIG%", &signature);
    let _ = client.try_send(login.clone() + "SUB a 1\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\nSUB b 2\r\n");
    // A second time, as another might.
    let _ = client.try_send(login + "PING\r\n");
    let _ = client.has_more(std::time::Duration::from_millis(1));
    client.half_close();
    client.read_to_end();
}

/// Everything a server shows, with names.
fn shown(server: &Server) -> Vec<(String, String)> {
    let mut shown: Vec<_> = PAGES
        .map(|page| (page.to_owned(), server.http(page).text()))
        .into();
    let proc = format!("/proc/{}", server.pid());
    for task in fs::read_dir(format!("{proc}/task")).expect("a living server") {
        let comm = task.expect("a thread").path().join("comm");
        shown.push((
            comm.display().to_string(),
            fs::read_to_string(&comm).unwrap_or_default(),
        ));
    }
    let cmdline = fs::read(format!("{proc}/cmdline")).expect("a living server");
    shown.push((
        "cmdline".to_owned(),
        String::from_utf8_lossy(&cmdline).into_owned(),
    ));
    let lines = server.log();
    shown.extend(
        lines
            .lines()
            .enumerate()
            .map(|(at, line)| (format!("log line {}", at + 1), line.to_owned())),
    );
    shown
}

/// Logs in and looks; gives the number of logins and the hits.
fn try_form(
    builder: Builder,
    form: &Form,
    open: impl Fn(&Server) -> RawClient,
) -> (usize, Vec<String>) {
    let server = builder.args(&form.args).args(&["-DV"]).monitor().start();
    let mut secrets = form.secrets.clone();
    for _ in 0..ROUNDS {
        for login in &form.logins {
            try_login(open(&server), login, &mut secrets);
        }
    }
    // One that stays, so that there is something to show of it.
    let mut staying = open(&server);
    let login = form.logins[0].clone();
    staying.send(login + "SUB a 1\r\n");
    staying.until_pong();
    let mut hits = Vec::new();
    for (place, text) in shown(&server) {
        for secret in secrets.iter().filter(|secret| text.contains(*secret)) {
            hits.push(format!("{secret} in {place}: {text}"));
        }
    }
    (ROUNDS * form.logins.len(), hits)
}

fn assert_none(driver: Driver, what: &str, logins: usize, hits: &[String]) {
    println!(
        "A5 {}: {logins} logins {what}, {} hits",
        driver.name(),
        hits.len()
    );
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

both_drivers! {
    fn a5_no_secret_is_shown(driver) {
        let mut logins = 0;
        let mut hits = Vec::new();
        for form in forms() {
            let builder = Server::with(driver).conf(&form.conf);
            let (count, found) = try_form(builder, &form, Server::bare_client);
            logins += count;
            hits.extend(found);
        }
        assert!(logins >= 200, "{logins}");
        assert_none(driver, "in the clear", logins, &hits);
    }

    fn a5_no_secret_is_shown_over_tls(driver) {
        let authority = Authority::new();
        let config = TlsClient::new(&authority).config();
        let form = forms().remove(2);
        let builder = tls_builder(driver, &authority, "", &form.conf);
        let (logins, hits) = try_form(builder, &form, |server| {
            RawClient::connect_tls(server.address(), &config)
        });
        assert_none(driver, "over TLS", logins, &hits);
    }

    /// Nor in what is said about a configuration that is wrong.
    fn a5_no_secret_in_errors_of_a_configuration(driver) {
        let mut hits = Vec::new();
        for conf in [
            format!("authorization {{ user: u, password: \"{PASSWORD}\", token: \"{TOKEN}\" }}"),
            format!("authorization {{ user: u, password: [\"{PASSWORD}\"] }}"),
            format!("authorization {{ user: u, password: {{ \"{PASSWORD}\": 1 }} }}"),
            format!("authorization {{ users: [{{user: u, passwort: \"{PASSWORD}\"}}] }}"),
            format!("authorization {{ users: [{{password: \"{PASSWORD}\"}}] }}"),
            format!("authorization {{ users: [{{nkey: U, password: \"{PASSWORD}\"}}] }}"),
            format!("authorization {{ users: \"{PASSWORD}\" }}"),
            format!("authorization {{ token: \"{TOKEN}\", users: [] }}"),
            format!("authorization {{ token: [{SLOW_HASH}] }}"),
            format!("authorization {{ user: u, password: {HASH} token: x }}"),
        ] {
            let server = Server::with(driver).conf(&conf).try_start(std::time::Duration::from_secs(10));
            let log = match server {
                Ok(server) => server.log(),
                Err(failed) => failed.log,
            };
            for secret in [PASSWORD, TOKEN, HASH, SLOW_HASH, &HASH[7..], &SLOW_HASH[7..]] {
                if log.contains(secret) {
                    hits.push(format!("{secret} for {conf}: {log}"));
                }
            }
        }
        assert_none(driver, "that a configuration does not allow", 10, &hits);
    }
}
