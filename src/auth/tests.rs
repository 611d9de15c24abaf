//! Who gets in, and with what.

mod certificates;
mod nkeys;
mod work;

use std::time::Duration;

use gnatsd_core::auth::Login;
use gnatsd_core::permissions::{Rules, Side};
use proptest::prelude::*;

use crate::auth::UserEntry;

use super::nkey::tests::{pair, sign};
use super::*;

/// Of `s3cret`, at cost 4.
const HASH: &str = "$2a$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";

fn nothing() -> Authorization {
    Authorization {
        user: String::new(),
        password: Secret::default(),
        token: Secret::default(),
        timeout: Duration::from_secs(1),
        users: None,
        no_auth_user: None,
    }
}

fn single(user: &str, password: &str) -> Authorization {
    Authorization {
        user: user.to_owned(),
        password: Secret::new(password),
        ..nothing()
    }
}

fn token(token: &str) -> Authorization {
    Authorization {
        token: Secret::new(token),
        ..nothing()
    }
}

fn entry(name: &str, password: &str) -> UserEntry {
    UserEntry {
        name: name.to_owned(),
        password: Secret::new(password),
        nkey: None,
        permissions: None,
    }
}

fn nkey_entry(text: &str) -> UserEntry {
    UserEntry {
        nkey: Some(nkey::decode_public(text).unwrap()),
        ..entry(text, "")
    }
}

fn list(users: &[UserEntry]) -> Authorization {
    Authorization {
        users: Some(users.to_vec()),
        ..nothing()
    }
}

fn authenticator(authorization: &Authorization) -> Authenticator {
    Authenticator::new(authorization, false).unwrap()
}

fn login(user: &str, password: &str) -> Credentials {
    Credentials {
        user: Some(user.into()),
        password: Some(Secret::new(password)),
        ..Credentials::default()
    }
}

fn with_token(token: &str) -> Credentials {
    Credentials {
        token: Some(Secret::new(token)),
        ..Credentials::default()
    }
}

fn with_nkey(text: &str, signature: &str) -> Credentials {
    Credentials {
        nkey: Some(text.into()),
        signature: Some(Secret::new(signature)),
        ..Credentials::default()
    }
}

/// What comes of it in the end: who is let in, or the detail of the refusal.
fn outcome(check: Check) -> Result<String, Option<&'static str>> {
    let login = match check {
        Check::Granted(user) => Login::Granted(user),
        Check::Refused(refusal) => Login::Refused(refusal),
        Check::Hash(job) => job.run(),
    };
    match login {
        Login::Granted(user) => Ok(user.name.to_string()),
        Login::Refused(refusal) => {
            assert!(!refusal.is_late);
            Err(refusal.detail)
        }
        Login::Pending => panic!("that is for engines"),
    }
}

fn check(
    authorization: &Authorization,
    shown: &Credentials,
) -> Result<String, Option<&'static str>> {
    outcome(authenticator(authorization).check(shown, None, None))
}

fn granted(name: &str) -> Result<String, Option<&'static str>> {
    Ok(name.to_owned())
}

const REFUSED: Result<String, Option<&'static str>> = Err(None);

#[test]
fn everybody_where_nothing_is_asked() {
    // A password without a user is no login at all (gnatsd 1.2.0).
    for open in [nothing(), single("", "s3cret")] {
        let authenticator = authenticator(&open);
        assert!(!authenticator.rules().is_required);
        for shown in [login("a", "b"), with_token("t"), Credentials::default()] {
            assert_eq!(check(&open, &shown), granted(""));
        }
    }
}

