//! What permission blocks come to, in both of their forms.

use gnatsd_core::permissions::Rules;

use super::super::test_support::{errors, read_options, warnings};
use super::*;

/// A file with a user who has these permissions.
fn file(permissions: &str) -> String {
    format!("authorization {{ users: [ {{user: a, password: b, permissions: {permissions}}} ] }}")
}

fn rules(permissions: &str) -> Rules {
    let users = read_options(&file(permissions)).authorization.users;
    let user = users.and_then(|mut users| users.pop());
    user.and_then(|user| user.permissions).unwrap()
}

/// `subject` or `subject queue`.
fn entries(list: &[&str]) -> Vec<Entry> {
    let entry = |text: &&str| parse_entry(text, Queues::Yes).unwrap();
    list.iter().map(entry).collect()
}

fn only(allow: &[&str]) -> Side {
    Side {
        allow: Some(entries(allow)),
        deny: Vec::new(),
    }
}

#[test]
fn lists_are_those_of_1_2_0() {
    for (text, publish, subscribe) in [
        ("{publish: a, subscribe: b}", &["a"][..], &["b"][..]),
        ("{pub: [a, b.*], SUB: \"c.>\"}", &["a", "b.*"], &["c.>"]),
        ("{import: a, export: [b]}", &["a"], &["b"]),
        ("{publish: a}", &["a"], &[]),
        ("{subscribe: \"q v.*\", publish: []}", &[], &["q v.*"]),
        ("{}", &[], &[]),
        ("{publish: foo*}", &["foo*"], &[]),
    ] {
        let expected = Rules {
            publish: only(publish),
            subscribe: only(subscribe),
            ..Rules::default()
        };
        assert_eq!(rules(text), expected, "{text}");
    }
    let queue = rules("{subscribe: \"q v.*\"}").subscribe.allow.unwrap();
    assert_eq!(queue[0].subject.as_ref(), "q");
    assert_eq!(queue[0].queue.as_deref(), Some("v.*"));
}

#[test]
fn maps_are_those_of_2_x() {
    let deny = |allow: Option<&[&str]>, deny: &[&str]| Side {
        allow: allow.map(entries),
        deny: entries(deny),
    };
    for (text, publish, subscribe) in [
        (
            "{publish: {allow: a, deny: [b, c]}, subscribe: {deny: \"d q\"}}",
            deny(Some(&["a"]), &["b", "c"]),
            deny(None, &["d q"]),
        ),
        // The side that is missing, and a list beside a map.
        ("{publish: {deny: b}}", deny(None, &["b"]), Side::default()),
        (
            "{publish: {deny: b}, subscribe: [x]}",
            deny(None, &["b"]),
            only(&["x"]),
        ),
        ("{publish: {}}", Side::default(), Side::default()),
        (
            "{publish: {allow: []}, subscribe: []}",
            Side::default(),
            Side::default(),
        ),
    ] {
        let expected = Rules {
            publish,
            subscribe,
            has_maps: true,
            ..Rules::default()
        };
        assert_eq!(rules(text), expected, "{text}");
    }
}

#[test]
fn answers() {
    let of = |text: &str| rules(&format!("{{subscribe: \">\", {text}}}"));
    let limited = |max, seconds| {
        Some(Responses {
            max,
            expires: Duration::from_secs(seconds).into(),
        })
    };
    for (text, expected) in [
        ("allow_responses: true", limited(Some(1), 120)),
        ("allow_responses: false, publish: x", None),
        ("publish_allow_responses: {max: 5}", limited(Some(5), 120)),
        (
            "allow_responses: {max: 0, expires: 0s}",
            limited(Some(1), 120),
        ),
        (
            "allow_responses: {max_msgs: -1, ttl: \"1m\"}",
            limited(None, 60),
        ),
        (
            "allow_responses: {expires: \"-1s\"}",
            Some(Responses {
                max: Some(1),
                expires: None,
            }),
        ),
    ] {
        assert_eq!(of(text).responses, expected, "{text}");
    }
    // A missing list is nothing then, in both forms; one that is there counts.
    assert_eq!(of("allow_responses: true").publish, only(&[]));
    let denied = rules("{publish: {deny: x}, allow_responses: true}");
    assert_eq!(denied.publish.allow, Some(Vec::new()));
    assert_eq!(denied.subscribe, Side::default());
    assert_eq!(
        of("allow_responses: true, publish: x").publish,
        only(&["x"])
    );
}

