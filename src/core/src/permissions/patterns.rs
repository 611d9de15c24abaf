//! The subjects of one list, as a tree of tokens.
//!
//! Answers the three questions there are: which entries a published subject matches, which cover a whole
//! subscription, which have anything in common with one. Every node stands at one depth, so no question visits
//! a node twice: its cost is bounded by the list, and for what is usual by the tokens of the subject.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::branches::Branches;
use super::rules::Entry;
use crate::subject;

/// Nodes that [`Patterns::overlap`] visits before it takes an overlap for granted. A filter applied for
/// nothing costs little; a `*.*.*` looked for in a list of thousands, again with each SUB, would cost much.
const OVERLAP_NODES_MAX: usize = 1024;

/// A list of subjects, each plain or for some queue groups.
#[derive(Debug)]
pub(super) struct Patterns {
    /// The root is the first; a child comes after its parent.
    nodes: Vec<Node>,
    /// The children by a literal token, those of a node together and in order.
    edges: Vec<Edge>,
    /// The tokens of all edges.
    text: Vec<u8>,
    /// What the entries say that end at a place; the first is nothing.
    ends: Vec<End>,
    names_queues: bool,
}

/// Numbers of other nodes and of ends; 0 for none (the root is nobody's child).
#[derive(Debug, Default)]
struct Node {
    edges_start: u32,
    edges_end: u32,
    /// The child by `*`.
    any: u32,
    /// Entries that end here.
    end: u32,
    /// Entries that go on with `>`.
    open: u32,
}

#[derive(Debug)]
struct Edge {
    /// [`key`] of the token: settles most comparisons without the text.
    key: u64,
    start: usize,
    len: usize,
    child: u32,
}

/// What the entries of one subject say.
#[derive(Debug, Default)]
pub(super) struct End {
    /// One of them names no queue.
    pub(super) is_plain: bool,
    /// The patterns of queue names of the others.
    pub(super) queues: Vec<Box<[u8]>>,
}

impl Patterns {
    /// The tree of `entries`. A malformed subject matches nothing, as in [`subject::matches`].
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut tree = Tree::new();
        for entry in entries {
            tree.insert(entry);
        }
        tree.finish()
    }

    /// Whether some entry names a queue.
    pub(super) fn names_queues(&self) -> bool {
        self.names_queues
    }

    /// Whether `accepts` says yes to an entry that matches `subject`, which is taken literally.
    #[inline]
    pub(super) fn matching(&self, subject: &[u8], accepts: impl FnMut(&End) -> bool) -> bool {
        self.search::<false>(subject, accepts)
    }

    /// Whether `accepts` says yes to an entry that covers `subscription`: that matches whatever it matches.
    #[inline]
    pub(super) fn covering(&self, subscription: &[u8], accepts: impl FnMut(&End) -> bool) -> bool {
        self.search::<true>(subscription, accepts)
    }

    #[inline]
    fn search<const COVERS: bool>(
        &self,
        subject: &[u8],
        mut accepts: impl FnMut(&End) -> bool,
    ) -> bool {
        if subject.is_empty() {
            return false;
        }
        let mut later = Branches::default();
        let mut next = Some((0, Some(subject)));
        while let Some((node, rest)) = next {
            let node = &self.nodes[node as usize];
            let Some(rest) = rest else {
                if node.end != 0 && accepts(&self.ends[node.end as usize]) {
                    return true;
                }
                next = later.pop();
                continue;
            };
            if node.open != 0 && accepts(&self.ends[node.open as usize]) {
                return true;
            }
            let (token, rest) = split(rest);
            // `*` does not cover `>`: that would let more through than is allowed.
            let any = if COVERS && token == b">" { 0 } else { node.any };
            let literal = self.child(node, token);
            next = match (literal, any) {
                (0, 0) => later.pop(),
                (0, only) | (only, 0) => Some((only, rest)),
                (literal, any) => {
                    later.push((any, rest));
                    Some((literal, rest))
                }
            };
        }
        false
    }

    /// Whether `accepts` says yes to an entry that matches something `subscription` matches.
    ///
    /// Also true if finding that out takes too long; `accepts` may have said no to all entries then.
    pub(super) fn overlap(
        &self,
        subscription: &[u8],
        mut accepts: impl FnMut(&End) -> bool,
    ) -> bool {
        let mut later = vec![(0, Some(subscription))];
        let mut visited = 0;
        while let Some((node, rest)) = later.pop() {
            visited += 1;
            if visited > OVERLAP_NODES_MAX {
                return true;
            }
            let node = &self.nodes[node as usize];
            let Some(rest) = rest else {
                if node.end != 0 && accepts(&self.ends[node.end as usize]) {
                    return true;
                }
                continue;
            };
            if node.open != 0 && accepts(&self.ends[node.open as usize]) {
                return true;
            }
            let (token, after) = split(rest);
            match token {
                b">" => {
                    // Whatever is below, at any depth: it goes on as `>`, and ends here as well.
                    let below = self.edges(node).iter().map(|edge| edge.child);
                    for child in below.chain((node.any != 0).then_some(node.any)) {
                        later.push((child, Some(rest)));
                        later.push((child, None));
                    }
                    continue;
                }
                b"*" => later.extend(self.edges(node).iter().map(|edge| (edge.child, after))),
                _ => match self.child(node, token) {
                    0 => {}
                    child => later.push((child, after)),
                },
            }
            if node.any != 0 {
                later.push((node.any, after));
            }
        }
        false
    }

    fn edges(&self, node: &Node) -> &[Edge] {
        &self.edges[node.edges_start as usize..node.edges_end as usize]
    }

    /// The child of `node` by a literal token; 0 if there is none.
    #[inline]
    fn child(&self, node: &Node, token: &[u8]) -> u32 {
        let edges = self.edges(node);
        if edges.is_empty() {
            return 0;
        }
        let wanted = key(token);
        edges
            .binary_search_by(|edge| {
                edge.key.cmp(&wanted).then_with(|| match token.len() {
                    // The key is all of it.
                    ..=KEY_TEXT_LEN => Ordering::Equal,
                    _ => self.text[edge.start..edge.start + edge.len].cmp(token),
                })
            })
            .map_or(0, |at| edges[at].child)
    }
}

