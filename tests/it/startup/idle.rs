//! What a server costs that has nothing to do.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Server, both_drivers};

/// How long it is watched.
const WATCH: Duration = Duration::from_secs(3);

/// Processor time per time, in thousandths.
const PERMILLE_MAX: u128 = 3;

both_drivers! {
    /// With some connections that wait for messages, and after there was work to do.
    fn idle_server_sleeps(driver) {
        let server = Server::start(driver);
        let mut clients: Vec<_> = (0..20).map(|_| server.raw_client()).collect();
        for client in &mut clients {
            client.send("SUB a 1\r\n");
            client.ping();
        }
        clients[0].send("PUB a 0\r\n\r\n".repeat(1000));
        clients[0].messages_until_pong();
        for client in &mut clients[1..] {
            assert_eq!(client.messages_until_pong().len(), 1000);
        }
        let (start, before) = (Instant::now(), server.cpu_time());
        thread::sleep(WATCH);
        let (elapsed, cost) = (start.elapsed(), server.cpu_time() - before);
        let permille = cost.as_micros() * 1000 / elapsed.as_micros();
        println!("idle: {cost:?} in {elapsed:?}");
        assert!(permille < PERMILLE_MAX, "{cost:?} in {elapsed:?}");
        for client in &mut clients {
            client.ping();
        }
    }
}
