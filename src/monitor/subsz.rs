//! `/subsz`: figures of the interest tables and, if asked for, the subscriptions themselves.

use std::ops::ControlFlow;

use gnatsd_core::engine::snapshot::{InterestStats, SubSnapshot};
use gnatsd_core::subject;
use serde::Serialize;

use super::ask::{Ask, NoAnswer};
use super::query::{Query, Refusal, Window};
use crate::server::control::ShardReport;

/// What the request asks for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    subs: bool,
    window: Window,
    test: Option<Vec<u8>>,
}

impl Wish {
    /// Reads the parameters in the order in which gnatsd 1.2.0 does.
    ///
    /// # Errors
    /// What the first bad one is answered with.
    pub(super) fn parse(query: &Query) -> Result<Self, Refusal> {
        let subs = query.boolean("subs")?;
        let window = query.window()?;
        let test = query.text("test").map(<[u8]>::to_vec);
        if let Some(test) = &test
            && !subject::is_valid_literal(test)
        {
            return Err(Refusal::naming(
                "Invalid test subject, must be valid publish subject: ",
                test,
            ));
        }
        Ok(Wish { subs, window, test })
    }

    fn selects(&self, sub: &SubSnapshot) -> bool {
        self.test
            .as_deref()
            .is_none_or(|test| subject::matches(&sub.subject, test))
    }
}

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct Subsz {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: f64,
    max_fanout: u64,
    avg_fanout: f64,
    #[serde(flatten)]
    details: Option<Details>,
}

/// The part that is there only if it holds something.
#[derive(Debug, Serialize)]
struct Details {
    /// Entries of this page, not of the server.
    total: usize,
    offset: u64,
    limit: u64,
    subscriptions_list: Vec<SubInfo>,
}

/// One subscription.
#[derive(Debug, Serialize)]
struct SubInfo {
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qgroup: Option<String>,
    sid: String,
    msgs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    cid: u64,
}

impl Subsz {
    /// Asks for the figures and puts the page together.
    ///
    /// # Errors
    /// A shard did not answer.
    pub(super) fn new(ask: &dyn Ask, wish: &Wish) -> Result<Self, NoAnswer> {
        let mut page = Subsz::figures(&ask.stats()?);
        if wish.subs {
            page.details = details(ask, wish)?;
        }
        Ok(page)
    }

    fn figures(reports: &[ShardReport]) -> Self {
        let sum = |figure: fn(&InterestStats) -> u64| {
            reports
                .iter()
                .map(|r| figure(&r.engine.interest))
                .fold(0, u64::saturating_add)
        };
        let (cached, matches) = (sum(|i| i.cache_entries), sum(|i| i.matches));
        Subsz {
            num_subscriptions: sum(|i| i.subscriptions),
            num_cache: cached,
            num_inserts: sum(|i| i.inserts),
            num_removes: sum(|i| i.removes),
            num_matches: matches,
            cache_hit_rate: ratio(sum(|i| i.cache_hits), matches),
            max_fanout: reports
                .iter()
                .map(|r| r.engine.interest.fanout_max)
                .max()
                .unwrap_or(0),
            avg_fanout: ratio(sum(|i| i.fanout_sum), cached),
            details: None,
        }
    }
}

fn details(ask: &dyn Ask, wish: &Wish) -> Result<Option<Details>, NoAnswer> {
    let mut to_skip = wish.window.offset;
    let mut list = Vec::new();
    ask.subscriptions(&mut |sub| {
        if !wish.selects(&sub) {
            return ControlFlow::Continue(());
        }
        if to_skip > 0 {
            to_skip -= 1;
            return ControlFlow::Continue(());
        }
        list.push(SubInfo::new(&sub));
        if (list.len() as u64) < wish.window.limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    let details = Details {
        total: list.len(),
        offset: wish.window.offset,
        limit: wish.window.limit,
        subscriptions_list: list,
    };
    Ok(Some(details).filter(|details| details.total > 0))
}

impl SubInfo {
    fn new(sub: &SubSnapshot) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        SubInfo {
            subject: text(&sub.subject),
            qgroup: sub.queue.as_deref().map(text),
            sid: text(&sub.sid),
            msgs: sub.msgs,
            max: sub.max,
            cid: sub.cid,
        }
    }
}

// The counts stay far below the 53 bits at which a float begins to round.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use gnatsd_core::engine::snapshot::ShardStats;

    #[test]
    fn figures_are_summed_and_averaged_over_the_shards() {
        let shard = |cache_entries, matches, cache_hits, fanout_max, fanout_sum| ShardReport {
            engine: ShardStats {
                interest: InterestStats {
                    subscriptions: 2,
                    cache_entries,
                    inserts: 3,
                    removes: 1,
                    matches,
                    cache_hits,
                    fanout_max,
                    fanout_sum,
                },
                ..ShardStats::default()
            },
            ..ShardReport::default()
        };
        let page = Subsz::figures(&[shard(1, 4, 1, 5, 5), shard(3, 4, 3, 2, 5)]);
        assert_eq!(
            (page.num_subscriptions, page.num_inserts, page.num_removes),
            (4, 6, 2)
        );
        assert_eq!(
            (page.num_cache, page.num_matches, page.max_fanout),
            (4, 8, 5)
        );
        assert_eq!((page.cache_hit_rate, page.avg_fanout), (0.5, 2.5));
        let none = Subsz::figures(&[]);
        assert_eq!(
            (none.cache_hit_rate, none.avg_fanout, none.max_fanout),
            (0.0, 0.0, 0)
        );
    }

    #[test]
    fn a_test_subject_is_literal_whether_or_not_it_is_used() {
        for test in ["foo.*", ">", "a..b", ".a"] {
            let query = Query::parse(format!("test={test}").as_bytes());
            let text = String::from_utf8(Wish::parse(&query).unwrap_err().0).unwrap();
            assert_eq!(
                text,
                format!("Invalid test subject, must be valid publish subject: {test}")
            );
        }
        let text = Wish::parse(&Query::parse(b"test=%3E&limit=z")).unwrap_err();
        assert!(text.0.starts_with(b"Error decoding int for 'limit'"));
    }
}