/// The first token, and what follows its separator; `None` if there is no separator.
#[inline]
fn split(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    // Tokens are short: a loop finds their end sooner than a vectorised search begins.
    match rest
        .iter()
        .position(|&byte| byte == subject::TOKEN_SEPARATOR)
    {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    }
}

/// Bytes of a token that its [`key`] holds; the eighth is for the length.
const KEY_TEXT_LEN: usize = 7;

/// The first bytes of a token, and its length as far as it fits.
#[inline]
fn key(token: &[u8]) -> u64 {
    let text = match token.first_chunk() {
        Some(&chunk) => u64::from_be_bytes(chunk) >> 8,
        None => token
            .iter()
            .fold(0, |text, &byte| text << 8 | u64::from(byte)),
    };
    text << 8 | token.len().min(255) as u64
}

/// The children of a node by a literal token, in the order [`Patterns::child`] looks for.
type Children = BTreeMap<(u64, Box<[u8]>), u32>;

/// The tree while it grows: the edges of a node are not together yet.
struct Tree {
    nodes: Vec<Node>,
    children: Vec<Children>,
    ends: Vec<End>,
    names_queues: bool,
}

impl Tree {
    fn new() -> Self {
        Tree {
            nodes: vec![Node::default()],
            children: vec![BTreeMap::new()],
            ends: vec![End::default()],
            names_queues: false,
        }
    }

    fn insert(&mut self, entry: &Entry) {
        let (mut node, mut rest) = (0, Some(entry.subject.as_bytes()));
        let mut is_open = false;
        while let Some(text) = rest {
            let token;
            (token, rest) = split(text);
            if token == b">" {
                if rest.is_some() {
                    return;
                }
                is_open = true;
            } else {
                node = self.child(node, token);
            }
        }
        let place = &mut self.nodes[node];
        let end = if is_open {
            &mut place.open
        } else {
            &mut place.end
        };
        if *end == 0 {
            *end = self.ends.len() as u32;
            self.ends.push(End::default());
        }
        let end = &mut self.ends[*end as usize];
        match &entry.queue {
            None => end.is_plain = true,
            Some(queue) => {
                self.names_queues = true;
                end.queues.push(queue.as_bytes().into());
            }
        }
    }

    /// The child of `node` by `token`, made if there is none.
    fn child(&mut self, node: usize, token: &[u8]) -> usize {
        let new = self.nodes.len() as u32;
        let child = if token == b"*" {
            let any = &mut self.nodes[node].any;
            if *any == 0 {
                *any = new;
            }
            *any
        } else {
            let token = (key(token), token.into());
            *self.children[node].entry(token).or_insert(new)
        };
        if child == new {
            self.nodes.push(Node::default());
            self.children.push(BTreeMap::new());
        }
        child as usize
    }

    fn finish(mut self) -> Patterns {
        let (mut edges, mut text) = (Vec::new(), Vec::new());
        for (node, children) in self.nodes.iter_mut().zip(self.children) {
            node.edges_start = edges.len() as u32;
            for ((key, token), child) in children {
                edges.push(Edge {
                    key,
                    start: text.len(),
                    len: token.len(),
                    child,
                });
                text.extend_from_slice(&token);
            }
            node.edges_end = edges.len() as u32;
        }
        Patterns {
            nodes: self.nodes,
            edges,
            text,
            ends: self.ends,
            names_queues: self.names_queues,
        }
    }
}
