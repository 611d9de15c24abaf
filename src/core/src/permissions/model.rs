//! Permissions by enumeration, and random policies that must be answered alike.
//!
//! Shares nothing with what it checks: a pattern is the set of all subjects it matches, out of every subject
//! of up to five tokens; to cover is to be a superset, to overlap is to have a subject in common. Patterns have
//! at most four tokens, and the subjects tokens that no pattern names, so nothing hides beyond the edge.
//!
//! Tier 2 runs 10^6 policies:
//! `PERMISSION_POLICIES=1000000 cargo test --release -p gnatsd-core random_policies -- --nocapture`

use std::sync::Arc;

use super::{Entry, Permissions, PublishGate, Rules, Side};
use crate::rng::Rng;
use crate::time::Time;

/// Tokens: two that patterns name, one they do not, the empty one, and the wildcards.
const TOKENS: u8 = 6;
const EMPTY: u8 = 3;
const STAR: u8 = 4;
const REST: u8 = 5;
const SUBJECT_TOKENS_MAX: usize = 5;
const PATTERN_TOKENS_MAX: usize = 4;

/// What the tokens look like. The last have wildcard characters that are none.
const TEXTS: [[&str; TOKENS as usize]; 4] = [
    ["a", "b", "z", "", "*", ">"],
    ["same-start-1", "same-start-2", "same-start", "", "*", ">"],
    ["seven77", "seven77\0", "seven7", "", "*", ">"],
    ["**", ">*", "*a", "", "*", ">"],
];

fn is_match(pattern: &[u8], subject: &[u8]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([REST], [_, ..]) => true,
        ([wanted, pattern @ ..], [token, subject @ ..]) => {
            (*wanted == STAR || wanted == token) && is_match(pattern, subject)
        }
        _ => false,
    }
}

