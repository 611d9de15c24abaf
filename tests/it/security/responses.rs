//! `allow_responses`: leave to answer whoever has asked, so often and so long.

use std::time::{Duration, Instant};

use super::{LIMIT, user};
use crate::support::{Driver, Message, RawClient, Server, on_shards};

/// A server with a responder that may answer as `responses` says, and somebody who may do all.
fn server(driver: Driver, cores: usize, responses: &str) -> Server {
    let conf = format!(
        "authorization {{ users = [
            {{user: service, password: s, permissions: {{
                subscribe: {{allow: \"svc.>\", deny: \"svc.secret\"}}, allow_responses: {responses}
            }}}}
            {{user: asker, password: a}}
        ] }}"
    );
    Server::with(driver)
        .cores(cores)
        .monitor()
        .conf(&conf)
        .start()
}

/// An asker that hears all answers, and a responder that hears all questions: on the first and the last shard.
fn pair(server: &Server, cores: usize) -> (RawClient, RawClient) {
    let mut asker = on(server, 0, "asker", "a");
    let mut service = on(server, cores - 1, "service", "s");
    asker.subscribe("_INBOX.>", 1);
    service.subscribe("svc.>", 1);
    (asker, service)
}

fn on(server: &Server, shard: usize, name: &str, password: &str) -> RawClient {
    let json = user(name, password);
    server.made_on(&[shard], || server.login(&json)).remove(0)
}

fn ask(asker: &mut RawClient, service: &mut RawClient, reply: &str) -> Message {
    asker.send(format!("PUB svc.a {reply} 0\r\n\r\n"));
    let message = service.message();
    assert_eq!(message.reply.as_deref(), Some(reply));
    message
}

/// Whether the responder may publish there; if so it has done so.
#[track_caller]
fn answers(service: &mut RawClient, subject: &str) -> bool {
    service.send(format!("PUB {subject} 2\r\nhi\r\n"));
    let answer = service.until_pong();
    let violation = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n");
    assert!(answer.is_empty() || answer == violation, "{answer}");
    answer.is_empty()
}

