//! The connections of the flows with one subject, or one for each pair.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Delivery, Flow, Publisher};
use crate::Result;
use crate::cpu;
use crate::lengths::Lengths;
use crate::scenarios::batch::{self, Batch};
use crate::scenarios::verify::{Checker, Group};
use crate::scenarios::{Load, OTHER_DESCRIPTORS, Scenario, Shape};
use crate::wire::Peer;

/// Name of the queue group.
const QUEUE: &str = "workers";

/// Connects, subscribes and prepares what is published.
pub(super) fn open(scenario: &Scenario, load: &Load) -> Result<Flow> {
    let (publishers, subscribers, delivery) = match scenario.shape {
        Shape::FanOut(count) => (1, count, Delivery::Each),
        Shape::FanIn(count) => (count, 1, Delivery::Each),
        Shape::Pairs(count) => (count, count, Delivery::Paired),
        Shape::Queue(count) => (1, count, Delivery::Shared),
        Shape::OneToOne | Shape::Flooded => (1, 1, Delivery::Each),
        _ => (1, 0, Delivery::Each),
    };
    let opened = publishers * (1 + load.fillers) + subscribers;
    cpu::allow_descriptors(opened as u64 + OTHER_DESCRIPTORS)?;
    let subject = |index: usize| match delivery {
        Delivery::Paired => format!("{}.{index}", load.subject),
        _ => load.subject.clone(),
    };
    let bytes = scenario.payload_bytes;
    let group = Rc::new(RefCell::new(Group::default()));
    let mut receiving = Vec::new();
    for index in 0..subscribers {
        let mut peer = Peer::connect(&load.server)?;
        let subject = subject(index);
        let lengths = Lengths::alike(batch::delivered_bytes(&subject, None, bytes));
        if delivery == Delivery::Shared {
            if peer.is_floor {
                return Err("the floor peer knows no queue groups".into());
            }
            peer.join(&subject, QUEUE, lengths)?;
        } else {
            peer.subscribe(&subject, Some(lengths))?;
        }
        if load.is_verified {
            peer.scanner.check_with(match delivery {
                Delivery::Shared => Checker::member_of(&group),
                _ => Checker::complete(),
            });
        }
        receiving.push(peer);
    }
    let mut sending = Vec::new();
    let mut fillers = Vec::new();
    for index in 0..publishers {
        fillers.extend(Flow::fillers(load)?);
        let peer = Peer::connect(&load.server)?;
        if peer.is_floor && publishers > 1 {
            return Err("the floor peer knows no messages: one publisher only".into());
        }
        let batch = Batch::publish(&subject(index), bytes, peer.is_floor);
        let streams = vec![u32::try_from(index)?; batch.len()];
        let mut publisher = Publisher::new(peer, batch);
        if load.is_verified {
            publisher.stamp_with(streams);
        }
        sending.push(publisher);
    }
    let message_bytes = batch::delivered_bytes(&subject(0), None, bytes);
    let mut flow = Flow::new(sending, receiving, delivery, message_bytes, load);
    flow.hold(fillers);
    Ok(flow)
}
