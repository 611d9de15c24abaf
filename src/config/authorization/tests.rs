//! What an `authorization` block comes to, and what is wrong with it.

use std::time::Duration;

use gnatsd_core::permissions::{Rules, Side};

use super::super::test_support::{errors, read_options, warnings as file_warnings};
use super::*;

/// Public nkey of a user, from the documentation of NATS.
const NKEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

fn authorization(text: &str) -> Authorization {
    read_options(&format!("authorization {{ {text} }}")).authorization
}

fn users(text: &str) -> Vec<UserEntry> {
    authorization(text).users.unwrap()
}

#[test]
fn one_user_or_a_token() {
    let single = authorization("user: derek, password: T0pS3cr3t, timeout: 0.4");
    assert_eq!(single.user, "derek");
    assert_eq!(single.password.reveal(), "T0pS3cr3t");
    assert_eq!(single.timeout, Duration::from_millis(400));
    assert_eq!(
        authorization("username: derek; pass: T0pS3cr3t; timeout: 400ms"),
        single
    );
    let token = authorization("TOKEN: $2a$11$abc");
    assert_eq!(token.token.reveal(), "$2a$11$abc");
    assert_eq!(token.timeout, Duration::from_secs(1));
    assert_eq!(authorization(""), Authorization::default());
    assert_eq!(authorization("timeout: -1").timeout, Duration::ZERO);
    assert_eq!(
        authorization("timeout: 0").timeout,
        Authorization::default().timeout
    );
    // Two spellings of the block: the last counts, as a whole.
    let options =
        read_options("no_auth_user: ''\nAuthorization { user: a }\nauthorization { token: t }");
    assert_eq!(options.authorization.user, "");
    assert_eq!(options.authorization.token.reveal(), "t");
}

#[test]
fn a_list_of_users() {
    let list = users(
        "ADMIN = { publish = \">\", subscribe = \">\" }\n\
         PASS: secret\n\
         default_permissions = { publish = x, subscribe = x }\n\
         users = [\n\
           {user: joe, password: foo, permissions: $ADMIN}\n\
           {username: bob, pass: $PASS}\n\
         ]",
    );
    let of = |subject: &str| {
        let side = Side {
            allow: Some(vec![gnatsd_core::permissions::Entry {
                subject: subject.into(),
                queue: None,
            }]),
            deny: Vec::new(),
        };
        Some(Rules {
            publish: side.clone(),
            subscribe: side,
            ..Rules::default()
        })
    };
    let user = |name: &str, password: &str, subject| UserEntry {
        name: name.to_owned(),
        password: Secret::new(password),
        nkey: None,
        permissions: of(subject),
    };
    assert_eq!(list, [user("joe", "foo", ">"), user("bob", "secret", "x")]);
    assert_eq!(users("users: []"), []);
    // The defaults may come behind the list; without any, everything may be done.
    let late =
        users("users: [{user: a, password: b}]; permission: 5; permissions: {pub: x, sub: x}");
    assert_eq!(late[0].permissions, of("x"));
    assert_eq!(
        users("users: [{user: a, password: b}]")[0].permissions,
        None
    );
}

#[test]
fn owners_of_nkeys() {
    let list = users(&format!(
        "users: [{{nkey: {NKEY}}}, {{user: a, password: b}}]"
    ));
    assert_eq!(list[0].name, NKEY);
    assert_eq!(list[0].nkey, nkey::decode_public(NKEY).ok());
    assert!(list[0].nkey.is_some() && list[0].password.is_empty());
    assert_eq!(list[1].nkey, None);
}

#[test]
fn mistakes() {
    let nkey_and_user = format!("users: [{{nkey: {NKEY}, user: a}}]");
    let nkey_and_password = format!("users: [{{nkey: {NKEY}, pass: a}}]");
    for (text, expected) in [
        (
            "user: a, password: b, token: c",
            "1:46: Cannot have a user/pass and token",
        ),
        (
            "password: b, token: c",
            "1:37: Cannot have a user/pass and token",
        ),
        (
            "user: a, users: []",
            "1:33: Can not have a single user/pass and a users array",
        ),
        (
            "users: [], token: c",
            "1:35: Can not have a token and a users array",
        ),
        (
            "users: abc",
            "1:24: Expected users field to be an array, got string",
        ),
        (
            "users: {a: b}",
            "1:24: Expected users field to be an array, got map[string]interface {}",
        ),
        (
            "users: [abc]",
            "1:25: Expected user entry to be a map/struct, got string",
        ),
        (
            "users: [{user: c}]",
            "1:25: User entry requires a user and a password",
        ),
        (
            "users: [{password: c}]",
            "1:25: User entry requires a user and a password",
        ),
        (
            "users: [{}]",
            "1:25: User entry requires a user and a password",
        ),
        (
            "users: [{user: c, password: 5}]",
            "1:45: interface conversion: interface {} is int64, not string",
        ),
        (
            "users: [{nkey: x}]",
            "1:32: Not a valid public nkey for a user",
        ),
        (
            "users: [{nkey: 5}]",
            "1:32: interface conversion: interface {} is int64, not string",
        ),
        (
            &nkey_and_user,
            "1:25: Nkey users do not take usernames or passwords",
        ),
        (
            &nkey_and_password,
            "1:25: Nkey users do not take usernames or passwords",
        ),
        (
            "users: [{user: a, password: b, permissions: 5}]",
            "1:61: Expected user permissions to be a map/struct, got int64",
        ),
        (
            "default_permissions: 5",
            "1:38: Expected default permissions to be a map/struct, got int64",
        ),
        (
            "timeout: {}",
            "1:26: error parsing authorization config, 'timeout' wrong type",
        ),
        (
            "timeout: soon",
            "1:26: error parsing authorization config, 'timeout' time: invalid duration \"soon\"",
        ),
        (
            "auth_callout { a: 1 }",
            "1:17: \"auth_callout\" is not supported yet",
        ),
        (
            "users: [{user: a, password: b, connection_types: [MQTT]}]",
            "1:48: \"connection_types\" is not supported yet",
        ),
        (
            "token: 5",
            "1:24: interface conversion: interface {} is int64, not string",
        ),
    ] {
        let errors = errors(&format!("authorization {{ {text} }}"));
        assert_eq!(errors, [format!("t.conf:{expected}")], "{text}");
    }
    assert_eq!(
        errors("authorization: 5"),
        ["t.conf:1:16: interface conversion: interface {} is int64, not map[string]interface {}"]
    );
    // All at once.
    assert_eq!(
        errors(
            "authorization {\n users: [\n {user: a}\n 5\n {nkey: x}\n ]\n timeout: soon\n}\nport: x"
        )
        .len(),
        5
    );
}

