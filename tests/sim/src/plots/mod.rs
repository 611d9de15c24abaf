//! What happens in a world: a few plots at a time, each with clients and subjects of its own.

mod chains;
mod floods;
mod groups;
mod mix;
mod requests;

use crate::cast::{Act, Cast, ClientId};
use crate::history::ConnKind;
use crate::rng::Rng;

/// One plot while it is written.
struct Plot<'a> {
    cast: &'a mut Cast,
    rng: &'a mut Rng,
    shards: usize,
    /// In front of all its subjects and groups.
    prefix: String,
}

impl Plot<'_> {
    /// A client on some shard.
    fn client(&mut self, kind: ConnKind) -> ClientId {
        let shard = self.rng.below(self.shards);
        self.cast.add(shard, kind)
    }

    fn say(&mut self, client: ClientId, act: Act) {
        self.cast.say(client, act);
    }

    /// A publish with a body of some length.
    fn publish(&mut self, client: ClientId, subject: &str) {
        let act = crate::cast::publish(self.rng, subject);
        self.cast.say(client, act);
    }

    fn ping(&mut self, client: ClientId) {
        self.cast.say(client, Act::Ping(0));
    }

    /// Everything so far is in force before anything goes on.
    fn settle(&mut self, clients: &[ClientId]) {
        for &client in clients {
            self.cast.say(client, Act::Ping(0));
            self.cast.say(client, Act::AwaitRest);
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }
}

/// Writes one to three plots into a cast.
pub(crate) fn fill(cast: &mut Cast, rng: &mut Rng, shards: usize) {
    // Its limits are for all, so it comes alone.
    if rng.once_in(25) {
        let name = Plot {
            prefix: "p0".to_owned(),
            cast: &mut *cast,
            rng: &mut *rng,
            shards,
        }
        .slow_readers();
        cast.plots.push(name.to_owned());
        return;
    }
    let count = *rng.pick(&[1, 1, 2, 2, 3, 4]);
    for n in 0..count {
        let kind = rng.below(26);
        let mut plot = Plot {
            prefix: format!("p{n}"),
            cast: &mut *cast,
            rng: &mut *rng,
            shards,
        };
        let name = match kind {
            0..=8 => plot.chain(),
            9..=10 => plot.mix(),
            11..=13 => plot.group(),
            14 => plot.weights(),
            15..=16 => plot.requests(),
            17 => plot.flood(),
            18 => plot.both_flood(),
            19..=20 => plot.eager(),
            21..=22 => plot.exodus(),
            _ => plot.maxima(),
        };
        cast.plots.push(name.to_owned());
    }
}
