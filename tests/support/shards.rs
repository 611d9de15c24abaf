//! Servers of several shards: a test over numbers of them, and connections on chosen ones.
//!
//! Where a connection lives is nowhere to be read. But the server gives a new one to the shard with the
//! fewest, and `/varz` counts those of each, so a test that opens them one at a time knows.

use std::time::Duration;

use serde_json::Value;

use super::client::RawClient;
use super::server::Server;
use super::wait::wait_until;

/// How long the server may take to count a connection that ended.
const LIMIT: Duration = Duration::from_secs(10);

/// Connections opened in search of one on a certain shard before a test gives up.
const TRIES_MAX: usize = 2000;

/// Names for numbers of shards, as they appear in the names of tests.
pub(crate) mod count {
    /// One shard: nothing crosses.
    pub(crate) const fn one() -> usize {
        1
    }

    /// The least number at which something crosses.
    pub(crate) const fn two() -> usize {
        2
    }

    /// As many that a third may look on, and more than this machine may have CPUs.
    pub(crate) const fn four() -> usize {
        4
    }
}

/// Makes a test of each driver for each number of shards:
/// `on_shards! { fn name(driver, cores) on two, four { … } }` gives `name::two::uring`,
/// `name::two::epoll`, `name::four::uring` and `name::four::epoll`. The numbers are those of [`count`].
macro_rules! on_shards {
    ($($(#[$meta:meta])* fn $name:ident($driver:ident, $cores:ident) on $($count:ident),+ $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports, reason = "a body may use nothing from around it")]
            use super::*;

            $(#[$meta])*
            fn run($driver: $crate::support::Driver, $cores: usize) $body

            $(mod $count {
                #[test]
                fn uring() {
                    if $crate::support::Driver::Uring.is_available() {
                        super::run($crate::support::Driver::Uring, $crate::support::shards::count::$count());
                    }
                }

                #[test]
                fn epoll() {
                    super::run($crate::support::Driver::Epoll, $crate::support::shards::count::$count());
                }
            })+
        }
    )+};
}

pub(crate) use on_shards;

/// Every ordered pair of different shards.
pub(crate) fn ordered_pairs(cores: usize) -> Vec<(usize, usize)> {
    let pairs = (0..cores).flat_map(|from| (0..cores).map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to).collect()
}

impl Server {
    /// `shards` of `/varz`: an object for each shard, in their order.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub(crate) fn shards(&self) -> Vec<Value> {
        let varz = self.varz();
        let shards = varz["shards"].as_array().cloned();
        shards.unwrap_or_else(|| panic!("no shards in /varz: {varz}"))
    }

    /// Open connections of each shard.
    #[track_caller]
    pub(crate) fn shard_connections(&self) -> Vec<u64> {
        self.of_shards("connections")
    }

    /// How often a heartbeat found work that nobody had woken a shard for; anything but 0 is a fault.
    #[track_caller]
    pub(crate) fn rescues(&self) -> u64 {
        self.sum_over_shards("rescues")
    }

    /// One figure of `/varz`, all shards together.
    #[track_caller]
    pub(crate) fn sum_over_shards(&self, figure: &str) -> u64 {
        self.of_shards(figure).iter().sum()
    }

    /// The highest of one figure of `/varz` among the shards.
    #[track_caller]
    pub(crate) fn max_over_shards(&self, figure: &str) -> u64 {
        self.of_shards(figure).into_iter().max().unwrap_or(0)
    }

    #[track_caller]
    fn of_shards(&self, figure: &str) -> Vec<u64> {
        let number = |shard: &Value| {
            let number = shard[figure].as_u64();
            number.unwrap_or_else(|| panic!("no {figure} in {shard}"))
        };
        self.shards().iter().map(number).collect()
    }

    /// Connections as [`Server::raw_client`] makes them, the first on the first of these shards, and so
    /// on. No other connection may come or go meanwhile.
    #[track_caller]
    pub(crate) fn clients_on(&self, wanted: &[usize]) -> Vec<RawClient> {
        self.made_on(wanted, || self.raw_client())
    }

    /// One connection on this shard; see [`Server::clients_on`].
    #[track_caller]
    pub(crate) fn client_on(&self, shard: usize) -> RawClient {
        self.clients_on(&[shard]).remove(0)
    }

    /// As [`Server::clients_on`], with connections that `make` makes.
    #[track_caller]
    pub(crate) fn made_on(
        &self,
        wanted: &[usize],
        mut make: impl FnMut() -> RawClient,
    ) -> Vec<RawClient> {
        let mut found: Vec<Option<RawClient>> = wanted.iter().map(|_| None).collect();
        let mut others = Vec::new();
        let mut counts = self.shard_connections();
        while found.iter().any(Option::is_none) {
            let client = make();
            let now = self.shard_connections();
            let shard = grown(&counts, &now);
            counts = now;
            let places = wanted.iter().zip(&mut found);
            let mut places = places.filter(|(wanted, place)| **wanted == shard && place.is_none());
            match places.next() {
                Some((_, place)) => *place = Some(client),
                None => others.push(client),
            }
            assert!(others.len() < TRIES_MAX, "none of {wanted:?} gets one");
        }
        let rest = counts.iter().sum::<u64>() - others.len() as u64;
        drop(others);
        wait_until(LIMIT, "the connections too many gone", || {
            self.shard_connections().iter().sum::<u64>() == rest
        });
        found.into_iter().flatten().collect()
    }
}

/// The shard that has one more now.
///
/// # Panics
/// When anything else has changed.
#[track_caller]
fn grown(before: &[u64], now: &[u64]) -> usize {
    let at = before
        .iter()
        .zip(now)
        .position(|(before, now)| before != now);
    let is_one = before.iter().sum::<u64>() + 1 == now.iter().sum::<u64>();
    match at {
        Some(at) if is_one && before[at] + 1 == now[at] => at,
        _ => panic!("one connection was made, and {before:?} became {now:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_ordered_and_of_different_shards() {
        assert_eq!(ordered_pairs(1), []);
        assert_eq!(ordered_pairs(2), [(0, 1), (1, 0)]);
        assert_eq!(ordered_pairs(4).len(), 12);
    }

    #[test]
    fn the_shard_that_grew_is_found() {
        assert_eq!(grown(&[1, 1, 0], &[1, 1, 1]), 2);
    }

    #[test]
    #[should_panic(expected = "became")]
    fn another_change_is_no_growth() {
        grown(&[1, 1], &[0, 3]);
    }
}
