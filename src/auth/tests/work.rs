//! What work a login is, and what it gives away.

use std::time::Instant;

use super::super::nkey::tests::{pair, sign};
use super::super::verifier::DIGESTS;
use super::*;

/// Rule 25: the work of a refusal says nothing of who there is.
#[test]
fn refusals_take_a_hash_where_there_are_hashes() {
    let is_hash = |authorization: &Authorization, shown: &Credentials| {
        matches!(
            authenticator(authorization).check(shown, None, None),
            Check::Hash(_)
        )
    };
    let mixed = list(&[
        entry("plain", "1"),
        entry("hashed", HASH),
        entry("broken", "$2a$99$abc"),
    ]);
    for user in ["plain", "hashed", "broken", "nobody"] {
        assert!(is_hash(&mixed, &login(user, "wrong")), "{user}");
    }
    assert!(!is_hash(&mixed, &login("plain", "1")));
    assert!(
        !is_hash(&mixed, &Credentials::default()),
        "nobody's name hides nobody"
    );
    let plain = list(&[entry("plain", "1")]);
    for user in ["plain", "nobody"] {
        assert!(!is_hash(&plain, &login(user, "wrong")), "{user}");
    }
    let single = single("hashed", HASH);
    assert!(is_hash(&single, &login("nobody", "wrong")));
}

#[test]
fn a_strangers_hash_has_the_cost_of_a_users() {
    let cost = |number: u32| {
        entry(
            &format!("u{number}"),
            &HASH.replace("$04$", &format!("${number:02}$")),
        )
    };
    let authenticator = authenticator(&list(&[cost(4), cost(9), cost(13)]));
    let mut seen = std::collections::BTreeSet::new();
    for stranger in 0..200 {
        let cost = || {
            let shown = login(&format!("stranger {stranger}"), "x");
            match authenticator.check(&shown, None, None) {
                Check::Hash(job) => format!("{job:?}"),
                other => panic!("{other:?}"),
            }
        };
        let first = cost();
        assert_eq!(first, cost(), "the same each time");
        seen.insert(first);
    }
    let expected =
        [13, 4, 9].map(|cost| format!("HashJob {{ hash: Hash(cost {cost}, [REDACTED]), .. }}"));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

/// Rules 25 and A6: the same work, however much of a text is right, and whether there is such a user or not.
#[test]
fn refusals_are_the_same_work() {
    let secret = "0123456789abcdef0123456789abcdef";
    let users = authenticator(&list(&[entry(secret, secret), entry("b", "2")]));
    let token = authenticator(&token(secret));
    let digests = |authenticator: &Authenticator, shown: &Credentials| {
        let before = DIGESTS.get();
        assert_eq!(outcome(authenticator.check(shown, None, None)), REFUSED);
        DIGESTS.get() - before
    };
    for right in 0..secret.len() {
        let text = format!("{}{}", &secret[..right], "x".repeat(secret.len() - right));
        for user in [secret, "b", "nobody", &text] {
            assert_eq!(digests(&users, &login(user, &text)), 2, "{user} {text}");
        }
        assert_eq!(digests(&token, &with_token(&text)), 2, "{text}");
    }
}

/// A secret that is revealed may be compared in a way that shows in the time it takes. So these lines are all that
/// do it: they hand it on to the digest, the hash or the signature.
#[test]
fn secrets_are_revealed_in_three_places() {
    let mut revealing = Vec::new();
    let sources = [
        include_str!("../mod.rs"),
        include_str!("../users.rs"),
        include_str!("../verifier.rs"),
        include_str!("../hash_job.rs"),
        include_str!("../bcrypt_hash.rs"),
        include_str!("../certificate.rs"),
        include_str!("../pool.rs"),
        include_str!("../pool/waiting.rs"),
        include_str!("../nkey.rs"),
    ];
    for line in sources.iter().flat_map(|source| source.lines()) {
        assert!(!line.contains("Secret") || !line.contains("=="), "{line}");
        if line.contains("reveal") {
            revealing.push(line.trim());
        }
    }
    let expected = [
        "let shown = shown.map_or(\"\", Secret::reveal);",
        "let fault = match signature.map(Secret::reveal) {",
        "let text = secret.reveal();",
    ];
    assert_eq!(revealing, expected);
}

#[test]
fn a_pool_does_what_is_left() {
    let pool = HashPool::new();
    let authenticator = authenticator(&list(&[entry("hashed", HASH)]));
    let (send, answers) = std::sync::mpsc::channel();
    for (number, password) in ["s3cret", "wrong"].into_iter().enumerate() {
        let Check::Hash(job) = authenticator.check(&login("hashed", password), None, None) else {
            panic!("that takes a hash");
        };
        let send = send.clone();
        let deadline = Instant::now() + Duration::from_secs(60);
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let done = move |login| send.send((number, login)).unwrap();
        pool.submit(job, deadline, ip, || Presence::There, done)
            .unwrap();
    }
    drop(send);
    let mut answers: Vec<_> = answers.iter().collect();
    answers.sort_by_key(|(number, _)| *number);
    assert!(matches!(&answers[0], (0, Login::Granted(user)) if &*user.name == "hashed"));
    assert_eq!(answers[1], (1, Login::Refused(Refusal::default())));
}

#[test]
fn debug_texts_have_no_secrets() {
    let (keys, text) = pair(1);
    let mut all = list(&[
        entry("plain", "hunter2"),
        entry("hashed", HASH),
        nkey_entry(&text),
    ]);
    all.token = Secret::new("hunter2");
    all.password = Secret::new("hunter2");
    let authenticator = authenticator(&all);
    let nonce = new_nonce();
    let signature = sign(&keys, &nonce);
    let mut texts = vec![format!("{authenticator:?}")];
    for shown in [
        login("hashed", "hunter2"),
        login("plain", "hunter2"),
        with_nkey(&text, &signature),
    ] {
        texts.push(format!(
            "{:?}",
            authenticator.check(&shown, Some(&nonce), None)
        ));
    }
    for text in texts {
        for secret in ["hunter2", "LZYjhNQ", "abcdefghij", &signature] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