on_shards! {
    fn one_answer_to_each_question(driver, cores) on one, two {
        let server = server(driver, cores, "true");
        let (mut asker, mut service) = pair(&server, cores);
        assert!(!answers(&mut service, "_INBOX.1"), "before a question");
        assert!(!answers(&mut service, "svc.a"));
        ask(&mut asker, &mut service, "_INBOX.1");
        ask(&mut asker, &mut service, "_INBOX.2");
        assert!(!answers(&mut service, "_INBOX.3"), "nobody asked for it");
        assert!(answers(&mut service, "_INBOX.2"));
        assert!(answers(&mut service, "_INBOX.1"));
        assert!(!answers(&mut service, "_INBOX.1"), "a second time");
        assert!(!answers(&mut service, "_INBOX.2"), "a second time");
        for subject in ["_INBOX.2", "_INBOX.1"] {
            assert_eq!(asker.message().subject, subject);
        }
        asker.ping();
        // Asked again, answered again.
        ask(&mut asker, &mut service, "_INBOX.1");
        assert!(answers(&mut service, "_INBOX.1"));
        assert_eq!(asker.message().subject, "_INBOX.1");
        assert_eq!(server.rescues(), 0);
    }

    /// Many answers in one write: as many as are allowed get through, and not one more.
    fn so_many_answers(driver, cores) on one, two {
        let server = server(driver, cores, "{max: 3}");
        let (mut asker, mut service) = pair(&server, cores);
        ask(&mut asker, &mut service, "_INBOX.1");
        service.send("PUB _INBOX.1 2\r\nhi\r\n".repeat(10));
        let answer = service.until_pong();
        assert_eq!(answer.matches("Permissions Violation").count(), 7, "{answer}");
        for _ in 0..3 {
            assert_eq!(asker.message().subject, "_INBOX.1");
        }
        asker.ping();
    }

    fn answers_without_end(driver, cores) on one, two {
        let server = server(driver, cores, "{max: -1, expires: \"-1s\"}");
        let (mut asker, mut service) = pair(&server, cores);
        ask(&mut asker, &mut service, "_INBOX.1");
        service.send("PUB _INBOX.1 2\r\nhi\r\n".repeat(500));
        service.ping();
        for _ in 0..500 {
            assert_eq!(asker.message().subject, "_INBOX.1");
        }
    }

    fn until_the_time_is_over(driver, cores) on one, two {
        let server = server(driver, cores, "{max: -1, expires: \"700ms\"}");
        let (mut asker, mut service) = pair(&server, cores);
        let begin = Instant::now();
        ask(&mut asker, &mut service, "_INBOX.1");
        let mut count = 0;
        while answers(&mut service, "_INBOX.1") {
            assert!(begin.elapsed() < LIMIT, "allowed for ever");
            asker.message();
            count += 1;
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(700), "refused after {took:.0?}");
        assert!(count > 0, "no answer in {took:.0?}");
        ask(&mut asker, &mut service, "_INBOX.1");
        assert!(answers(&mut service, "_INBOX.1"), "asked again");
    }

    /// Leave to answer goes to whoever was given the question, and to nobody else.
    fn only_who_was_asked_may_answer(driver, cores) on one, two {
        let server = server(driver, cores, "true");
        let (mut asker, mut service) = pair(&server, cores);
        let mut idle = on(&server, 0, "service", "s");
        idle.subscribe("svc.other", 1);
        ask(&mut asker, &mut service, "_INBOX.1");
        assert!(!answers(&mut idle, "_INBOX.1"), "it was not asked");
        assert!(answers(&mut service, "_INBOX.1"));
        // A question that may not be heard gives no leave.
        asker.send("PUB svc.secret _INBOX.2 0\r\n\r\nPUB svc.a 0\r\n\r\n");
        assert_eq!(service.message().subject, "svc.a");
        assert!(!answers(&mut service, "_INBOX.2"), "it did not hear it");
        // Of a group it is one member.
        for client in [&mut idle, &mut service] {
            client.send("SUB svc.work group 2\r\nUNSUB 1\r\n");
            client.ping();
        }
        for number in 0..20 {
            let reply = format!("_INBOX.work.{number}");
            asker.send(format!("PUB svc.work {reply} 0\r\n\r\n"));
            let (asked, other) = loop {
                if idle.has_more(Duration::from_millis(1)) {
                    break (&mut idle, &mut service);
                }
                if service.has_more(Duration::from_millis(1)) {
                    break (&mut service, &mut idle);
                }
            };
            assert_eq!(asked.message().reply.as_deref(), Some(&reply[..]));
            assert!(!answers(other, &reply), "another member was asked");
            assert!(answers(asked, &reply));
        }
    }

    /// With a header, through a wildcard, and where the reply may be published to anyway: that uses up nothing.
    fn what_may_be_published_anyway(driver, cores) on one, two {
        let conf = "authorization { users = [
            {user: service, password: s, permissions: {
                publish: {allow: \"open.>\", deny: \"open.secret\"}, subscribe: \"svc.>\", allow_responses: true
            }}
            {user: asker, password: a}
        ] }";
        let server = Server::with(driver).cores(cores).monitor().conf(conf).start();
        let (mut asker, mut service) = pair(&server, cores);
        asker.subscribe("open.>", 2);
        ask(&mut asker, &mut service, "open.a");
        for _ in 0..5 {
            assert!(answers(&mut service, "open.a"));
            asker.message();
        }
        // What is denied by name may be answered all the same, since it was asked for (nats-server 2.x).
        assert!(!answers(&mut service, "open.secret"));
        ask(&mut asker, &mut service, "open.secret");
        assert!(answers(&mut service, "open.secret"));
        assert_eq!(asker.message().subject, "open.secret");
        asker.send("HPUB svc.x _INBOX.h 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        assert_eq!(service.message().reply.as_deref(), Some("_INBOX.h"));
        assert!(answers(&mut service, "_INBOX.h"));
    }
}
