//! Questions to the shards. Nobody reads a shard's memory; it is asked, and answers between two
//! turns, a page at a time.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use gnatsd_core::engine::snapshot::{ConnQuery, ConnSnapshot, Page, SubSnapshot};
use gnatsd_shards::Handle;

use crate::server::control::{Control, ShardReport};

/// Entries of one page: little enough that writing it down does not hold a shard for long.
const PAGE_ENTRIES: u32 = 512;
/// How long a shard may take for one page.
const PAGE_TIME_MAX: Duration = Duration::from_secs(2);

/// A shard has ended or did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// Where the pages get what they show.
pub(super) trait Ask: Send + Sync {
    /// The counters of every shard, in the order of their numbers.
    ///
    /// # Errors
    /// A shard did not answer.
    fn stats(&self) -> Result<Vec<ShardReport>, NoAnswer>;

    /// Gives every connection that `query` selects to `take`; cursor and limit of the query are
    /// of no account.
    ///
    /// # Errors
    /// A shard did not answer.
    fn connections(
        &self,
        query: ConnQuery,
        take: &mut dyn FnMut(ConnSnapshot),
    ) -> Result<(), NoAnswer>;

    /// Gives subscriptions to `take` until it breaks off.
    ///
    /// # Errors
    /// A shard did not answer.
    fn subscriptions(
        &self,
        take: &mut dyn FnMut(SubSnapshot) -> ControlFlow<()>,
    ) -> Result<(), NoAnswer>;
}

impl Ask for Vec<Handle<Control>> {
    fn stats(&self) -> Result<Vec<ShardReport>, NoAnswer> {
        let asked: Result<Vec<_>, _> = self
            .iter()
            .map(|shard| send(shard, Control::Stats))
            .collect();
        let deadline = Instant::now() + PAGE_TIME_MAX;
        asked?
            .iter()
            .map(|answer| answer.recv_deadline(deadline).map_err(|_| NoAnswer))
            .collect()
    }

    fn connections(
        &self,
        query: ConnQuery,
        take: &mut dyn FnMut(ConnSnapshot),
    ) -> Result<(), NoAnswer> {
        let question = |from, to| {
            Control::Connections(
                ConnQuery {
                    from,
                    limit: PAGE_ENTRIES,
                    ..query
                },
                to,
            )
        };
        each_page(self, question, &mut |conn| {
            take(conn);
            ControlFlow::Continue(())
        })
    }

    fn subscriptions(
        &self,
        take: &mut dyn FnMut(SubSnapshot) -> ControlFlow<()>,
    ) -> Result<(), NoAnswer> {
        each_page(
            self,
            |from, to| Control::Subscriptions(from, PAGE_ENTRIES, to),
            take,
        )
    }
}

/// Sends a question, with room for its answer.
fn send<T>(
    shard: &Handle<Control>,
    question: impl FnOnce(Sender<T>) -> Control,
) -> Result<Receiver<T>, NoAnswer> {
    let (to, answer) = bounded(1);
    shard.send(question(to)).map_err(|_| NoAnswer)?;
    Ok(answer)
}

/// Asks all shards for a page at once, then those that have more for the next one, and so on.
fn each_page<T>(
    shards: &[Handle<Control>],
    question: impl Fn(u32, Sender<Page<T>>) -> Control,
    take: &mut dyn FnMut(T) -> ControlFlow<()>,
) -> Result<(), NoAnswer> {
    let mut cursors: Vec<(&Handle<Control>, u32)> = shards.iter().map(|shard| (shard, 0)).collect();
    while !cursors.is_empty() {
        let asked: Result<Vec<_>, _> = cursors
            .drain(..)
            .map(|(shard, from)| send(shard, |to| question(from, to)).map(|answer| (shard, answer)))
            .collect();
        let deadline = Instant::now() + PAGE_TIME_MAX;
        for (shard, answer) in asked? {
            let page = answer.recv_deadline(deadline).map_err(|_| NoAnswer)?;
            for item in page.items {
                if take(item).is_break() {
                    return Ok(());
                }
            }
            cursors.extend(page.next.map(|next| (shard, next)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::conn;
    use super::*;
    use gnatsd_shards::{Config, DriverChoice, Io, Lanes, Next, Runtime, Service, ShardId};

    /// Answers like a shard with connections `first`, `first + 2`, ...; silent if there are none.
    struct Shard {
        first: u64,
        count: u32,
        stops: bool,
    }

    impl Service for Shard {
        type Control = Control;
        type Batch = ();

        fn control(&mut self, _: &mut impl Io, message: Control) {
            match message {
                Control::Stats(to) if self.count > 0 => {
                    let _ = to.try_send(ShardReport::default());
                }
                Control::Connections(query, to) => {
                    assert!(query.subjects && query.limit == PAGE_ENTRIES);
                    let end = query.from.saturating_add(query.limit).min(self.count);
                    let items = (query.from..end)
                        .map(|n| conn(self.first + 2 * u64::from(n)))
                        .collect();
                    drop(to.try_send(Page {
                        items,
                        next: (end < self.count).then_some(end),
                    }));
                }
                Control::Stop => self.stops = true,
                _ => {}
            }
        }

        fn turn(&mut self, _: &mut impl Io) -> Next {
            if self.stops {
                Next::Stop
            } else {
                Next::Park(None)
            }
        }
    }

    fn start(counts: [u32; 2]) -> Runtime<Control> {
        let config = Config {
            shards: 2,
            driver: DriverChoice::Epoll,
            pin: false,
            thread_name: "ask".to_owned(),
            lanes: Vec::new(),
        };
        let shard = move |id: ShardId, _: Lanes<()>| Shard {
            first: u64::from(id.0),
            count: counts[id.index()],
            stops: false,
        };
        gnatsd_shards::start(config, shard).unwrap()
    }

    fn stop(runtime: Runtime<Control>) {
        for shard in runtime.handles() {
            shard.send(Control::Stop).unwrap();
        }
        let _ = runtime.join();
    }

    #[test]
    fn every_page_of_every_shard_is_taken_once() {
        let runtime = start([PAGE_ENTRIES * 2 + 1, 3]);
        let ask = runtime.handles().to_vec();
        assert_eq!(ask.stats().map(|reports| reports.len()), Ok(2));
        let mut cids = Vec::new();
        let query = ConnQuery {
            subjects: true,
            ..ConnQuery::default()
        };
        ask.connections(query, &mut |conn| cids.push(conn.cid))
            .unwrap();
        cids.sort_unstable();
        let mut want: Vec<u64> = (0..u64::from(PAGE_ENTRIES) * 2 + 1)
            .map(|n| 2 * n)
            .collect();
        want.extend([1, 3, 5]);
        want.sort_unstable();
        assert_eq!(cids, want);
        stop(runtime);
        assert!(ask.stats().is_err(), "nobody is left to answer");
    }

    #[test]
    fn a_silent_shard_is_waited_for_no_longer_than_it_may_take() {
        let runtime = start([1, 0]);
        let ask = runtime.handles().to_vec();
        let start = Instant::now();
        // It drops the sender with the question, so this does not even take the time allowed.
        assert!(ask.stats().is_err());
        assert!(start.elapsed() < PAGE_TIME_MAX * 2);
        stop(runtime);
    }
}
