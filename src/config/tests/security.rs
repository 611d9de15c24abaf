//! Logins and TLS on the command line, alone and over a file.

use std::time::Duration;

use super::*;

const PLAINTEXT: &str = "Plaintext passwords detected, use nkeys or bcrypt";

/// Options and warnings of a command line.
fn started(line: &[&str]) -> (Options, Vec<String>) {
    match run(line) {
        Outcome::Run {
            options, warnings, ..
        } => (*options, warnings),
        other => panic!("{line:?}: {other:?}"),
    }
}

/// The TLS of a command line.
fn tls(line: &[&str]) -> TlsOptions {
    options(line).tls.unwrap()
}

#[test]
fn logins_by_flags() {
    let (options, warnings) = started(&["--user", "derek", "-pass=T0pS3cr3t"]);
    assert_eq!(options.authorization.user, "derek");
    assert_eq!(options.authorization.password.reveal(), "T0pS3cr3t");
    assert_eq!(warnings, [PLAINTEXT]);
    let (options, warnings) = started(&["-auth", "S3Cr3T0k3n!"]);
    assert_eq!(options.authorization.token.reveal(), "S3Cr3T0k3n!");
    assert_eq!(warnings, [PLAINTEXT]);
    let (_, warnings) = started(&["--pass", "geheim"]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("nobody has to log in") && !warnings[0].contains("geheim"));
}

#[test]
fn flags_that_ask_for_logins_and_get_none() {
    let open = "no user and no token: nobody has to log in";
    assert_eq!(started(&[]).1, [""; 0]);
    for flag in ["--auth", "-user", "--pass"] {
        assert_eq!(started(&[flag, ""]).1, [format!("{flag}: {open}")]);
    }
    let nameless = "--user: user \"joe\" has no password, the name is enough to log in";
    assert_eq!(started(&["--user", "joe"]).1, [nameless]);
    let (_folder, path) = conf("authorization { user: a, password: b }");
    let with = |flags: &[&str]| started(&[&["-c", path.as_str()], flags].concat()).1;
    assert_eq!(with(&[]), [PLAINTEXT]);
    assert_eq!(with(&["--user", "c"]), [PLAINTEXT]);
    let expected = format!("{path}:1:1, --pass, --user: {open}");
    assert_eq!(with(&["--pass", "", "--user", ""]), [expected]);
}

#[test]
fn logins_of_file_and_flags_come_together() {
    let (_folder, path) = conf("authorization { user: a, password: b, timeout: 3 }");
    let (options, _) = started(&["-c", &path, "--auth", "t"]);
    let Authorization {
        user,
        token,
        timeout,
        ..
    } = &options.authorization;
    assert_eq!((user.as_str(), token.reveal()), ("a", "t"));
    assert_eq!(*timeout, Duration::from_secs(3));
    let (options, _) = started(&["-c", &path, "--user", "c"]);
    let Authorization { user, password, .. } = &options.authorization;
    assert_eq!((user.as_str(), password.reveal()), ("c", "b"));
    let (_folder, path) = conf("authorization { users: [] }");
    let (options, warnings) = started(&["-c", &path, "--user", "c", "--pass", "d"]);
    assert_eq!(options.authorization.users, Some(Vec::new()));
    assert_eq!(warnings, [""; 0], "the list counts, not what the flags say");
}