#[test]
fn a_single_user() {
    let only = single("derek", "s3cret");
    assert_eq!(check(&only, &login("derek", "s3cret")), granted("derek"));
    for (user, password) in [
        ("derek", ""),
        ("derek", "s3cre"),
        ("derek", "s3crets"),
        ("derek", "S3cret"),
        ("derek", "s3cret\0"),
        ("Derek", "s3cret"),
        ("dere", "s3cret"),
        ("derekk", "s3cret"),
        ("", "s3cret"),
        ("", ""),
    ] {
        assert_eq!(
            check(&only, &login(user, password)),
            REFUSED,
            "{user} {password:?}"
        );
    }
    assert_eq!(check(&only, &with_token("s3cret")), REFUSED);
    assert_eq!(check(&only, &Credentials::default()), REFUSED);
    let no_password = Credentials {
        user: Some("derek".into()),
        ..Credentials::default()
    };
    assert_eq!(check(&only, &no_password), REFUSED);
    assert_eq!(check(&single("derek", ""), &no_password), granted("derek"));
    assert_eq!(
        check(&single("derek", ""), &login("derek", "")),
        granted("derek")
    );
    assert_eq!(check(&single("derek", ""), &login("derek", "x")), REFUSED);
}

#[test]
fn a_token() {
    let only = token("t0k3n");
    assert_eq!(check(&only, &with_token("t0k3n")), granted(""));
    for shown in ["", "t0k3", "t0k3nn", "T0k3n"] {
        assert_eq!(check(&only, &with_token(shown)), REFUSED, "{shown}");
    }
    assert_eq!(check(&only, &login("t0k3n", "t0k3n")), REFUSED);
    assert_eq!(check(&only, &Credentials::default()), REFUSED);
    assert_eq!(check(&token(HASH), &with_token("s3cret")), granted(""));
    assert_eq!(check(&token(HASH), &with_token(HASH)), REFUSED);
    // Looks like a hash and is none.
    let none = &HASH[..50];
    assert_eq!(check(&token(none), &with_token(none)), REFUSED);
    assert_eq!(check(&token(none), &with_token("s3cret")), REFUSED);
}

#[test]
fn a_list_before_a_token_before_a_single_user() {
    let all = Authorization {
        users: Some(vec![entry("a", "1")]),
        token: Secret::new("t0k3n"),
        ..single("b", "2")
    };
    assert_eq!(check(&all, &login("a", "1")), granted("a"));
    assert_eq!(check(&all, &login("b", "2")), REFUSED);
    assert_eq!(check(&all, &with_token("t0k3n")), REFUSED);
    assert!(authenticator(&all).rules().has_users);
    let two = Authorization { users: None, ..all };
    assert_eq!(check(&two, &with_token("t0k3n")), granted(""));
    assert_eq!(check(&two, &login("b", "2")), REFUSED);
    assert!(!authenticator(&two).rules().has_users);
}

#[test]
fn a_list() {
    let users = list(&[
        entry("plain", "1"),
        entry("hashed", HASH),
        entry("broken", "$2a$99$abc"),
        entry("twice", "1"),
        entry("twice", "2"),
        entry("old", "$2$04$abc"),
    ]);
    for (user, password, expected) in [
        ("plain", "1", granted("plain")),
        ("plain", "2", REFUSED),
        ("hashed", "s3cret", granted("hashed")),
        ("hashed", "s3cres", REFUSED),
        ("hashed", HASH, REFUSED),
        ("broken", "$2a$99$abc", REFUSED),
        ("broken", "s3cret", REFUSED),
        ("twice", "1", REFUSED),
        ("twice", "2", granted("twice")),
        ("old", "$2$04$abc", granted("old")),
        ("nobody", "1", REFUSED),
        ("nobody", "s3cret", REFUSED),
        ("PLAIN", "1", REFUSED),
        ("", "", REFUSED),
    ] {
        assert_eq!(
            check(&users, &login(user, password)),
            expected,
            "{user} {password}"
        );
    }
    assert_eq!(check(&list(&[]), &login("", "")), REFUSED);
    assert_eq!(check(&list(&[]), &Credentials::default()), REFUSED);
    assert!(authenticator(&list(&[])).rules().is_required);
}

