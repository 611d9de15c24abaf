//! The server under a client library of today: async-nats.
//!
//! Owns the main job (a million messages of every kind over several connections, six zeros) and the
//! small things that every client does. Literal bytes stand in the protocol tests, not here.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, HeaderMap, Message, RequestErrorKind, Subscriber};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{
    Body, Checker, Driver, Server, WatchId, both_drivers, heavy, long, on_shards,
};

/// Longest wait for anything that must happen.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs `body` with this many threads for the client side.
fn block_on<F: Future>(threads: usize, body: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(body)
}

async fn connect(address: SocketAddr) -> Client {
    async_nats::connect(address.to_string())
        .await
        .expect("async-nats connects")
}

/// Waits for `future`, but not for ever.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

/// Everything `client` sent before has been handled by the server: a request that nobody answers is
/// told so, in order. (Its `flush` says only that the bytes have left.)
async fn barrier(client: &Client) {
    let answer = soon("no responders", client.request("nobody.listens", "".into())).await;
    let kind = answer
        .expect_err("nobody listens, so nobody answers")
        .kind();
    assert_eq!(kind, RequestErrorKind::NoResponders);
}

async fn next(subscriber: &mut Subscriber) -> Message {
    soon("a message", subscriber.next())
        .await
        .expect("a living subscription")
}

/// Messages of the main job, requests and replies included.
const MAIN_JOB_MESSAGES: u64 = 1_000_000;
/// Its short form, for numbers of shards beyond the first.
const SHORT_JOB_MESSAGES: u64 = 200_000;
/// Connections that publish.
const PUBLISHERS: u32 = 4;
/// Requests under way at the same time.
const REQUEST_LANES: u32 = 48;
/// For so many messages each lane makes one request.
const MESSAGES_PER_REQUEST: u64 = 2000;
/// Messages in a row on one kind of subject.
const BLOCK: u64 = 64;
/// Deliveries under way at most: far below what makes async-nats drop messages of its own accord.
const IN_FLIGHT_MAX: usize = 16 * 1024;
/// Header that carries the body of a message without payload, as hexadecimal digits.
const BODY_HEADER: &str = "Body";
/// Header that repeats the sequence number.
const SEQUENCE_HEADER: &str = "Sequence";

/// What a block of messages is published as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To plain subscriptions.
    Plain,
    /// With headers, some of them without payload.
    Headed,
    /// To a queue group.
    Work,
}

impl Kind {
    fn of(sequence: u64) -> Self {
        match sequence / BLOCK % 8 {
            3 => Kind::Headed,
            1 | 4 | 6 => Kind::Work,
            _ => Kind::Plain,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Headed => "headed",
            Kind::Work => "work",
        }
    }

    /// Copies delivered: one for the subscription to everything, one for the kind's own.
    const COPIES: u32 = 2;
}

/// Payload bytes: small for the most part, now and then large, up to 64 KiB.
fn size_of(random: u64) -> usize {
    let within = |min: usize, max: usize| {
        let place = usize::try_from(random >> 16).unwrap_or(0) % (max - min + 1);
        min + place
    };
    match random % 1000 {
        0 => within(8 * 1024, 64 * 1024),
        1..30 => within(256, 4 * 1024),
        30..300 => within(64, 256),
        _ => within(Body::BYTES_MIN, 64),
    }
}

