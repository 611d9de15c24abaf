//! What is said of logins that are none, or hardly any.

use super::super::super::test_support::{read_text, warnings as file_warnings};
use super::*;

const OPEN: &str = "no user and no token: nobody has to log in";

/// A hash with its salt cut short; what it would say is not looked at.
fn hash(cost: u32) -> String {
    format!("$2b${cost:02}$abcdefghijklmnopqrstuu")
}

fn warned(text: &str, flags: &[&str]) -> Vec<String> {
    warnings(&read_text(text).ok().unwrap().draft, flags)
}

#[test]
fn passwords_in_clear_text_that_count() {
    let hash = hash(14);
    let nkey = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    for (text, is_plain) in [
        ("user: a, password: b", true),
        (&format!("user: a, password: '{hash}'"), false),
        ("token: t", true),
        (&format!("token: '{hash}'"), false),
        (
            "users: [{user: a, password: b}, {user: c, password: d}]",
            true,
        ),
        (
            &format!("users: [{{user: a, password: '{hash}'}}], PASS: b"),
            false,
        ),
        (&format!("users: [{{nkey: {nkey}}}]"), false),
        ("users: []", false),
    ] {
        let expected: &[&str] = if is_plain { &[PLAINTEXT] } else { &[] };
        let text = format!("authorization {{ {text} }}");
        assert_eq!(warned(&text, &[]), expected, "{text}");
        assert_eq!(warned(&text, &["--user"]), expected, "{text}");
    }
}

#[test]
fn logins_that_let_everybody_in() {
    let nameless = "a password without a user name is none: nobody has to log in";
    for (text, expected) in [
        ("authorization { }", format!("t.conf:1:1: {OPEN}")),
        ("authorization { token: '' }", format!("t.conf:1:1: {OPEN}")),
        (
            "authorization { tokens: abc }",
            format!("t.conf:1:1: {OPEN}"),
        ),
        (
            "authorization { timeout: 1 }",
            format!("t.conf:1:1: {OPEN}"),
        ),
        (
            "port: 1\n AUTHORIZATION { user: '' }",
            format!("t.conf:2:2: {OPEN}"),
        ),
        (
            "authorisation { user: a, password: b }",
            format!("t.conf:1:1: {OPEN}"),
        ),
        ("Auth { token: t }", format!("t.conf:1:1: {OPEN}")),
        (
            "authorization { password: geheim }",
            format!("t.conf:1:1: {nameless}"),
        ),
        (
            "authorization { token: t }\nAuthorization { token: '' }",
            format!("t.conf:2:1: {OPEN}"),
        ),
        (
            "authorization { user: joe, passwrd: x }",
            "t.conf:1:1: user \"joe\" has no password, the name is enough to log in".to_owned(),
        ),
    ] {
        assert_eq!(warned(text, &[]), [expected], "{text}");
    }
    // Nobody asked for logins: variables, and what is no block.
    for text in [
        "",
        "port: 1",
        "auth_name: x",
        "AUTH { a: 1 }\nmine: $AUTH",
        "authorization { users: [] }",
    ] {
        assert_eq!(warned(text, &[]), [""; 0], "{text}");
    }
}

#[test]
fn flags_are_named_beside_the_block() {
    let only = format!("--auth: {OPEN}");
    assert_eq!(warned("", &["--auth"]), [only]);
    let both = format!("t.conf:2:1, --user, -pass: {OPEN}");
    let text = "\nauthorization { timeout: 2 }";
    assert_eq!(warned(text, &["--user", "-pass"]), [both]);
}

#[test]
fn a_second_block_is_told() {
    let lost = |at: &str| {
        format!(
            "t.conf:1:1: \"authorization\" counts for nothing, it is given again at t.conf:{at}"
        )
    };
    let users = "authorization { users: [{user: a, password: b}] }";
    for second in ["authorization { }", "Authorization { token: '' }"] {
        let text = format!("{users}\n{second}");
        assert_eq!(file_warnings(&text), [lost("2:1")], "{text}");
    }
    let text = format!("{users}\nauthorization {{ }}\n  authorization {{ user: a, pass: b }}");
    let warned = file_warnings(&text);
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert_eq!(warned[0], lost("2:1"));
    assert!(warned[1].starts_with("t.conf:2:1: ") && warned[1].ends_with(" t.conf:3:3"));
}

#[test]
fn hashes_that_take_long() {
    let high = |place: &str, whose: &str, cost: u32, seconds: u32| {
        format!(
            "t.conf:{place}: {whose}: bcrypt cost {cost} is high, a login takes about {seconds} s; consider 11"
        )
    };
    let (low, slow, never) = (hash(14), hash(15), hash(31));
    let users = format!(
        "authorization {{ users: [\n{{user: a, password: '{low}'}}\n{{user: \"b\\n\", password: '{slow}'}}\n\
         {{user: c, password: '{never}'}}\n{{user: d, password: 'x{slow}'}} ] }}"
    );
    assert_eq!(
        file_warnings(&users),
        [
            high("3:1", "user \"b\\n\"", 15, 1),
            high("4:1", "user \"c\"", 31, 104_857)
        ]
    );
    for (text, whose) in [("user: a, pass", "user \"a\""), ("token", "token")] {
        let with = |hash: &str| warned(&format!("authorization {{ {text}: '{hash}' }}"), &[]);
        assert_eq!(with(&low), [""; 0], "{text}");
        assert_eq!(with(&slow), [high("1:1", whose, 15, 1)], "{text}");
        // There is no such cost, and no password for it.
        assert_eq!(with(&hash(32)), [""; 0], "{text}");
    }
}