#[test]
fn a_certificate_or_nothing_may_be_the_login() {
    let user = "authorization { users: [{user: a}] }\n";
    let map = "tls { cert_file: a, key_file: b, verify_and_map: true }\n";
    for text in [format!("{user}{map}"), format!("{map}{user}")] {
        assert_eq!(errors(&text), [""; 0], "{text}");
    }
    assert_eq!(errors(&format!("{user}tls {{ verify: true }}")).len(), 1);
    assert_eq!(errors(&format!("{user}no_auth_user: a")), [""; 0]);
    assert_eq!(errors(&format!("{user}no_auth_user: b")).len(), 1);
}

#[test]
fn who_shows_nothing_has_to_be_somebody() {
    let users = format!("authorization {{ users: [{{user: a, password: b}}, {{nkey: {NKEY}}}] }}");
    for name in ["a", NKEY] {
        let options = read_options(&format!("no_auth_user: {name}\n{users}"));
        assert_eq!(options.authorization.no_auth_user.as_deref(), Some(name));
        assert_eq!(
            options.authorization.users.map(|users| users.len()),
            Some(2)
        );
    }
    assert_eq!(
        errors(&format!("no_auth_user: c\n{users}")),
        ["t.conf:1:15: no_auth_user: \"c\" not present as user or nkey in authorization block"]
    );
    assert_eq!(
        errors("no_auth_user: c"),
        ["t.conf:1:15: no_auth_user: \"c\" present, but users/nkeys are not defined"]
    );
    assert_eq!(errors("no_auth_user: 5").len(), 1);
    assert_eq!(
        read_options("no_auth_user: ''").authorization.no_auth_user,
        None
    );
}

#[test]
fn warnings_of_the_file() {
    assert_eq!(
        file_warnings(
            "authorization { users: [{user: a, password: b, bogus: 1}], bagus: 1, V: 1, timeout: $V }"
        ),
        [
            "t.conf:1:48: unknown field \"bogus\"",
            "t.conf:1:60: unknown field \"bagus\"",
        ]
    );
    assert_eq!(
        file_warnings("authorization { user: a, permissions: {publish: x, subscribe: x} }"),
        ["t.conf:1:26: permissions without a list of users have no effect"]
    );
    // Without quotes 1m is a million.
    for (text, seconds) in [("1m", "1000000"), ("60.5", "60.5"), ("\"2m\"", "120")] {
        let expected = format!(
            "t.conf:1:26: timeout of {seconds} seconds is high, consider keeping it under 60 seconds; \
             possibly caused by an unquoted duration: use \"1m\" instead of 1m"
        );
        let text = format!("authorization {{ timeout: {text} }}");
        assert_eq!(file_warnings(&text), [expected], "{text}");
    }
    assert_eq!(file_warnings("authorization { timeout: 60 }"), [""; 0]);
    // The defaults are warned about once, and only if somebody has them.
    let users = "users: [{user: a, password: b}, {user: c, password: d}]";
    let lacking = "permissions: {publish: x}";
    let warned = file_warnings(&format!("authorization {{ {users}, {lacking} }}"));
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0]
            .contains("permissions of users without their own name no subject to subscribe to")
    );
    let warned = file_warnings(&format!("authorization {{ users: [], {lacking} }}"));
    assert_eq!(warned, [""; 0]);
}

#[test]
fn no_secret_is_shown() {
    let text = "authorization { user: hugo, password: geheim, users: [geheim, [geheim], {user: a, password: geheim, \
                permissions: geheim}, {nkey: geheim}, {pass: geheim}], token: geheim, geheim }";
    let all = errors(text).join("\n");
    assert!(!all.is_empty() && !all.contains("geheim"), "{all}");
    let options = read_options("authorization { users: [{user: a, password: geheim}] }");
    let shown = format!("{options:?}");
    assert!(
        shown.contains("\"a\"") && !shown.contains("geheim"),
        "{shown}"
    );
}