/// A number that depends on nothing but its arguments (the mixing function of SplitMix64).
fn mix(publisher: u32, sequence: u64) -> u64 {
    let mut z = (u64::from(publisher) << 40 ^ sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map_while(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// What all tasks of the main job share.
struct Job {
    run: u64,
    /// Requests of one lane.
    requests_per_lane: u64,
    /// Messages that each publisher sends.
    per_publisher: u64,
    checker: Mutex<Checker>,
    /// One permit for each delivery that may be under way.
    room: Semaphore,
    bytes: AtomicU64,
    wrong_headers: AtomicU64,
}

impl Job {
    fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks one delivery.
    fn take(&self, watch: WatchId, member: usize, message: &Message) {
        let headers = message.headers.as_ref();
        let value = |name| headers.and_then(|headers| Some(headers.get(name)?.as_str()));
        let hidden = value(BODY_HEADER).map(from_hex);
        let body = match &hidden {
            Some(body) if message.payload.is_empty() => body.as_slice(),
            _ => &message.payload,
        };
        let words: Vec<&str> = message.subject.split('.').collect();
        let is_right = Body::decode(body).is_some_and(|body| {
            let sequence = body.sequence.to_string();
            let is_headed = words.get(2) == Some(&Kind::Headed.word());
            words[1] == body.publisher.to_string()
                && value(SEQUENCE_HEADER) == is_headed.then_some(sequence.as_str())
        });
        if !is_right {
            self.wrong_headers.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes
            .fetch_add(message.payload.len() as u64, Ordering::Relaxed);
        self.checker().received(watch, member, body);
    }

    /// Checks everything that arrives at `subscriber` until it ends.
    fn watch(
        self: &Arc<Self>,
        watch: WatchId,
        member: usize,
        mut subscriber: Subscriber,
    ) -> JoinHandle<()> {
        let job = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                job.take(watch, member, &message);
                job.room.add_permits(1);
            }
        })
    }

    /// Publishes the messages of one connection; gives their number, which is smaller only when
    /// deliveries stopped coming.
    async fn publish(self: Arc<Self>, publisher: u32, client: Client) -> u64 {
        for sequence in 0..self.per_publisher {
            let room = timeout(LIMIT, self.room.acquire_many(Kind::COPIES)).await;
            let Ok(Ok(room)) = room else { return sequence };
            room.forget();
            let random = mix(publisher, sequence);
            let kind = Kind::of(sequence);
            let subject = format!("job.{publisher}.{}.{}", kind.word(), random % 16);
            let body = Body {
                run: self.run,
                publisher,
                sequence,
            };
            let bytes = size_of(random);
            if kind != Kind::Headed {
                let sent = client.publish(subject, body.encode(bytes).into()).await;
                sent.expect("publish");
                continue;
            }
            let mut headers = HeaderMap::new();
            headers.insert(SEQUENCE_HEADER, sequence.to_string().as_str());
            let is_empty = random & 1 << 40 == 0;
            let payload = if is_empty {
                let hidden = to_hex(&body.encode(Body::BYTES_MIN));
                headers.insert(BODY_HEADER, hidden.as_str());
                Vec::new()
            } else {
                body.encode(bytes)
            };
            let sent = client
                .publish_with_headers(subject, headers, payload.into())
                .await;
            sent.expect("publish with headers");
        }
        client.flush().await.expect("flush");
        self.per_publisher
    }

    /// One request after the other; each answer must be the request.
    async fn ask(self: Arc<Self>, lane: u32, replies: WatchId, client: Client) {
        let publisher = PUBLISHERS + lane;
        for sequence in 0..self.requests_per_lane {
            let body = Body {
                run: self.run,
                publisher,
                sequence,
            };
            let payload = body.encode(size_of(mix(publisher, sequence)));
            let reply = client.request(format!("ask.{publisher}"), payload.clone().into());
            let reply = soon("a reply", reply).await.expect("a reply");
            let is_mine = reply.payload == payload;
            let bytes: &[u8] = if is_mine {
                &reply.payload
            } else {
                b"another's"
            };
            self.checker().received(replies, 0, bytes);
        }
    }

    /// Answers requests with their own payload until the subscription ends.
    fn answer(
        self: &Arc<Self>,
        watch: WatchId,
        member: usize,
        client: Client,
        mut subscriber: Subscriber,
    ) -> JoinHandle<()> {
        let job = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                job.take(watch, member, &message);
                let reply = message.reply.expect("a request has a reply subject");
                client.publish(reply, message.payload).await.expect("reply");
            }
        })
    }
}

