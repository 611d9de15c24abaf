//! Which page a path means, and how often each was asked for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::answer::Answer;
use super::ask::{Ask, NoAnswer};
use super::connz::{self, Connz};
use super::format;
use super::head::Head;
use super::json;
use super::process::{self, Cpu};
use super::query::{Query, Refusal};
use super::subsz::{self, Subsz};
use super::varz::{Use, Varz};
use super::{Facts, NOT_ANSWERED};

const ROOT: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><title>gnatsd</title></head>
<body>
<h1>gnatsd</h1>
<ul>
<li><a href=\"/varz\">varz</a> the server</li>
<li><a href=\"/connz\">connz</a> its connections</li>
<li><a href=\"/routez\">routez</a> its routes</li>
<li><a href=\"/subsz\">subsz</a> its subscriptions</li>
</ul>
<a href=\"https://docs.nats.io/running-a-nats-service/nats_admin/monitoring\">help</a>
</body>
</html>
";

/// Everything that answers.
pub(super) struct Pages {
    facts: Facts,
    ask: Box<dyn Ask>,
    cpu: Cpu,
    counts: Counts,
}

/// Why there is no page.
enum Failure {
    Refused(Refusal),
    NoAnswer,
    Json,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<NoAnswer> for Failure {
    fn from(_: NoAnswer) -> Self {
        Failure::NoAnswer
    }
}

impl From<serde_json::Error> for Failure {
    fn from(_: serde_json::Error) -> Self {
        Failure::Json
    }
}

impl Pages {
    /// Pages about a server.
    pub(super) fn new(facts: Facts, ask: Box<dyn Ask>, cpu: Cpu) -> Self {
        Pages {
            facts,
            ask,
            cpu,
            counts: Counts::default(),
        }
    }

    /// Whether the answer grows with the number of connections or subscriptions.
    pub(super) fn is_list(head: &Head) -> bool {
        matches!(
            head.target.path.as_slice(),
            b"/connz" | b"/subsz" | b"/subscriptionsz"
        )
    }

    /// Answers a request. The method is of no account, as with gnatsd 1.2.0.
    pub(super) fn answer(&self, head: &Head) -> Answer {
        if let Some(redirect) = head.target.redirect() {
            return redirect;
        }
        let query = Query::parse(&head.target.query);
        let page = match head.target.path.as_slice() {
            b"/" => {
                bump(&self.counts.root);
                return Answer::html(ROOT);
            }
            b"/varz" => self.varz(),
            b"/connz" => self.connz(&query),
            b"/routez" => self.routez(&query),
            b"/subsz" | b"/subscriptionsz" => self.subsz(&query),
            b"/healthz" => Ok(br#"{"status":"ok"}"#.to_vec()),
            b"/stacksz" => Ok(process::threads().into_bytes()),
            _ => return Answer::not_found(),
        };
        match page {
            Ok(body) => match query.text("callback") {
                Some(callback) => Answer::jsonp(callback, &body),
                None => Answer::json(body),
            },
            Err(Failure::Refused(refusal)) => Answer::refused(refusal),
            Err(Failure::NoAnswer) => Answer::failed(503, NOT_ANSWERED),
            Err(Failure::Json) => Answer::failed(500, "Error marshaling response\n"),
        }
    }

    fn varz(&self) -> Result<Vec<u8>, Failure> {
        bump(&self.counts.varz);
        let reports = self.ask.stats()?;
        let used = Use {
            resident_bytes: process::resident_bytes(),
            cpu: self.cpu.percent(),
        };
        Ok(json::pretty(&Varz::new(
            &self.facts,
            &reports,
            used,
            self.counts.read(),
        ))?)
    }

    fn connz(&self, query: &Query) -> Result<Vec<u8>, Failure> {
        let wish = connz::Wish::parse(query)?;
        bump(&self.counts.connz);
        let wish = wish.sorted(query)?;
        Ok(json::pretty(&Connz::new(&self.facts, &*self.ask, wish)?)?)
    }

    fn routez(&self, query: &Query) -> Result<Vec<u8>, Failure> {
        query.boolean("subs")?;
        bump(&self.counts.routez);
        let now = self.facts.clock.wall_at(self.facts.clock.now());
        let page = Routez {
            server_id: &self.facts.server_id,
            now: format::time(&now),
            num_routes: 0,
            routes: [],
        };
        Ok(json::pretty(&page)?)
    }

    fn subsz(&self, query: &Query) -> Result<Vec<u8>, Failure> {
        bump(&self.counts.subsz);
        let wish = subsz::Wish::parse(query)?;
        Ok(json::pretty(&Subsz::new(&*self.ask, &wish)?)?)
    }
}

/// `/routez` of a server that has no routes.
#[derive(Serialize)]
struct Routez<'a> {
    server_id: &'a str,
    now: String,
    num_routes: usize,
    routes: [(); 0],
}

/// Requests so far, by page.
#[derive(Debug, Default)]
struct Counts {
    root: AtomicU64,
    connz: AtomicU64,
    routez: AtomicU64,
    subsz: AtomicU64,
    varz: AtomicU64,
}

impl Counts {
    fn read(&self) -> RequestCounts {
        RequestCounts {
            root: self.root.load(Relaxed),
            connz: self.connz.load(Relaxed),
            routez: self.routez.load(Relaxed),
            subsz: self.subsz.load(Relaxed),
            varz: self.varz.load(Relaxed),
        }
    }
}

fn bump(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

/// `http_req_stats` of `/varz`; the other pages were never counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RequestCounts {
    #[serde(rename = "/")]
    root: u64,
    #[serde(rename = "/connz")]
    connz: u64,
    #[serde(rename = "/routez")]
    routez: u64,
    #[serde(rename = "/subsz")]
    subsz: u64,
    #[serde(rename = "/varz")]
    varz: u64,
}
