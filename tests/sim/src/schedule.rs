//! Who goes next: several ways to choose, mixed by seed.

use crate::rng::Rng;

/// Somebody who can take a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    Shard(usize),
    Client(usize),
}

/// One way to choose.
#[derive(Clone, Debug)]
enum Strategy {
    /// Everybody alike.
    Uniform,
    /// Shards as often as clients, however many there are of each.
    Balanced,
    /// The same one for so many steps on average.
    Bursts(usize),
    /// One of them goes only when nobody else can, or once in so many times.
    Starve { victim: Actor, one_in: usize },
    /// Clients before shards, most of the time: they react at once.
    ClientsFirst,
    /// The one with the highest priority; the highest are lowered at a few moments.
    Priorities { ranks: Vec<u64>, change_in: usize },
}

/// Steps in a row after which the one with the highest priority loses it.
const ROW_MAX: usize = 2_000;

/// Chooses who goes next.
#[derive(Debug)]
pub(crate) struct Schedule {
    rng: Rng,
    shards: usize,
    clients: usize,
    /// A shard that is starved more often than others.
    laggard: Option<usize>,
    strategy: Strategy,
    last: Actor,
    row: usize,
}

impl Schedule {
    pub(crate) fn new(rng: Rng, shards: usize, clients: usize, laggard: Option<usize>) -> Self {
        let mut schedule = Schedule {
            rng,
            shards,
            clients,
            laggard,
            strategy: Strategy::Uniform,
            last: Actor::Shard(0),
            row: 0,
        };
        schedule.strategy = schedule.some_strategy();
        schedule
    }

    /// Perhaps another way from now on.
    pub(crate) fn change(&mut self) {
        if self.rng.once_in(2) {
            self.strategy = self.some_strategy();
        }
    }

    /// One of those who can take a step.
    pub(crate) fn pick(&mut self, actors: &[Actor]) -> Actor {
        let actor = self.choose(actors);
        self.row = if actor == self.last { self.row + 1 } else { 0 };
        self.last = actor;
        actor
    }

    fn some_strategy(&mut self) -> Strategy {
        let (shards, clients) = (self.shards, self.clients);
        let rng = &mut self.rng;
        if let Some(laggard) = self.laggard
            && rng.once_in(2)
        {
            return Strategy::Starve {
                victim: Actor::Shard(laggard),
                one_in: *rng.pick(&[20, 100, 1_000]),
            };
        }
        match rng.below(12) {
            0 => Strategy::Uniform,
            1..=2 => Strategy::Balanced,
            3..=4 => Strategy::Bursts(*rng.pick(&[4, 30, 200])),
            5..=6 => Strategy::Starve {
                victim: Actor::Shard(rng.below(shards)),
                one_in: *rng.pick(&[50, 300, 2_000]),
            },
            7..=8 => Strategy::ClientsFirst,
            _ => Strategy::Priorities {
                ranks: (0..shards + clients)
                    .map(|_| rng.next() | 1 << 63)
                    .collect(),
                change_in: 200,
            },
        }
    }

    fn choose(&mut self, actors: &[Actor]) -> Actor {
        if actors.len() == 1 {
            return actors[0];
        }
        let rng = &mut self.rng;
        let is_shard = |a: &Actor| matches!(a, Actor::Shard(_));
        match &mut self.strategy {
            Strategy::Uniform => *rng.pick(actors),
            Strategy::Balanced => {
                let wants_shard = rng.once_in(2);
                pick_where(rng, actors, |a| is_shard(a) == wants_shard)
            }
            Strategy::Bursts(mean) => {
                if actors.contains(&self.last) && !rng.once_in(*mean) {
                    self.last
                } else {
                    *rng.pick(actors)
                }
            }
            Strategy::Starve { victim, one_in } => {
                if rng.once_in(*one_in) {
                    *rng.pick(actors)
                } else {
                    pick_where(rng, actors, |a| a != victim)
                }
            }
            Strategy::ClientsFirst => {
                let wants_shard = rng.once_in(8);
                pick_where(rng, actors, |a| is_shard(a) == wants_shard)
            }
            Strategy::Priorities { ranks, change_in } => {
                let shards = self.shards;
                let place = |a: &Actor| match *a {
                    Actor::Shard(at) => at,
                    Actor::Client(at) => shards + at,
                };
                let best = *actors
                    .iter()
                    .max_by_key(|a| ranks[place(a)])
                    .unwrap_or(&actors[0]);
                *change_in = change_in.saturating_sub(1);
                if *change_in == 0 || self.row > ROW_MAX {
                    *change_in = rng.between(20, 1_500);
                    // Below everybody.
                    ranks[place(&best)] = rng.next() >> 40;
                }
                best
            }
        }
    }
}

/// Somebody for whom `is_wanted` holds, or else anybody.
fn pick_where(rng: &mut Rng, actors: &[Actor], is_wanted: impl Fn(&Actor) -> bool) -> Actor {
    let wanted = actors.iter().filter(|a| is_wanted(a)).count();
    let at = rng.below(wanted);
    *actors
        .iter()
        .filter(|a| is_wanted(a))
        .nth(at)
        .unwrap_or_else(|| rng.pick(actors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_ever_and_a_seed_chooses_the_same_again() {
        let actors: Vec<Actor> = (0..3)
            .map(Actor::Shard)
            .chain((0..5).map(Actor::Client))
            .collect();
        for seed in 0..60 {
            let mut a = Schedule::new(Rng::new(seed), 3, 5, None);
            let mut b = Schedule::new(Rng::new(seed), 3, 5, None);
            let mut counts = vec![0; actors.len()];
            for _ in 0..100_000 {
                let actor = a.pick(&actors);
                assert_eq!(actor, b.pick(&actors));
                counts[actors.iter().position(|x| *x == actor).unwrap()] += 1;
            }
            assert!(counts.iter().all(|&n| n > 0), "seed {seed}: {counts:?}");
        }
    }
}
