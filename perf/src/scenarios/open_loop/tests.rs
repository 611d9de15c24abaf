//! An open loop against a server made of a few lines that stands still once.

use super::*;
use crate::scenarios::tests::relay;

/// How long the server stands still, once, in the middle.
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn a_pause_of_the_server_shows_in_every_request_that_was_due_in_it() {
    let server = relay(Some((500, PAUSE)));
    let load = Load {
        server: server.into(),
        stop: Stop::Messages(1000),
        ..Load::default()
    };
    let conversation = Conversation::connect(&load.server, "foo", 16, true).unwrap();
    let mut requests = OpenLoop::begin(conversation, 2000.0, load.stop).unwrap();
    requests.run(&mut None).unwrap();
    assert_eq!(requests.times.count(), 1000);
    // At 2000 per second some 200 are due in the pause. A closed loop would have one slow request in 1000.
    let latency = requests.times.latency().unwrap();
    assert!(latency.max >= PAUSE, "{latency:?}");
    assert!(latency.p99 >= PAUSE * 8 / 10, "{latency:?}");
    requests.conversation.finish().unwrap();
}

#[test]
fn a_rate_must_be_one() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let server = relay(None);
        let conversation = Conversation::connect(&server.clone().into(), "foo", 16, false).unwrap();
        assert!(OpenLoop::begin(conversation, rate, Stop::Messages(1)).is_err());
    }
}