/// All sequences of up to `len_max` of `tokens`.
fn sequences(tokens: &[u8], len_max: usize) -> Vec<Vec<u8>> {
    let (mut all, mut longest) = (Vec::new(), vec![Vec::new()]);
    for _ in 0..len_max {
        let longer = |start: &Vec<u8>| {
            let start = start.clone();
            tokens
                .iter()
                .map(move |&token| [&start[..], &[token]].concat())
        };
        longest = longest.iter().flat_map(longer).collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Every subject and pattern, and how they relate: all by index.
struct World {
    subjects: Vec<Vec<u8>>,
    patterns: Vec<Vec<u8>>,
    /// `[pattern][subject]`
    matches: Vec<Vec<bool>>,
    /// `[pattern][other]`: matches whatever the other matches.
    covers: Vec<Vec<bool>>,
    /// `[pattern][other]`: matches something the other matches.
    overlaps: Vec<Vec<bool>>,
    /// `[pattern][other]`: matches the text of the other.
    names: Vec<Vec<bool>>,
    /// Patterns of one or two tokens, which do for queue groups too.
    short_patterns: usize,
}

impl World {
    fn new() -> Self {
        let subjects = sequences(&[0, 1, 2, EMPTY, STAR, REST], SUBJECT_TOKENS_MAX);
        let mut patterns = sequences(&[0, 1, STAR, REST], PATTERN_TOKENS_MAX);
        patterns.retain(|pattern| !pattern[..pattern.len() - 1].contains(&REST));
        let table = |relation: &dyn Fn(usize, usize) -> bool, width: usize| -> Vec<Vec<bool>> {
            let row = |a| (0..width).map(|b| relation(a, b)).collect();
            (0..patterns.len()).map(row).collect()
        };
        // The empty subject matches nothing.
        let is_match_of =
            |p: usize, s: usize| subjects[s] != [EMPTY] && is_match(&patterns[p], &subjects[s]);
        let matches = table(&is_match_of, subjects.len());
        let both = |a: usize, b: usize| matches[a].iter().zip(&matches[b]);
        World {
            covers: table(&|a, b| both(a, b).all(|(a, b)| *a || !*b), patterns.len()),
            overlaps: table(&|a, b| both(a, b).any(|(a, b)| *a && *b), patterns.len()),
            names: table(&|a, b| is_match(&patterns[a], &patterns[b]), patterns.len()),
            short_patterns: patterns.iter().filter(|pattern| pattern.len() < 3).count(),
            matches,
            subjects,
            patterns,
        }
    }
}

/// An entry: a pattern, and one of queue names.
#[derive(Clone, Copy)]
struct ModelEntry(usize, Option<usize>);

struct ModelSide {
    allow: Option<Vec<ModelEntry>>,
    deny: Vec<ModelEntry>,
}

impl ModelSide {
    fn random(world: &World, rng: &mut Rng, with_queues: bool) -> Self {
        let mut list = |len: usize| -> Vec<ModelEntry> {
            let mut entry = || {
                let is_for_queue = with_queues && rng.below(3) == 0;
                let queue = is_for_queue.then(|| rng.below(world.short_patterns));
                ModelEntry(random_pattern(world, rng), queue)
            };
            (0..len).map(|_| entry()).collect()
        };
        let (allowed, denied) = (list(4), list(3));
        ModelSide {
            allow: match rng.below(6) {
                0 => None,
                len => Some(allowed[..len - 1].to_vec()),
            },
            deny: denied[..rng.below(4)].to_vec(),
        }
    }

    fn may_publish(&self, world: &World, subject: usize) -> bool {
        let within =
            |list: &Vec<ModelEntry>| list.iter().any(|entry| world.matches[entry.0][subject]);
        self.allow.as_ref().is_none_or(within) && !within(&self.deny)
    }

    fn may_subscribe(&self, world: &World, subject: usize, queue: Option<usize>) -> bool {
        if let Some(list) = &self.allow {
            let covering: Vec<_> = list
                .iter()
                .filter(|entry| world.covers[entry.0][subject])
                .collect();
            let named: Vec<usize> = covering.iter().filter_map(|entry| entry.1).collect();
            let is_allowed = match queue {
                Some(queue) if !named.is_empty() => {
                    named.iter().any(|&pattern| world.covers[pattern][queue])
                }
                _ => covering.iter().any(|entry| entry.1.is_none()),
            };
            if !is_allowed {
                return false;
            }
        }
        !self
            .denials(world, queue)
            .any(|pattern| world.names[pattern][subject])
    }

    /// The denials that concern a subscription in the group `queue`, or in none.
    fn denials(&self, world: &World, queue: Option<usize>) -> impl Iterator<Item = usize> {
        let concerns = move |entry: &&ModelEntry| match (entry.1, queue) {
            (None, _) => true,
            (Some(pattern), Some(queue)) => world.names[pattern][queue],
            (Some(_), None) => false,
        };
        self.deny.iter().filter(concerns).map(|entry| entry.0)
    }
}

/// One of few, more often than not, so that the entries of a policy meet each other and what is asked.
fn random_pattern(world: &World, rng: &mut Rng) -> usize {
    let bound = match rng.below(2) {
        0 => world.short_patterns,
        _ => world.patterns.len(),
    };
    rng.below(bound)
}

/// A policy, what it is called by, and how often each question was answered yes and no.
struct Check<'w> {
    world: &'w World,
    texts: &'static [&'static str; TOKENS as usize],
    publish: ModelSide,
    subscribe: ModelSide,
    permissions: Arc<Permissions>,
}

impl<'w> Check<'w> {
    fn random(world: &'w World, rng: &mut Rng) -> Self {
        let texts = &TEXTS[rng.below(TEXTS.len())];
        let publish = ModelSide::random(world, rng, false);
        let subscribe = ModelSide::random(world, rng, true);
        let pattern = |at: usize| text(texts, &world.patterns[at]).into_boxed_str();
        let list = |entries: &[ModelEntry]| -> Vec<Entry> {
            let entry = |&ModelEntry(subject, queue): &ModelEntry| Entry {
                subject: pattern(subject),
                queue: queue.map(pattern),
            };
            entries.iter().map(entry).collect()
        };
        let side = |side: &ModelSide| Side {
            allow: side.allow.as_deref().map(list),
            deny: list(&side.deny),
        };
        let permissions = Arc::new(Permissions::new(Rules {
            publish: side(&publish),
            subscribe: side(&subscribe),
            ..Rules::default()
        }));
        Check {
            world,
            texts,
            publish,
            subscribe,
            permissions,
        }
    }

    fn pattern(&self, at: usize) -> String {
        text(self.texts, &self.world.patterns[at])
    }

    fn subject(&self, at: usize) -> String {
        text(self.texts, &self.world.subjects[at])
    }