#[test]
fn tls_by_flags() {
    let cert = ["--tlscert", "c.pem", "-tlskey=k.pem"];
    let with = |more: &[&'static str]| tls(&[&cert[..], more].concat());
    let expected = TlsOptions {
        cert_file: "c.pem".to_owned(),
        key_file: "k.pem".to_owned(),
        ..TlsOptions::default()
    };
    assert_eq!(with(&[]), expected);
    assert_eq!(with(&["--tls"]), expected);
    assert_eq!(with(&["--tlsverify=false"]), expected);
    let verified = TlsOptions {
        verify: true,
        ca_file: Some("a.pem".to_owned()),
        ..expected
    };
    assert_eq!(with(&["--tlsverify", "--tlscacert", "a.pem"]), verified);
    assert_eq!(
        with(&[
            "--tls=false",
            "--tls",
            "--tlsverify",
            "--tlscacert",
            "a.pem"
        ]),
        verified
    );
    for (line, what) in [
        (&["--tls"][..], "certificate"),
        (&["--tlsverify"], "certificate"),
        (&["--tlsverify=false"], "certificate"),
        (&["--tlskey", "k.pem"], "certificate"),
        (&["--tls", "--tlscert", "c.pem"], "private key"),
        (&["--tlscert", "c.pem", "--tlskey", ""], "private key"),
    ] {
        let message = format!("TLS Server {what} must be present and valid\n{}", usage());
        assert_eq!(failure(line), message, "{line:?}");
    }
}

#[test]
fn tls_flags_replace_the_block_of_the_file() {
    let (_folder, path) = conf(
        "tls { cert_file: a, key_file: b, ca_file: c, verify: true, timeout: 5 }\nallow_non_tls: true",
    );
    let file = ["-c", path.as_str()];
    let with = |more: &[&'static str]| options(&[&file[..], more].concat());
    assert_eq!(with(&[]).tls.map(|tls| tls.verify), Some(true));
    assert!(with(&[]).allow_non_tls);
    let expected = TlsOptions {
        cert_file: "x".to_owned(),
        key_file: "y".to_owned(),
        timeout: Duration::from_secs(5),
        ..TlsOptions::default()
    };
    let replaced = with(&["--tlscert", "x", "--tlskey", "y"]).tls.unwrap();
    assert_eq!(replaced, expected);
    assert_eq!(replaced.position, None);
    assert_eq!(
        with(&["--tls=false", "--tlscert", "x", "--tlsverify"]).tls,
        None
    );
    assert_eq!(with(&["--tls", "--tls=false"]).tls, None);
    let text = failure(&[&file[..], &["--tls"]].concat());
    assert!(text.starts_with("TLS Server certificate must"), "{text}");
}

#[test]
fn what_flags_take_away_from_the_block_is_told() {
    let warned = |block: &str, flags: &[&str]| {
        let (_folder, path) = conf(&format!("\n tls {{ cert_file: a, key_file: b, {block} }}"));
        let (_, warnings) = started(&[&["-c", path.as_str()], flags].concat());
        let cut = |warning: &String| warning.replace(&format!("{path}:2:2: "), "@");
        warnings.iter().map(cut).collect::<Vec<String>>()
    };
    let all = "ca_file: c, verify: true, verify_and_map: true, cipher_suites: [TLS_AES_128_GCM_SHA256], \
               curve_preferences: [X25519], handshake_first: auto, timeout: 3, pinned_certs: \
               ['0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef']";
    let names = "verify_and_map, cipher_suites, curve_preferences, handshake_first, pinned_certs";
    let cert = ["--tlscert", "x", "--tlskey", "y"];
    let verified = ["--tlscert=x", "--tlskey=y", "--tlsverify", "--tlscacert=z"];
    let text = |rest: &str| [format!("@TLS flags replace this block and drop its {rest}")];
    assert_eq!(warned(all, &[]), [""; 0]);
    assert_eq!(warned(all, &cert), text(&format!("ca_file, {names}")));
    assert_eq!(warned(all, &verified), text(names));
    let verify = "ca_file: c, verify: true";
    assert_eq!(warned(verify, &cert), text("ca_file, verify"));
    assert_eq!(warned(verify, &verified), [""; 0]);
    assert_eq!(warned("timeout: 3", &cert), [""; 0]);
    let off = "@--tls=false drops this block";
    assert_eq!(warned("timeout: 3", &["--tls=false"]), [off]);
    let with = format!("{off} with its ca_file, verify");
    assert_eq!(warned(verify, &["--tls=false", "--tlsverify"]), [with]);
    assert_eq!(started(&["--tls=false"]).1, [""; 0]);
}

#[test]
fn flags_cannot_take_the_login_of_users_away() {
    let (_folder, path) = conf(
        "authorization { users: [{user: a}] }\ntls { cert_file: a, key_file: b, verify_and_map: true }",
    );
    assert!(tls(&["-c", &path]).verify_and_map);
    let expected = format!("{path}:1:25: User entry requires a user and a password\n");
    assert_eq!(failure(&["-c", &path, "--tls=false"]), expected);
    let line = [
        "-c",
        &path,
        "--tlscert",
        "x",
        "--tlskey",
        "y",
        "--tlsverify",
    ];
    assert_eq!(failure(&line), expected);
}

#[test]
fn help_about_tls() {
    let text = stdout(&["--help_tls", "-c", "/nowhere"]);
    assert!(
        text.contains("\nAvailable cipher suites include:\n    TLS_"),
        "{text}"
    );
    assert!(
        text.contains("\n\nAvailable curve preferences include:\n    "),
        "{text}"
    );
    assert_eq!(stdout(&["--help_tls", "-h"]), usage());
}

#[test]
fn a_check_opens_the_certificates() {
    let (folder, path) = conf("\n tls { cert_file: /nowhere/c.pem, key_file: /nowhere/k.pem }");
    let text = failure(&["-t", "-c", &path]);
    let start =
        format!("{path}:2:2: error parsing X509 certificate/key pair: open /nowhere/c.pem: ");
    assert!(text.starts_with(&start), "{text}");
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    fs::write(place("c.pem"), key.cert.pem()).unwrap();
    fs::write(place("k.pem"), key.signing_key.serialize_pem()).unwrap();
    let text = format!(
        "tls {{ cert_file: {}, key_file: {} }}",
        place("c.pem"),
        place("k.pem")
    );
    fs::write(&path, text).unwrap();
    let expected = Outcome::Print {
        stdout: String::new(),
        stderr: format!("gnatsd: configuration file {path} is valid\n"),
    };
    assert_eq!(run(&["-t", "-c", &path]), expected);
}
