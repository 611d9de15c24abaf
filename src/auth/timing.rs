//! Whether the time of a login tells how much of a text is right (A6). On a quiet machine, in about a minute:
//!
//! ```text
//!   cargo test --release --lib -- --ignored --nocapture auth::timing
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use gnatsd_core::auth::{Credentials, Secret};

use crate::auth::{Authorization, UserEntry};

use super::Authenticator;

/// What is to be guessed.
const TEXT: &str = "kX9vQ2mT7bR4wZ8pL1nC6sD3fG5hJ0yA";

/// Times per class; each is that of [`CALLS`] logins.
const SAMPLES: usize = 100_000;
const CALLS: usize = 8;

/// What of all times is looked at: the rest are those in which something else happened.
const KEPT_PERCENT: usize = 90;

/// A difference whose `t` is above this is one. Source: dudect.
const T_MAX: f64 = 4.5;

/// The text with only the first bytes right.
fn guess(right: usize) -> String {
    let rest: String = TEXT.chars().skip(right).map(|_| '#').collect();
    format!("{}{rest}", &TEXT[..right])
}

/// How far the times of each class differ from those of the first: Welch's `t`, and the means in nanoseconds.
///
/// What is timed is made anew for each sample, so that all classes lie in the same memory; the classes come in
/// random order, so that whatever changes meanwhile changes for all.
fn differences<T>(
    classes: usize,
    make: impl Fn(usize) -> T,
    run: impl Fn(&T),
) -> Vec<(f64, [f64; 2])> {
    let mut times = vec![Vec::with_capacity(SAMPLES); classes];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..SAMPLES * classes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let class = usize::try_from(random >> 33).unwrap() % classes;
        let input = make(class);
        run(&input);
        let start = Instant::now();
        for _ in 0..CALLS {
            run(black_box(&input));
        }
        times[class].push(start.elapsed().as_nanos() as f64);
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let longest = all[all.len() * KEPT_PERCENT / 100];
    let moments = |times: &Vec<f64>| {
        let kept: Vec<f64> = times
            .iter()
            .copied()
            .filter(|time| *time <= longest)
            .collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let (first, first_error) = moments(&times[0]);
    let difference = |times| {
        let (mean, error) = moments(times);
        let t = (mean - first) / (error + first_error).sqrt();
        (t, [first / CALLS as f64, mean / CALLS as f64])
    };
    times.iter().skip(1).map(difference).collect()
}

fn report(what: &str, classes: &[String], differences: &[(f64, [f64; 2])]) {
    for (class, (t, [first, mean])) in classes.iter().skip(1).zip(differences) {
        println!(
            "{what}: {class} against {}: t = {t:.2}, {first:.1} and {mean:.1} ns",
            classes[0]
        );
    }
}

fn authenticator(users: bool) -> Authenticator {
    let authorization = Authorization {
        user: String::new(),
        password: Secret::default(),
        token: Secret::new(TEXT),
        timeout: Duration::from_secs(1),
        users: users.then(|| {
            vec![UserEntry {
                name: TEXT.to_owned(),
                password: Secret::new(TEXT),
                nkey: None,
                permissions: None,
            }]
        }),
        no_auth_user: None,
    };
    Authenticator::new(&authorization, false).unwrap()
}

fn credentials(user: &str, password: &str, token: &str) -> Credentials {
    Credentials {
        user: Some(user.into()),
        password: Some(Secret::new(password)),
        token: Some(Secret::new(token)),
        ..Credentials::default()
    }
}

#[test]
#[ignore = "measures time for a minute, see the head of the file"]
fn time_does_not_tell_what_is_right() {
    let right = [0, 1, TEXT.len() / 2, TEXT.len() - 1];
    let classes = right.map(|right| format!("{right} bytes right"));
    let (users, token) = (authenticator(true), authenticator(false));
    let login = |authenticator: &Authenticator, shown: &Credentials| {
        black_box(authenticator.check(shown, None, None));
    };
    let measured = [
        (
            "password",
            differences(
                4,
                |n| credentials(TEXT, &guess(right[n]), ""),
                |shown| login(&users, shown),
            ),
        ),
        (
            "token",
            differences(
                4,
                |n| credentials("", "", &guess(right[n])),
                |shown| login(&token, shown),
            ),
        ),
        (
            "user",
            differences(
                4,
                |n| credentials(&guess(right[n]), "x", ""),
                |shown| login(&users, shown),
            ),
        ),
    ];
    for (what, differences) in &measured {
        report(what, &classes, differences);
    }
    let known = [guess(0), TEXT.to_owned()];
    let who = ["unknown user", "known user"].map(str::to_owned);
    report(
        "password",
        &who,
        &differences(
            2,
            |n| credentials(&known[n], "x", ""),
            |shown| login(&users, shown),
        ),
    );
    // What this would find if it were there.
    let byte_by_byte = differences(
        4,
        |n| guess(right[n]),
        |shown| {
            black_box(
                shown
                    .bytes()
                    .zip(black_box(TEXT).bytes())
                    .all(|(a, b)| a == b),
            );
        },
    );
    report("byte by byte", &classes, &byte_by_byte);
    assert!(
        byte_by_byte[2].0.abs() > T_MAX,
        "this could not find anything"
    );
    for (what, differences) in measured {
        for (t, _) in differences {
            assert!(t.abs() < T_MAX, "{what}: t = {t}");
        }
    }
}