    /// Publishes to a few subjects in turn, by the lists and through a gate.
    fn publishes(&self, rng: &mut Rng, tally: &mut Tally) {
        let mut gate = PublishGate::new(Arc::clone(&self.permissions), 7);
        let few: [usize; 3] = std::array::from_fn(|_| rng.below(self.world.subjects.len()));
        for _ in 0..6 {
            let subject = few[rng.below(few.len())];
            let expected = self.publish.may_publish(self.world, subject);
            let text = self.subject(subject);
            let about = || format!("publish {text:?} by {:?}", self.permissions);
            tally.compare(
                0,
                self.permissions.may_publish(text.as_bytes()),
                expected,
                about,
            );
            tally.compare(0, gate.allows(text.as_bytes(), Time::ZERO), expected, about);
        }
    }

    /// Subscribes, and looks at what would be delivered.
    fn subscribes(&self, rng: &mut Rng, tally: &mut Tally) {
        let world = self.world;
        let subscribed = random_pattern(world, rng);
        let queue = (rng.below(2) == 0).then(|| rng.below(world.short_patterns));
        let text = self.pattern(subscribed);
        let queue_text = queue.map(|queue| self.pattern(queue));
        let about = || {
            format!(
                "subscribe {text:?} {queue_text:?} by {:?}",
                self.permissions
            )
        };
        let queue_bytes = queue_text.as_ref().map(String::as_bytes);
        let is_let_in = self.permissions.may_subscribe(text.as_bytes(), queue_bytes);
        let expected = self.subscribe.may_subscribe(world, subscribed, queue);
        tally.compare(1 + usize::from(queue.is_some()), is_let_in, expected, about);

        let filter = self.permissions.filter_for(text.as_bytes(), queue_bytes);
        let mut denials = self.subscribe.denials(world, queue);
        let is_filtered = denials.any(|pattern| world.overlaps[pattern][subscribed]);
        tally.compare(3, filter.is_some(), is_filtered, about);
        for _ in 0..4 {
            let published = rng.below(world.subjects.len());
            if !world.matches[subscribed][published] {
                continue;
            }
            let name = self.subject(published);
            let about = || format!("deliver {name:?}: {}", about());
            let mut denials = self.subscribe.denials(world, queue);
            let expected = denials.any(|pattern| world.matches[pattern][published]);
            let is_denied = filter
                .as_ref()
                .is_some_and(|filter| filter.denies(name.as_bytes()));
            tally.compare(4, is_denied, expected, about);
            if is_let_in && !is_denied && queue.is_none() {
                // Whatever a wildcard brings could have been had by name.
                let by_name = self.permissions.may_subscribe(name.as_bytes(), None);
                assert!(
                    by_name || world.subjects[published].contains(&REST),
                    "{}",
                    about()
                );
            }
        }
    }
}

fn text(texts: &[&str; TOKENS as usize], tokens: &[u8]) -> String {
    let texts: Vec<&str> = tokens.iter().map(|&at| texts[usize::from(at)]).collect();
    texts.join(".")
}

const QUESTIONS: [&str; 5] = [
    "publish",
    "subscribe",
    "subscribe by queue",
    "filter",
    "deliver",
];

/// How often each question was answered no and yes.
#[derive(Default)]
struct Tally([[u64; 2]; QUESTIONS.len()]);

impl Tally {
    fn compare(&mut self, question: usize, got: bool, want: bool, about: impl Fn() -> String) {
        assert_eq!(got, want, "{}", about());
        self.0[question][usize::from(got)] += 1;
    }
}

#[test]
fn random_policies_are_answered_like_the_model() {
    // Given when it is built: the core reads no environment.
    let policies = option_env!("PERMISSION_POLICIES")
        .map_or(20_000, |count| count.parse().expect("a number of policies"));
    let world = World::new();
    let mut rng = Rng::new(2026);
    let mut tally = Tally::default();
    for _ in 0..policies {
        let check = Check::random(&world, &mut rng);
        check.publishes(&mut rng, &mut tally);
        for _ in 0..6 {
            check.subscribes(&mut rng, &mut tally);
        }
    }
    println!("{policies} policies, 0 differences");
    for (question, [no, yes]) in QUESTIONS.iter().zip(tally.0) {
        println!("{question}: {yes} yes, {no} no");
        assert!(no > 0 && yes > 0, "{question} was always answered alike");
    }
}