#[test]
fn what_lists_leave_out_is_told_once_per_user() {
    let start = "t.conf:1:62: permissions of user \"a\"";
    let warned = |text: &str| warnings(&file(text));
    assert_eq!(warned("{publish: a, subscribe: b}"), [""; 0]);
    assert_eq!(warned("{subscribe: b, allow_responses: true}"), [""; 0]);
    assert_eq!(warned("{publish: {deny: a}}"), [""; 0]);
    for (text, denied, add) in [
        ("{publish: a}", "subscribe to", "subscribe: \">\""),
        ("{publish: [], sub: x}", "publish", "publish: \">\""),
        (
            "{}",
            "publish or subscribe to",
            "publish: \">\", subscribe: \">\"",
        ),
    ] {
        let expected = format!(
            "{start} name no subject to {denied}, which denies every one; to allow all add: {add}"
        );
        assert_eq!(warned(text), [expected], "{text}");
    }
    let opened = format!(
        "{start} have an empty \"allow\" under subscribe, which allows every subject; \
         to deny all write: subscribe: {{ deny: \">\" }}"
    );
    assert_eq!(warned("{subscribe: {allow: []}}"), [opened]);
}

#[test]
fn mistakes() {
    for (text, expected) in [
        (
            "5",
            "Expected user permissions to be a map/struct, got int64",
        ),
        ("{read: x}", "Unknown field read parsing permissions"),
        (
            "{publish: 5}",
            "Expected subject permissions to be a subject, or array of subjects, got int64",
        ),
        (
            "{publish: [a, 5]}",
            "Subject in permissions array cannot be cast to string",
        ),
        (
            "{publish: foo..bar}",
            "Subject \"foo..bar\" is not a valid subject",
        ),
        ("{publish: \"\"}", "Subject \"\" is not a valid subject"),
        (
            "{publish: \">.a\"}",
            "Subject \">.a\" is not a valid subject",
        ),
        (
            "{publish: \"a q\"}",
            "Subject \"a q\" is not a valid subject",
        ),
        (
            "{subscribe: \" a\"}",
            "Subject \" a\" is not a valid subject",
        ),
        (
            "{subscribe: \"a b c\"}",
            "Subject \"a b c\" is not a valid subject",
        ),
        (
            "{subscribe: \"a. q\"}",
            "Subject \"a.\" is not a valid subject",
        ),
        (
            "{subscribe: {deny: \"a q..r\"}}",
            "queue \"q..r\" is not a valid queue",
        ),
        (
            "{publish: {alow: x}}",
            "Unknown field name \"alow\" parsing subject permissions, only 'allow' or 'deny' are permitted",
        ),
        (
            "{allow_responses: 5}",
            "error parsing response permissions, expected a boolean or a map",
        ),
        (
            "{allow_responses: {mox: 5}}",
            "Unknown field mox parsing permissions",
        ),
        (
            "{allow_responses: {max: x}}",
            "interface conversion: interface {} is string, not int64",
        ),
        (
            "{allow_responses: {expires: 5}}",
            "error parsing expires, not a duration string",
        ),
        (
            "{allow_responses: {expires: \"5\"}}",
            "error parsing expires: time: missing unit in duration \"5\"",
        ),
    ] {
        let errors = errors(&file(text));
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        let (place, error) = errors[0].split_once(": ").unwrap();
        assert!(place.starts_with("t.conf:1:"), "{place}");
        assert_eq!(error, expected, "{text}");
    }
    // All of them, each at its place, and no word about a key that is a variable.
    assert_eq!(
        errors(&file(
            "{\n publish: [a..b\n c..d]\n read: 1\n S: x\n subscribe: $S}"
        )),
        [
            "t.conf:2:12: Subject \"a..b\" is not a valid subject",
            "t.conf:3:2: Subject \"c..d\" is not a valid subject",
            "t.conf:4:2: Unknown field read parsing permissions",
        ]
    );
}