#[test]
fn permissions_are_those_of_the_entry_and_shared() {
    let rules = |deny: &str| Rules {
        publish: Side {
            allow: None,
            deny: vec![gnatsd_core::permissions::Entry {
                subject: deny.into(),
                queue: None,
            }],
        },
        ..Rules::default()
    };
    let with = |name: &str, rules| UserEntry {
        permissions: Some(rules),
        ..entry(name, "1")
    };
    let users = list(&[
        with("a", rules("x")),
        with("b", rules("y")),
        with("c", rules("x")),
        entry("d", "1"),
    ]);
    let authenticator = authenticator(&users);
    let permissions = |name: &str| match authenticator.check(&login(name, "1"), None, None) {
        Check::Granted(user) => user.permissions.clone(),
        other => panic!("{other:?}"),
    };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(permissions);
    assert_eq!(a.as_ref().unwrap().rules(), &rules("x"));
    assert_eq!(b.as_ref().unwrap().rules(), &rules("y"));
    assert!(Arc::ptr_eq(&a.unwrap(), &c.unwrap()));
    assert_eq!(d, None);
}

#[test]
fn who_shows_nothing() {
    let (keys, text) = pair(1);
    let with = |name: &str| Authorization {
        no_auth_user: Some(name.to_owned()),
        ..list(&[entry("guest", HASH), entry("plain", "1"), nkey_entry(&text)])
    };
    let guest = with("guest");
    let rules = authenticator(&guest).rules();
    assert_eq!(
        rules.anonymous.map(|user| user.name.to_string()),
        Some("guest".to_owned())
    );
    for shown in [
        Credentials::default(),
        login("", ""),
        with_token(""),
        with_nkey("", ""),
    ] {
        assert_eq!(check(&guest, &shown), granted("guest"), "{shown:?}");
    }
    for shown in [
        login("guest", ""),
        login("guest", "x"),
        login("plain", ""),
        login("", "x"),
        with_token("x"),
        with_nkey(&text, ""),
        with_nkey("", "x"),
        login("nobody", ""),
    ] {
        assert!(check(&guest, &shown).is_err(), "{shown:?}");
    }
    assert_eq!(check(&guest, &login("plain", "1")), granted("plain"));
    assert_eq!(check(&with(&text), &Credentials::default()), granted(&text));
    assert_eq!(check(&with(""), &Credentials::default()), REFUSED);
    let nonce = new_nonce();
    let signed = with_nkey(&text, &sign(&keys, &nonce));
    let check = authenticator(&guest).check(&signed, Some(&nonce), None);
    assert_eq!(outcome(check), granted(&text));
}

#[test]
fn who_shows_nothing_has_to_be_in_the_list() {
    let refusal = |authorization: Authorization| {
        let authorization = Authorization {
            no_auth_user: Some("guest".to_owned()),
            ..authorization
        };
        Authenticator::new(&authorization, false).unwrap_err()
    };
    let absent = "no_auth_user: \"guest\" not present as user or nkey in authorization block or account configuration";
    assert_eq!(refusal(list(&[entry("Guest", "1")])), absent);
    assert_eq!(refusal(list(&[])), absent);
    let no_list = "no_auth_user: \"guest\" present, but users/nkeys are not defined";
    for other in [nothing(), token("guest")] {
        assert_eq!(refusal(other), no_list);
    }
}

proptest! {
    /// Only who shows exactly what is configured gets in, in clear.
    #[test]
    fn equal_texts_and_no_others(
        configured in "[ab\u{e4}\0]{1,6}",
        shown in "[ab\u{e4}\0]{0,6}",
        name in "[ab]{0,2}",
    ) {
        let is_in = name == "a" && configured == shown;
        let users = list(&[entry("a", &configured)]);
        prop_assert_eq!(check(&users, &login(&name, &shown)).is_ok(), is_in);
        prop_assert_eq!(check(&token(&configured), &with_token(&shown)).is_ok(), configured == shown);
    }
}