/// So many messages, about 1 in 20 of them request or reply.
async fn main_job(server: &Server, case: &str, messages: u64) {
    let address = server.address();
    let run = u64::from(server.pid());
    let mut checker = Checker::new(run);
    let everything = checker.watch("job.>");
    let one_subject = checker.watch("job.0.plain.3");
    let kinds: HashMap<&str, WatchId> = [Kind::Plain, Kind::Headed, Kind::Work]
        .map(|kind| (kind.word(), checker.watch(kind.word())))
        .into();
    let asked = checker.watch("requests");
    let replies = checker.watch("replies");
    let requests_per_lane = messages / MESSAGES_PER_REQUEST;
    let requests = u64::from(REQUEST_LANES) * requests_per_lane;
    let job = Arc::new(Job {
        run,
        requests_per_lane,
        per_publisher: (messages - 2 * requests) / u64::from(PUBLISHERS),
        checker: Mutex::new(checker),
        room: Semaphore::new(IN_FLIGHT_MAX),
        bytes: AtomicU64::new(0),
        wrong_headers: AtomicU64::new(0),
    });

    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(address).await);
    }
    let mut tasks = Vec::new();
    let plain = [
        (0, "job.>", everything),
        (1, "job.*.plain.*", kinds["plain"]),
        (2, "job.*.headed.>", kinds["headed"]),
    ];
    for (at, subject, watch) in plain {
        let subscriber = clients[at].subscribe(subject).await.expect("subscribe");
        tasks.push(job.watch(watch, 0, subscriber));
    }
    // One group by two patterns, over three connections: still one copy for each message.
    let work = [
        "job.*.work.*",
        "job.*.work.>",
        "job.*.work.*",
        "job.*.work.>",
    ];
    for (member, subject) in work.into_iter().enumerate() {
        let client = &clients[1 + member % 3];
        let queue = client.queue_subscribe(subject, "workers".to_owned());
        tasks.push(job.watch(kinds["work"], member, queue.await.expect("subscribe")));
    }
    for member in 0..3 {
        let client = &clients[1 + member];
        let queue = client.queue_subscribe("ask.*", "answers".to_owned());
        let subscriber = queue.await.expect("subscribe");
        tasks.push(job.answer(asked, member, client.clone(), subscriber));
    }
    let literal = clients[3].subscribe("job.0.plain.3").await;
    // Not counted in the room: it takes a copy here and there beside the two of each message.
    let literal = {
        let (job, mut literal) = (Arc::clone(&job), literal.expect("subscribe"));
        tokio::spawn(async move {
            while let Some(message) = literal.next().await {
                job.take(one_subject, 0, &message);
            }
        })
    };
    tasks.push(literal);
    for client in &clients {
        barrier(client).await;
    }

    let begin = Instant::now();
    let mut publishing = Vec::new();
    for publisher in 0..PUBLISHERS {
        let client = connect(address).await;
        publishing.push(tokio::spawn(Arc::clone(&job).publish(publisher, client)));
    }
    let asker = connect(address).await;
    let asking: Vec<_> = (0..REQUEST_LANES)
        .map(|lane| tokio::spawn(Arc::clone(&job).ask(lane, replies, asker.clone())))
        .collect();
    for (publisher, published) in (0..).zip(join_all(publishing).await) {
        let published = published.expect("a publisher");
        let mut checker = job.checker();
        checker.must(everything, publisher, 0..published);
        for start in (0..published).step_by(BLOCK as usize) {
            let block = start..published.min(start + BLOCK);
            let kind = Kind::of(start);
            checker.must(kinds[kind.word()], publisher, block.clone());
            if publisher == 0 && kind == Kind::Plain {
                for sequence in block.filter(|sequence| mix(0, *sequence) % 16 == 3) {
                    checker.must(one_subject, 0, sequence..sequence + 1);
                }
            }
        }
    }
    for lane in join_all(asking).await {
        lane.expect("a lane of requests");
    }
    for lane in 0..REQUEST_LANES {
        let mut checker = job.checker();
        checker.must(asked, PUBLISHERS + lane, 0..requests_per_lane);
        checker.must(replies, PUBLISHERS + lane, 0..requests_per_lane);
    }
    let everyone = u32::try_from(IN_FLIGHT_MAX).expect("a number of permits");
    // Room again for everything: nothing is under way. If that never comes, the counts say why.
    let _ = timeout(LIMIT, job.room.acquire_many(everyone)).await;
    let took = begin.elapsed();
    for client in &clients {
        barrier(client).await;
        client.drain().await.expect("drain");
    }
    for task in tasks {
        soon("end of a drained subscription", task)
            .await
            .expect("a receiver");
    }
    let report = job.checker().finish();
    println!(
        "main job, {case}: {messages} messages in {took:.1?}, {} payload bytes delivered, \
         {} with wrong subject or headers, server: {} KiB resident, {:.1?} of CPU",
        job.bytes.load(Ordering::Relaxed),
        job.wrong_headers.load(Ordering::Relaxed),
        server.rss_bytes() / 1024,
        server.cpu_time(),
    );
    report.assert_six_zeros("main job");
    assert_eq!(job.wrong_headers.load(Ordering::Relaxed), 0);
}

on_shards! {
    /// A million messages of mixed size through wildcards, queue groups, headers and requests: all
    /// arrive once, whole and in order. Over several shards it is fewer, unless this is a soak run.
    fn main_job_over_async_nats(driver, cores) on one, two, four {
        let _alone = heavy();
        let short = if cores == 1 { MAIN_JOB_MESSAGES } else { SHORT_JOB_MESSAGES };
        let messages = long(short, MAIN_JOB_MESSAGES);
        let server = Server::with(driver).cores(cores).monitor().start();
        let case = format!("{} x{cores}", driver.name());
        block_on(2, main_job(&server, &case, messages));
        assert_eq!(server.rescues(), 0);
    }
}

