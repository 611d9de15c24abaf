//! Users whom certificates name.

use super::super::nkey::tests::{pair, sign};
use super::*;

fn certificate(email: &str, subject: &str) -> PeerNames {
    PeerNames {
        emails: vec![email.to_owned()],
        subject: subject.to_owned(),
        subject_in_order: subject.to_owned(),
        ..PeerNames::default()
    }
}

#[test]
fn users_whom_certificates_name() {
    let (keys, text) = pair(1);
    let users = list(&[
        entry("a@x", ""),
        entry("CN=b,O=Acme", ""),
        entry("p@x", "1"),
        entry("h@x", HASH),
        nkey_entry(&text),
    ]);
    let authenticator = Authenticator::new(&users, true).unwrap();
    let check = |shown: &Credentials, certificate: Option<&PeerNames>| {
        outcome(authenticator.check(shown, None, certificate))
    };
    let empty = Credentials::default();
    let is_by = |certificate: &PeerNames| check(&empty, Some(certificate));
    assert_eq!(is_by(&certificate("a@x", "")), granted("a@x"));
    assert_eq!(
        is_by(&certificate("", "O=Acme,CN=b")),
        granted("CN=b,O=Acme")
    );
    assert_eq!(
        is_by(&certificate("c@x", "CN=c")),
        Err(Some(CERTIFICATE_UNKNOWN))
    );
    assert_eq!(is_by(&PeerNames::default()), Err(Some(CERTIFICATE_UNKNOWN)));
    assert_eq!(
        check(&login("a@x", ""), None),
        Err(Some(CERTIFICATE_MISSING))
    );
    // What it shows besides does not make it another, nor one who has no certificate.
    let other = certificate("a@x", "");
    assert_eq!(check(&login("p@x", "1"), Some(&other)), granted("a@x"));
    assert_eq!(
        check(&login("p@x", "1"), Some(&certificate("c@x", ""))),
        Err(Some(CERTIFICATE_UNKNOWN))
    );
    // An entry with a password wants it as well.
    assert_eq!(is_by(&certificate("p@x", "")), REFUSED);
    assert_eq!(
        check(&login("", "1"), Some(&certificate("p@x", ""))),
        granted("p@x")
    );
    assert_eq!(
        check(&login("", "s3cret"), Some(&certificate("h@x", ""))),
        granted("h@x")
    );
    assert_eq!(
        check(&login("", "1"), Some(&certificate("h@x", ""))),
        REFUSED
    );
    // Owners of nkeys sign, with or without a name in the certificate.
    let nonce = new_nonce();
    let signed = with_nkey(&text, &sign(&keys, &nonce));
    assert_eq!(
        outcome(authenticator.check(&signed, Some(&nonce), None)),
        granted(&text)
    );
    assert_eq!(
        is_by(&certificate(&text, "")),
        Err(Some(CERTIFICATE_UNKNOWN))
    );
}

#[test]
fn certificates_name_nobody_where_nobody_is_listed() {
    let named = certificate("derek", "CN=derek");
    let outcome = |authorization: &Authorization, shown: &Credentials| {
        outcome(
            Authenticator::new(authorization, true)
                .unwrap()
                .check(shown, None, Some(&named)),
        )
    };
    let single = single("derek", "s3cret");
    assert_eq!(outcome(&single, &Credentials::default()), REFUSED);
    assert_eq!(
        outcome(&single, &login("derek", "s3cret")),
        granted("derek")
    );
    assert_eq!(outcome(&token("t"), &with_token("t")), granted(""));
    assert_eq!(outcome(&list(&[]), &login("derek", "")), REFUSED);
    // A certificate says more than no_auth_user.
    let guest = Authorization {
        no_auth_user: Some("guest".to_owned()),
        ..list(&[entry("guest", ""), entry("derek", "")])
    };
    assert_eq!(outcome(&guest, &Credentials::default()), granted("derek"));
    assert_eq!(
        Authenticator::new(&guest, true).unwrap().rules().anonymous,
        None
    );
}
