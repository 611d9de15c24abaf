//! Clients that come by the clock, beside others who are there: do those who knock keep the others waiting?
//!
//! `handshakes` is of clients that shake hands, say CONNECT, get a PONG and leave, so many a second, beside a
//! hundred that ping; `logins` of clients whose password the server has as a hash of bcrypt, beside one that pings.
//! Clients come whether those before them were answered or not; what the server does not get done waits, in the
//! server, until one of the two gives up. The latency is that of the pings, from when each was due (see
//! [`super::open_loop`]), and every ping that was sent is waited for.
//!
//! One thread does all. Whoever pings comes first, and between any two steps of others: a step of the generator is
//! half of a handshake at most, some 100 µs, and a ping waits so much for it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::connection_churn::address_of;
use super::guest::{Guest, Standing};
use super::latency::Times;
use super::meter::Meter;
use super::open_loop::AWAKE_BEFORE;
use super::pace::Pace;
use super::{Load, OTHER_DESCRIPTORS, Scenario, Shape, Stop};
use crate::Result;
use crate::cpu;
use crate::report::{Arrivals, Outcome};
use crate::target::Target;
use crate::wire::{Peer, SMALL_READ_BYTES};

/// Those who ping beside handshakes.
const RESIDENTS: usize = 100;

/// Pings per second, of all together. It has no common measure with most rates of arrival.
const PINGS_PER_SECOND: f64 = 997.0;

/// Most clients on their way at a time. Who would be one more does not come, and counts as one who did not.
const GUESTS_MAX: usize = 8192;

/// How long a ping may stay unanswered.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// Most that is ready at a time, so that nobody is looked for among many.
const EVENTS_MAX: usize = 256;

/// Runs `handshakes` or `logins`: what is counted is who was answered, the latency is that of the pings.
pub(super) fn run(scenario: &Scenario, per_second: f64, load: &Load) -> Result<Outcome> {
    cpu::allow_descriptors((GUESTS_MAX + RESIDENTS) as u64 + OTHER_DESCRIPTORS)?;
    let residents = match scenario.shape {
        Shape::Handshakes(_) => RESIDENTS,
        _ => 1,
    };
    let mut target = load.server.clone();
    target.is_secure |= scenario.shape.demands().is_secure;
    if matches!(scenario.shape, Shape::Logins(_)) && target.login.is_none() {
        return Err("logins needs somebody who logs in: --user and --pass".into());
    }
    let mut hall = Hall::open(target, residents)?;
    hall.stretch(per_second, load.warm_up(), load)?;
    let meter = Meter::begin(load)?;
    let counts = hall.stretch(per_second, load.stop, load)?;
    let Counts {
        came,
        answered,
        refused,
        pings,
        answers,
    } = counts;
    let mut outcome = meter.end(scenario, answered, came)?;
    outcome.latency = pings.latency();
    outcome.arrivals = Some(Arrivals {
        came,
        refused,
        latency: answers.latency(),
    });
    Ok(outcome)
}

/// What happened in one stretch.
struct Counts {
    /// Clients that began to connect.
    came: u64,
    /// Of all who did, in this stretch or before.
    answered: u64,
    refused: u64,
    /// Times of the pings.
    pings: Times,
    /// Times of those who were answered.
    answers: Times,
}

impl Counts {
    fn new() -> Result<Self> {
        Ok(Self {
            came: 0,
            answered: 0,
            refused: 0,
            pings: Times::new()?,
            answers: Times::new()?,
        })
    }
}

/// One who stays, and pings.
struct Resident {
    peer: Peer,
    /// Numbers of the pings that are not answered, oldest first.
    asked: VecDeque<u64>,
}

/// Those who are there, and those who come.
struct Hall {
    target: Target,
    address: SocketAddr,
    poller: OwnedFd,
    residents: Vec<Resident>,
    /// By the number that each has in the poller.
    guests: HashMap<u64, Guest>,
    next_guest: u64,
    buffer: Vec<u8>,
    events: Vec<Event>,
}

