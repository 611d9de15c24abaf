//! Denials at delivery: a wildcard subscription that is let in, and the subjects in it that are not, wherever the
//! publisher is.

use super::{user, wait_line};
use crate::support::{Driver, RawClient, Server, on_shards};

/// Messages for each look at a group.
const MESSAGES: usize = 200;

/// A server with one who may do all, and one whose wildcards may not bring `*.secret` nor `hidden.>`.
fn server(driver: Driver, cores: usize) -> Server {
    let conf = "authorization { users = [
        {user: all, password: a}
        {user: few, password: f, permissions: {publish: {}, subscribe: {deny: [\"*.secret\", \"hidden.>\", \"jobs.a bad\"]}}}
    ] }";
    Server::with(driver)
        .cores(cores)
        .monitor()
        .conf(conf)
        .start()
}

fn on(server: &Server, shard: usize, name: &str) -> RawClient {
    let json = user(name, &name[..1]);
    server.made_on(&[shard], || server.login(&json)).remove(0)
}

fn publish(client: &mut RawClient, subjects: &[&str]) {
    for subject in subjects {
        client.send(format!("PUB {subject} 0\r\n\r\n"));
    }
    client.ping();
}

/// Subjects of `count` messages, and that there are no more.
#[track_caller]
fn subjects(client: &mut RawClient, count: usize) -> Vec<String> {
    let subjects = (0..count).map(|_| client.message().subject).collect();
    let more = client.messages_until_pong();
    assert!(more.is_empty(), "more than {count}: {more:?}");
    subjects
}

/// The first and the last shard, in both directions.
fn ways(cores: usize) -> Vec<(usize, usize)> {
    if cores == 1 {
        vec![(0, 0)]
    } else {
        vec![(0, cores - 1), (cores - 1, 0), (0, 0)]
    }
}

on_shards! {
    fn wildcards_bring_what_is_allowed(driver, cores) on one, two {
        for (here, there) in ways(cores) {
            let server = server(driver, cores);
            let mut few = on(&server, here, "few");
            let mut all = on(&server, here, "all");
            let mut publisher = on(&server, there, "all");
            for client in [&mut few, &mut all] {
                client.send("SUB > 1\r\nSUB a.* 2\r\nSUB a.> group 3\r\n");
                client.ping();
            }
            // Twice: what was matched once is remembered.
            for _ in 0..2 {
                publish(&mut publisher, &["a.open", "a.secret", "hidden.a.b", "hidden", "a.b.secret", "a.secret"]);
                // One of the two gets the copy of the group; of a secret always the one who may.
                let mut of_few: Vec<_> = (0..4).map(|_| few.message()).collect();
                of_few.extend(few.messages_until_pong());
                assert!(
                    of_few.iter().all(|m| m.subject != "a.secret" && !m.subject.starts_with("hidden.")),
                    "{of_few:?}"
                );
                let plain: Vec<_> = of_few.iter().filter(|m| m.sid != "3").map(|m| &m.subject[..]).collect();
                let mut sorted = plain.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, ["a.b.secret", "a.open", "a.open", "hidden"]);
                let in_group = of_few.len() - plain.len();
                let of_all = subjects(&mut all, 9 + 4 - in_group);
                let count = |wanted: &str| of_all.iter().filter(|subject| *subject == wanted).count();
                assert_eq!((count("a.secret"), count("hidden.a.b"), count("hidden")), (6, 1, 1), "{of_all:?}");
            }
            assert_eq!(server.rescues(), 0);
        }
    }

    /// A message for a group whose chosen member may not have it goes to one who may.
    fn a_denied_member_swallows_nothing(driver, cores) on one, two {
        for (here, there) in ways(cores) {
            let server = server(driver, cores);
            let mut few = on(&server, here, "few");
            let mut also_few = on(&server, there, "few");
            let mut all = on(&server, there, "all");
            let mut publisher = on(&server, here, "all");
            for client in [&mut few, &mut also_few, &mut all] {
                client.send("SUB work.> group 1\r\n");
                client.ping();
            }
            publish(&mut publisher, &vec!["work.secret"; MESSAGES]);
            assert_eq!(subjects(&mut all, MESSAGES), vec!["work.secret"; MESSAGES]);
            few.ping();
            also_few.ping();
            publish(&mut publisher, &vec!["work.open"; MESSAGES]);
            let mut clients = [&mut few, &mut also_few, &mut all];
            let shares: Vec<usize> = collect(&mut clients, MESSAGES);
            assert!(shares.iter().all(|share| *share > MESSAGES / 20), "{shares:?}");
            // With nobody left who may, it is gone.
            all.send("UNSUB 1\r\n");
            all.ping();
            publish(&mut publisher, &["work.secret", "work.open"]);
            let mut clients = [&mut few, &mut also_few];
            collect(&mut clients, 1);
        }
    }

    /// Also where the others of the group are all on one shard, and where the publisher is the one who may.
    fn the_only_member_who_may(driver, cores) on two {
        for (here, there) in ways(cores) {
            let server = server(driver, cores);
            let mut few: Vec<_> = (0..5).map(|_| on(&server, here, "few")).collect();
            let mut all = on(&server, there, "all");
            let mut publisher = on(&server, here, "all");
            for client in few.iter_mut().chain([&mut all]) {
                client.send("SUB x.* group 1\r\n");
                client.ping();
            }
            publish(&mut publisher, &vec!["x.secret"; MESSAGES]);
            assert_eq!(subjects(&mut all, MESSAGES).len(), MESSAGES);
            all.send("PUB x.secret 0\r\n\r\n".repeat(MESSAGES));
            assert_eq!(subjects(&mut all, MESSAGES).len(), MESSAGES);
            for client in &mut few {
                client.ping();
            }
            assert_eq!(server.sum_over_shards("rechoice_dropped"), 0);
        }
    }

    /// Who asks where only those listen who may not hear is told that nobody does.
    fn nobody_who_may_hear_is_nobody(driver, cores) on one, two {
        for (here, there) in ways(cores) {
            let server = server(driver, cores);
            let mut few = on(&server, here, "few");
            few.send("SUB > 1\r\nSUB a.* group 2\r\nSUB *.* group 3\r\n");
            few.ping();
            let mut asker = on(&server, there, "all");
            asker.send("SUB _INBOX.1 9\r\n");
            for _ in 0..2 {
                asker.send("PUB a.secret _INBOX.1 0\r\n\r\n");
                asker.expect("HMSG _INBOX.1 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
            }
            asker.ping();
            // One for `>`, one for the group.
            asker.send("PUB a.open _INBOX.1 0\r\n\r\n");
            asker.ping();
            assert_eq!(subjects(&mut few, 2), ["a.open"; 2]);
        }
    }

    /// What was not delivered does not count for the end of a subscription.
    fn denied_messages_do_not_count_for_max(driver, cores) on one, two {
        for (here, there) in ways(cores) {
            let server = server(driver, cores);
            let mut few = on(&server, here, "few");
            let mut publisher = on(&server, there, "all");
            few.send("SUB a.* 1\r\nUNSUB 1 3\r\n");
            few.ping();
            publish(&mut publisher, &["a.secret"; 5]);
            publish(&mut publisher, &["a.1", "a.secret", "a.2", "a.3", "a.4"]);
            assert_eq!(subjects(&mut few, 3), ["a.1", "a.2", "a.3"]);
            assert_eq!(server.varz()["subscriptions"], 0);
        }
    }

    /// A subscription in a group that is denied is refused, another group is not.
    fn denied_groups(driver, cores) on one, two {
        let server = server(driver, cores);
        let mut few = on(&server, 0, "few");
        few.send("SUB jobs.a bad 1\r\n");
        few.expect("-ERR 'Permissions Violation for Subscription to \"jobs.a\" using queue \"bad\"'\r\n");
        wait_line(&server, &few, "ERR", "Subscription Violation - User \"few\", Subject \"jobs.a\", Queue: \"bad\", SID 1");
        few.send("SUB jobs.> bad 2\r\nSUB jobs.> good 3\r\n");
        few.ping();
        let mut publisher = on(&server, cores - 1, "all");
        publish(&mut publisher, &["jobs.a", "jobs.a.b", "jobs.secret"]);
        let mut got: Vec<_> = (0..3).map(|_| few.message()).map(|m| (m.subject, m.sid)).collect();
        few.ping();
        got.sort_unstable();
        let got: Vec<_> = got.iter().map(|(subject, sid)| (&subject[..], &sid[..])).collect();
        assert_eq!(got, [("jobs.a", "3"), ("jobs.a.b", "2"), ("jobs.a.b", "3")]);
    }
}

/// Messages of each of these, `count` together.
#[track_caller]
fn collect(clients: &mut [&mut RawClient], count: usize) -> Vec<usize> {
    let mut shares = vec![0; clients.len()];
    crate::support::wait_until(super::LIMIT, "all messages", || {
        for (client, share) in clients.iter_mut().zip(&mut shares) {
            *share += client.messages_until_pong().len();
        }
        shares.iter().sum::<usize>() >= count
    });
    for client in clients {
        client.ping();
    }
    assert_eq!(shares.iter().sum::<usize>(), count, "{shares:?}");
    shares
}
