//! Owners of nkeys, and the nonces they sign.

use super::super::nkey::tests::{pair, sign};
use super::*;

#[test]
fn owners_of_nkeys_sign() {
    let ((keys, text), (strangers_keys, stranger)) = (pair(1), pair(2));
    let users = list(&[nkey_entry(&text), entry("plain", "1")]);
    let authenticator = authenticator(&users);
    assert!(authenticator.wants_nonce());
    let (nonce, anothers) = (new_nonce(), new_nonce());
    let check = |shown: &Credentials| outcome(authenticator.check(shown, Some(&nonce), None));
    let good = sign(&keys, &nonce);
    assert_eq!(check(&with_nkey(&text, &good)), granted(&text));
    assert_eq!(check(&with_nkey(&text, "")), Err(Some(SIGNATURE_MISSING)));
    assert_eq!(
        check(&with_nkey(&text, "?")),
        Err(Some(SIGNATURE_NOT_BASE64))
    );
    assert_eq!(
        check(&with_nkey(&text, &format!("{good}=="))),
        Err(Some(SIGNATURE_NOT_BASE64))
    );
    for signature in [
        sign(&keys, &anothers),
        sign(&keys, b""),
        sign(&strangers_keys, &nonce),
    ] {
        assert_eq!(
            check(&with_nkey(&text, &signature)),
            Err(Some(SIGNATURE_NOT_VERIFIED))
        );
    }
    assert_eq!(
        check(&with_nkey(&stranger, &sign(&strangers_keys, &nonce))),
        REFUSED
    );
    let unsigned = Credentials {
        nkey: Some(text.as_str().into()),
        ..Credentials::default()
    };
    assert_eq!(check(&unsigned), Err(Some(SIGNATURE_MISSING)));
    // Without a nonce there is nothing that could have been signed.
    let empty = with_nkey(&text, &sign(&keys, b""));
    assert_eq!(
        outcome(authenticator.check(&empty, None, None)),
        Err(Some(SIGNATURE_NOT_VERIFIED))
    );
    // Others need no signature, and an nkey is no user name.
    assert_eq!(check(&login("plain", "1")), granted("plain"));
    assert_eq!(check(&login(&text, "")), REFUSED);
    // An nkey counts before a name, right or wrong.
    let both = |signature: &str| Credentials {
        user: Some("plain".into()),
        password: Some(Secret::new("1")),
        ..with_nkey(&text, signature)
    };
    assert_eq!(check(&both(&good)), granted(&text));
    assert_eq!(check(&both("?")), Err(Some(SIGNATURE_NOT_BASE64)));
}

#[test]
fn nkeys_and_signatures_of_all_lengths_are_refused() {
    let (keys, text) = pair(1);
    let authenticator = authenticator(&list(&[nkey_entry(&text)]));
    let nonce = new_nonce();
    let check = |shown: &Credentials| outcome(authenticator.check(shown, Some(&nonce), None));
    let good = keys.sign(&nonce);
    for length in (0..=80).filter(|length| *length != 56) {
        let cut: String = text.chars().cycle().take(length).collect();
        assert!(
            check(&with_nkey(&cut, &sign(&keys, &nonce))).is_err(),
            "{length}"
        );
    }
    for length in (0..=128).filter(|length| *length != 64) {
        let bytes: Vec<u8> = good.as_ref().iter().copied().cycle().take(length).collect();
        let detail = if length == 0 {
            SIGNATURE_MISSING
        } else {
            SIGNATURE_NOT_VERIFIED
        };
        let shown = with_nkey(&text, &BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(check(&shown), Err(Some(detail)), "{length}");
    }
}

#[test]
fn nkeys_of_a_list_without_any_are_not_looked_at() {
    let (_, text) = pair(1);
    let users = list(&[entry("plain", "1")]);
    assert!(!authenticator(&users).wants_nonce());
    let shown = Credentials {
        nkey: Some(text.into()),
        ..login("plain", "1")
    };
    assert_eq!(check(&users, &shown), granted("plain"));
}

#[test]
fn strangers_are_verified_and_refused() {
    // Over nothing, by the key that strangers are verified with (RFC 8032, 7.1, test 1): it is one.
    let signature = data_encoding::HEXLOWER.decode(
        b"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    );
    let signature = signature.unwrap();
    assert!(nkey::verify(&NOBODYS_KEY, b"", &signature));
    let authenticator = authenticator(&list(&[nkey_entry(&pair(1).1)]));
    let shown = with_nkey(&pair(2).1, &BASE64URL_NOPAD.encode(&signature));
    assert_eq!(outcome(authenticator.check(&shown, None, None)), REFUSED);
}

#[test]
fn nonces_are_new() {
    let nonces: std::collections::HashSet<_> = (0..10_000).map(|_| new_nonce()).collect();
    assert_eq!(nonces.len(), 10_000);
    let is_url_safe = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    assert!(nonces.iter().flatten().all(is_url_safe));
}