impl Hall {
    fn open(target: Target, residents: usize) -> Result<Self> {
        let poller = epoll::create(CreateFlags::CLOEXEC)?;
        let address = address_of(&target)?;
        let mut there = Vec::with_capacity(residents);
        for number in 0..residents {
            let peer = Peer::connect(&target)?;
            if peer.is_floor {
                return Err("the floor peer lets everybody in".into());
            }
            let data = EventData::new_u64(number as u64);
            epoll::add(&poller, &peer, data, EventFlags::IN)?;
            there.push(Resident {
                peer,
                asked: VecDeque::new(),
            });
        }
        Ok(Self {
            target,
            address,
            poller,
            residents: there,
            guests: HashMap::new(),
            next_guest: residents as u64,
            buffer: vec![0; SMALL_READ_BYTES],
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Pings and clients until `stop`, and then what is left of the pings.
    fn stretch(&mut self, per_second: f64, stop: Stop, load: &Load) -> Result<Counts> {
        let begin = Instant::now();
        let (time, count) = match stop {
            Stop::After(time) => (time, u64::MAX),
            Stop::Messages(count) => (Duration::from_secs_f64(count as f64 / per_second), count),
        };
        let ping_count = (time.as_secs_f64() * PINGS_PER_SECOND).ceil() as u64;
        let pings = Pace::new(begin, PINGS_PER_SECOND, ping_count);
        let arrivals = Pace::new(begin, per_second, count);
        let mut counts = Counts::new()?;
        // Who was due; not all of them have come where there are too many.
        let (mut due, mut pinged) = (0, 0);
        let mut progress = load.progress.clone();
        let mut last_answer = begin;
        loop {
            let now = Instant::now();
            let is_over = match stop {
                Stop::After(time) => now >= begin + time,
                Stop::Messages(count) => due == count,
            };
            while pinged < pings.due(now) {
                self.ping(pinged)?;
                pinged += 1;
            }
            if !is_over && due < arrivals.due(now) {
                due += 1;
                if self.guests.len() < GUESTS_MAX {
                    self.admit()?;
                    counts.came += 1;
                }
            }
            let next_arrival = (!is_over).then(|| arrivals.instant(due));
            let next_ping = (pinged < ping_count).then(|| pings.instant(pinged));
            self.wait([next_ping, next_arrival].into_iter().flatten().min())?;
            let answered = counts.pings.count();
            self.turn(&pings, &mut counts)?;
            let is_waiting = counts.pings.count() < pinged;
            if !is_waiting || counts.pings.count() > answered {
                last_answer = now;
            } else if now.saturating_duration_since(last_answer) > STALL_LIMIT {
                return Err("a ping was not answered for 20 s".into());
            }
            if is_over && pinged == ping_count && !is_waiting {
                break;
            }
            if let Some(progress) = &mut progress {
                progress.tick(counts.answered);
            }
        }
        if let Some(progress) = &mut progress {
            progress.finish();
        }
        Ok(counts)
    }

    /// The residents ping in turn.
    fn ping(&mut self, number: u64) -> Result<()> {
        let index = usize::try_from(number % self.residents.len() as u64)?;
        let resident = &mut self.residents[index];
        resident.peer.send(b"PING\r\n")?;
        resident.asked.push_back(number);
        Ok(())
    }

    fn admit(&mut self) -> Result<()> {
        let guest = Guest::connect(self.address)?;
        let data = EventData::new_u64(self.next_guest);
        epoll::add(&self.poller, &guest, data, EventFlags::IN)?;
        self.guests.insert(self.next_guest, guest);
        self.next_guest += 1;
        Ok(())
    }

    /// Sleeps until somebody has something to say, or until something is nearly due.
    fn wait(&self, next_due: Option<Instant>) -> Result<()> {
        let left = next_due.map_or(Duration::from_secs(1), |due| {
            due.saturating_duration_since(Instant::now())
        });
        let Some(left) = left.checked_sub(AWAKE_BEFORE) else {
            return Ok(());
        };
        let limit = Timespec::try_from(left)?;
        let mut entries = [PollFd::new(&self.poller, PollFlags::IN)];
        match poll(&mut entries, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(format!("poll: {e}").into()),
        }
    }

    /// Looks after all residents who have something to say, and after one guest.
    fn turn(&mut self, pings: &Pace, counts: &mut Counts) -> Result<()> {
        self.events.clear();
        let now = Timespec::default();
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.poller, spare_capacity(&mut events), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("epoll: {e}").into()),
        }
        let mut first_guest = None;
        for event in &events {
            let number = event.data.u64();
            match usize::try_from(number)
                .ok()
                .and_then(|at| self.residents.get_mut(at))
            {
                Some(resident) => resident.look(&mut self.buffer, pings, &mut counts.pings)?,
                None => first_guest = first_guest.or(Some(number)),
            }
        }
        self.events = events;
        match first_guest {
            Some(number) => self.look_after(number, counts),
            None => Ok(()),
        }
    }

    fn look_after(&mut self, number: u64, counts: &mut Counts) -> Result<()> {
        let Some(guest) = self.guests.get_mut(&number) else {
            return Ok(());
        };
        match guest.look(&self.target, &mut self.buffer)? {
            Standing::Waiting => return Ok(()),
            Standing::Answered => {
                counts.answered += 1;
                counts.answers.add(guest.age())?;
            }
            // Those who stay were let in with the same words, so it is for want of time.
            Standing::Refused(_) => counts.refused += 1,
        }
        // Closing the descriptor takes it out of the poller.
        self.guests.remove(&number);
        Ok(())
    }
}

impl Resident {
    /// Takes the PONGs that have come.
    fn look(&mut self, buffer: &mut [u8], pings: &Pace, times: &mut Times) -> Result<()> {
        let before = self.peer.scanner.pongs;
        self.peer.receive(buffer)?;
        self.peer.answer_pings()?;
        let now = Instant::now();
        for _ in before..self.peer.scanner.pongs {
            let number = self
                .asked
                .pop_front()
                .ok_or("a PONG that nobody asked for")?;
            times.add(now.saturating_duration_since(pings.instant(number)))?;
        }
        Ok(())
    }
}