both_drivers! {
    fn request_to_nobody_says_no_responders(driver) {
        let server = Server::start(driver);
        block_on(1, async {
            let client = connect(server.address()).await;
            let begin = Instant::now();
            barrier(&client).await;
            println!("no responders: told in {:.1?}", begin.elapsed());
        });
    }

    /// What was sent before a drain arrives, then the subscription ends, and so does the connection.
    fn drain_loses_nothing(driver) {
        let server = Server::start(driver);
        block_on(1, async {
            let receiver = connect(server.address()).await;
            let publisher = connect(server.address()).await;
            let subscriber = receiver.subscribe("drained.*").await.expect("subscribe");
            barrier(&receiver).await;
            for number in 0..1000 {
                let payload = number.to_string();
                publisher.publish("drained.a", payload.into()).await.expect("publish");
            }
            barrier(&publisher).await;
            // This client closes a drained connection without waiting for the server's answer. From another
            // shard the messages may still be on their way: they are behind the first of these answers at
            // the latest, and before the second.
            barrier(&receiver).await;
            barrier(&receiver).await;
            receiver.drain().await.expect("drain");
            let received: Vec<Message> = soon("the end of the subscription", subscriber.collect()).await;
            let numbers: Vec<String> = received
                .iter()
                .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
                .collect();
            let sent: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
            assert_eq!(numbers, sent);
            soon("a drained subscription without interest", async {
                while publisher.request("drained.a", "".into()).await.is_ok() {}
            })
            .await;
        });
    }

    fn headers_come_back_as_sent(driver) {
        let server = Server::start(driver);
        block_on(1, async {
            let client = connect(server.address()).await;
            let mut subscriber = client.subscribe("headed").await.expect("subscribe");
            let mut headers = HeaderMap::new();
            headers.append("Fruit", "apple");
            headers.append("Fruit", "pear: \"ripe\"");
            headers.insert("Empty", "");
            headers.insert("X-Long", "x".repeat(3000).as_str());
            for payload in ["", "with a payload"] {
                let sent = client.publish_with_headers("headed", headers.clone(), payload.into());
                sent.await.expect("publish with headers");
                let message = next(&mut subscriber).await;
                assert_eq!(message.headers.as_ref(), Some(&headers));
                assert_eq!(message.payload, payload);
                assert_eq!(message.status, None);
            }
        });
    }

    /// Requests of one client answered by another, with headers both ways.
    fn request_and_reply(driver) {
        let server = Server::start(driver);
        block_on(1, async {
            let (asker, helper) = (connect(server.address()).await, connect(server.address()).await);
            let mut questions = helper.subscribe("help.>").await.expect("subscribe");
            barrier(&helper).await;
            let answers = async {
                while let Some(question) = questions.next().await {
                    let reply = question.reply.expect("a request has a reply subject");
                    let headers = question.headers.expect("headers");
                    let sent = helper.publish_with_headers(reply, headers, question.payload);
                    sent.await.expect("reply");
                }
            };
            let asking = async {
                for number in 0..500 {
                    let mut headers = HeaderMap::new();
                    headers.insert("Number", number.to_string().as_str());
                    let request =
                        asker.request_with_headers("help.me", headers.clone(), "please".into());
                    let reply = soon("a reply", request).await.expect("a reply");
                    assert_eq!(reply.headers, Some(headers));
                    assert_eq!(reply.payload, "please");
                }
            };
            tokio::select! {
                () = answers => panic!("the subscription ended"),
                () = asking => {}
            }
        });
    }

    /// The server is killed and started again on its port: the client comes back by itself, with its
    /// subscription.
    fn reconnects_after_a_restart(driver) {
        let mut server = Server::start(driver);
        let address = server.address();
        block_on(1, async {
            let client = ConnectOptions::new()
                .reconnect_delay_callback(|_| Duration::from_millis(20))
                .connect(address.to_string())
                .await
                .expect("async-nats connects");
            let mut subscriber = client.subscribe("still.here").await.expect("subscribe");
            client.publish("still.here", "before".into()).await.expect("publish");
            assert_eq!(next(&mut subscriber).await.payload, "before");
            server.kill();
            let begin = Instant::now();
            server = restart(driver, address);
            let listening = begin.elapsed();
            // What is published while there is no connection may be lost, so ask until it arrives.
            let arrived = soon("a message after the restart", async {
                loop {
                    client.publish("still.here", "after".into()).await.expect("publish");
                    if let Ok(message) = timeout(Duration::from_millis(50), subscriber.next()).await {
                        return message;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            });
            assert_eq!(arrived.await.expect("a living subscription").payload, "after");
            println!("E7 (one client): listening after {listening:.1?}, served after {:.1?}", begin.elapsed());
            assert!(listening < Duration::from_secs(1), "listening only after {listening:?}");
        });
    }
}

fn restart(driver: Driver, address: SocketAddr) -> Server {
    Server::with(driver).port(address.port()).start()
}
