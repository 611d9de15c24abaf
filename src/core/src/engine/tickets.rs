//! Who waits for room in a lane: the pauses of rule K1 and the wake-ups of rule K5.
//!
//! A connection that finds no room takes a ticket for one lane that lacks it. Tickets are served in order, and
//! before anybody else: the room in a lane that somebody waits for belongs to those who wait.

use std::collections::BTreeMap;

use super::connection::Pause;
use super::turn::TURN_IN_BYTES;
use super::{Edge, Engine, Lane, Mutant};
use crate::interest::ConnKey;
use crate::shard_set::ShardSet;

/// Connections that wait for room, in the order in which they began to.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    last: u64,
    /// By shard and kind of lane.
    waiting: Vec<[BTreeMap<u64, ConnKey>; 2]>,
    /// Shards whose lanes somebody waits for.
    lanes: [ShardSet; 2],
    /// The shard whose lanes are looked at first.
    first: u16,
    /// Whoever is served now holds a ticket: nobody comes before it.
    is_served: bool,
}

impl Tickets {
    pub(super) fn new(shards: u16) -> Self {
        Tickets {
            waiting: (0..shards).map(|_| Default::default()).collect(),
            ..Tickets::default()
        }
    }

    /// The shard to begin with this time.
    fn rotate(&mut self) -> u16 {
        self.first = (self.first + 1) % self.waiting.len().max(1) as u16;
        self.first
    }
}

impl Engine {
    /// Lanes whose room belongs to those who wait for it.
    #[inline]
    pub(super) fn taken_lanes(&self, lane: Lane) -> ShardSet {
        if self.crossing.tickets.is_served {
            ShardSet::NONE
        } else {
            self.crossing.tickets.lanes[lane.index()]
        }
    }

    /// Pauses a connection in front of an operation that found no room. It keeps its place in the queue if
    /// it could do nothing since it had its turn.
    #[cold]
    pub(super) fn wait_for_room(
        &mut self,
        key: ConnKey,
        shard: u16,
        lane: Lane,
        has_progressed: bool,
    ) {
        let now = self.now;
        let tickets = &mut self.crossing.tickets;
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if has_progressed || connection.ticket == 0 {
            tickets.last += 1;
            connection.ticket = tickets.last;
        }
        let (ticket, since) = (connection.ticket, now);
        connection.pause = Some(Pause::Room { ticket, since });
        connection.stalls += 1;
        self.stats.lane_stalls += 1;
        tickets.waiting[usize::from(shard)][lane.index()].insert(ticket, key);
        tickets.lanes[lane.index()].insert(shard);
    }

    /// Serves those who waited for room, as far as there is some, longest first, and at most for half of a
    /// turn: the rest is for those who need not wait. Gives the bytes received.
    pub(super) fn serve_tickets(&mut self, edge: &mut impl Edge) -> usize {
        let mut in_bytes = 0;
        if self.crossing.tickets.lanes == [ShardSet::NONE; 2] {
            return in_bytes;
        }
        let work_max = self.limits.turn_work / 2;
        let first = self.crossing.tickets.rotate();
        for lane in Lane::ALL {
            let waiting = self.crossing.tickets.lanes[lane.index()];
            // Whoever waits for the highest shard must not always come last.
            let (before, from) = waiting.split_at(first);
            for shard in from.iter().chain(before.iter()) {
                while in_bytes < TURN_IN_BYTES / 2 && self.turn_work < work_max {
                    let has_room = match lane {
                        Lane::Data => self.crossing.has_room(edge, shard),
                        Lane::Interest => {
                            self.interest.outgoing_len() > 0 || edge.room(shard, lane) > 0
                        }
                    };
                    if !has_room {
                        break;
                    }
                    let Some((ticket, key)) = self.take_ticket(shard, lane) else {
                        break;
                    };
                    in_bytes += self.serve_ticket(edge, ticket, key);
                }
            }
        }
        in_bytes
    }

    fn take_ticket(&mut self, shard: u16, lane: Lane) -> Option<(u64, ConnKey)> {
        let tickets = &mut self.crossing.tickets;
        let waiting = &mut tickets.waiting[usize::from(shard)][lane.index()];
        let first = waiting.pop_first();
        if waiting.is_empty() {
            tickets.lanes[lane.index()].remove(shard);
        }
        first
    }

    fn serve_ticket(&mut self, edge: &mut impl Edge, ticket: u64, key: ConnKey) -> usize {
        let now = self.now;
        let Some(connection) = self.connections.find_mut(key) else {
            return 0;
        };
        // The key may have passed to another connection.
        let Some(Pause::Room {
            ticket: held,
            since,
        }) = connection.pause
        else {
            return 0;
        };
        if held != ticket {
            return 0;
        }
        connection.pause = None;
        self.stats.lane_stalled += now.since(since);
        self.crossing.tickets.is_served = true;
        let (received, stays_hot) = self.serve(edge, key, super::turn::READ_BYTES);
        self.crossing.tickets.is_served = false;
        if stays_hot {
            self.heat(key);
        }
        received
    }

    /// K5: asks for room in every lane that somebody waits for. True if there is some already.
    pub(super) fn ask_for_room(&mut self, edge: &mut impl Edge) -> bool {
        if self.is_without(Mutant::NoRoomWake) {
            return false;
        }
        let mut wanted = self.crossing.tickets.lanes;
        wanted[Lane::Data.index()] |= self.crossing.rechosen_lanes;
        let mut has_room = false;
        for lane in Lane::ALL {
            let wanted = wanted[lane.index()];
            for shard in wanted.iter() {
                has_room |= edge.ask_room(shard, lane) > 0;
            }
            // Room that was asked for and that nobody wants now is looked at once more, or it would keep
            // the shard awake.
            let asked = std::mem::replace(&mut self.crossing.asked[lane.index()], wanted);
            for shard in asked.without(wanted).iter() {
                if edge.room(shard, lane) == 0 {
                    self.crossing.asked[lane.index()].insert(shard);
                }
            }
        }
        if self.interest.untold() > 0 {
            // What is untold goes to all at once.
            let lane = Lane::Interest;
            let mut can_tell = true;
            for shard in self.crossing.others.iter() {
                can_tell &= edge.room(shard, lane) > 0 || edge.ask_room(shard, lane) > 0;
                self.crossing.asked[lane.index()].insert(shard);
            }
            has_room |= can_tell;
        }
        has_room
    }
}
