//! Subscriptions with a wildcard: a trie over their tokens.
//!
//! Nodes live in an arena; literal children are found in one flat table keyed by (node, token), so that a
//! node with a million children costs what they cost and one without costs nothing. `*` is a field of its
//! parent; `>` is always last and needs no node at all. A node goes when nothing is left in or below it.

use super::arena::Arena;
use super::hash::{Hashes, spread};
use super::lists::{Entry, Lists};
use super::split_table::{Hashed, SplitTable};
use super::subs::{SubId, Subs};
use super::token::Token;
use crate::subject::{self, TOKEN_SEPARATOR};

const ROOT: u32 = 0;
const NIL: u32 = u32::MAX;
#[derive(Debug)]
struct Node {
    /// Empty in the root and under `*`: a subscribed token never is.
    token: Token,
    /// Hash of (parent, token), 0 under `*`.
    hash: u32,
    parent: u32,
    /// The child for `*`.
    star: u32,
    /// Number of literal children.
    children: u32,
    /// Subscriptions that end here.
    here: Entry,
    /// Subscriptions that end here with a `>` behind.
    rest: Entry,
}

const _: () = assert!(size_of::<Node>() == 48);

impl Node {
    fn new(parent: u32, hash: u32, token: Token) -> Self {
        Self {
            token,
            hash,
            parent,
            star: NIL,
            children: 0,
            here: Entry::NONE,
            rest: Entry::NONE,
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_none() && self.rest.is_none() && self.star == NIL && self.children == 0
    }
}

#[derive(Debug)]
struct Child {
    hash: u32,
    node: u32,
}

impl Hashed for Child {
    fn hash(&self) -> u64 {
        spread(self.hash)
    }
}

/// A token of the subject being matched.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
    /// Hash of the token once a node has asked for it.
    hash: Option<u64>,
}

/// Memory that matching reuses.
#[derive(Debug, Default)]
pub(super) struct Walk {
    spans: Vec<Span>,
    /// Nodes still to visit, each with its depth: a subject may have more tokens than a thread has stack.
    pending: Vec<(u32, u32)>,
}

/// All patterns with a subscription.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Arena<Node>,
    children: SplitTable<Child>,
}

impl Trie {
    pub(super) fn new() -> Self {
        let mut nodes = Arena::default();
        let root = nodes.insert(Node::new(NIL, 0, Token::new(b"")));
        debug_assert_eq!(root, ROOT, "an arena begins with 0");
        Self {
            nodes,
            children: SplitTable::default(),
        }
    }

    /// Files `id` under `pattern`.
    pub(super) fn insert(
        &mut self,
        hashes: &Hashes,
        pattern: &[u8],
        id: SubId,
        lists: &mut Lists,
        subs: &mut Subs,
    ) {
        let mut at = ROOT;
        let mut entry = None;
        for token in subject::tokens(pattern) {
            at = match token {
                b">" => {
                    entry = Some(&mut self.nodes[at].rest);
                    break;
                }
                b"*" => self.descend_star(at),
                _ => self.descend(hashes, at, token),
            };
        }
        let entry = match entry {
            Some(rest) => rest,
            None => &mut self.nodes[at].here,
        };
        lists.push(entry, id, subs);
        subs[id].home = at;
    }

    /// Takes `id`, whose record is already free, out of node `home`, and the nodes that it leaves empty.
    pub(super) fn remove(
        &mut self,
        home: u32,
        pattern: &[u8],
        id: SubId,
        place: u32,
        lists: &mut Lists,
        subs: &mut Subs,
    ) {
        let node = &mut self.nodes[home];
        let entry = if ends_with_rest(pattern) {
            &mut node.rest
        } else {
            &mut node.here
        };
        lists.remove(entry, id, place, subs);
        let mut at = home;
        while at != ROOT && self.nodes[at].is_empty() {
            at = self.release(at);
        }
    }

    /// Gives every list whose pattern matches `subject` to `found`.
    pub(super) fn walk<'a>(
        &'a self,
        hashes: &Hashes,
        subject: &[u8],
        walk: &mut Walk,
        mut found: impl FnMut(&'a Entry),
    ) {
        split(subject, &mut walk.spans);
        walk.pending.clear();
        let (mut at, mut depth) = (ROOT, 0);
        loop {
            let node = &self.nodes[at];
            let Some(span) = walk.spans.get_mut(depth as usize) else {
                if !node.here.is_none() {
                    found(&node.here);
                }
                match walk.pending.pop() {
                    Some(next) => (at, depth) = next,
                    None => return,
                }
                continue;
            };
            if !node.rest.is_none() {
                found(&node.rest);
            }
            let mut next = node.star;
            if node.children != 0 {
                let token = &subject[span.start as usize..span.end as usize];
                let token_hash = *span.hash.get_or_insert_with(|| hashes.text(token));
                if let Some(child) = self.child(hashes.child(at, token_hash), at, token) {
                    if next != NIL {
                        walk.pending.push((next, depth + 1));
                    }
                    next = child;
                }
            }
            if next != NIL {
                (at, depth) = (next, depth + 1);
            } else if let Some(next) = walk.pending.pop() {
                (at, depth) = next;
            } else {
                return;
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let long: usize = self
            .nodes
            .iter()
            .map(|(_, node)| match &node.token {
                Token::Inline { .. } => 0,
                Token::Heap(text) => text.len(),
            })
            .sum();
        self.nodes.bytes() + self.children.bytes() + long
    }

    #[inline]
    fn child(&self, hash: u32, parent: u32, token: &[u8]) -> Option<u32> {
        self.children
            .find(spread(hash), |child| {
                child.hash == hash && {
                    let node = &self.nodes[child.node];
                    node.parent == parent && node.token.text() == token
                }
            })
            .map(|child| child.node)
    }

    fn descend(&mut self, hashes: &Hashes, parent: u32, token: &[u8]) -> u32 {
        let hash = hashes.child(parent, hashes.text(token));
        if let Some(child) = self.child(hash, parent, token) {
            return child;
        }
        let node = self
            .nodes
            .insert(Node::new(parent, hash, Token::new(token)));
        self.nodes[parent].children += 1;
        self.children.insert(Child { hash, node });
        node
    }

    fn descend_star(&mut self, parent: u32) -> u32 {
        if self.nodes[parent].star == NIL {
            let star = self.nodes.insert(Node::new(parent, 0, Token::new(b"")));
            self.nodes[parent].star = star;
        }
        self.nodes[parent].star
    }

    /// Frees an empty node; gives its parent.
    fn release(&mut self, at: u32) -> u32 {
        let Node { hash, parent, .. } = self.nodes[at];
        if self.nodes[parent].star == at {
            self.nodes[parent].star = NIL;
        } else {
            let child = self.children.remove(spread(hash), |child| child.node == at);
            debug_assert!(child.is_some(), "node {at} is not its parent's child");
            self.nodes[parent].children -= 1;
        }
        self.nodes.remove(at, Node::new(NIL, 0, Token::new(b"")));
        parent
    }

    /// Panics unless nodes, table and lists hold together; gives the number of subscriptions.
    pub(super) fn check_invariants(&self, hashes: &Hashes, lists: &Lists, subs: &Subs) -> usize {
        let mut count = 0;
        self.nodes.check_invariants();
        self.children.check_invariants();
        let mut parents = vec![0_u32; self.nodes.end() as usize];
        for child in self.children.iter() {
            let node = &self.nodes[child.node];
            parents[node.parent as usize] += 1;
            assert_eq!(
                child.hash,
                hashes.child(node.parent, hashes.text(node.token.text())),
                "hash of a child"
            );
            assert_eq!(child.hash, node.hash, "hash kept in the node");
        }
        let mut live = 1;
        let mut pending = vec![(ROOT, Vec::<u8>::new())];
        while let Some((at, path)) = pending.pop() {
            let node = &self.nodes[at];
            assert!(at == ROOT || !node.is_empty(), "an empty node was kept");
            assert_eq!(node.children, parents[at as usize], "children of node {at}");
            count +=
                lists.check_entry(node.here, at, subs) + lists.check_entry(node.rest, at, subs);
            let extend = |token: &[u8]| match at {
                ROOT => token.to_vec(),
                _ => [&path[..], b".", token].concat(),
            };
            for &id in lists.members(&node.here) {
                assert_eq!(subs[id].subject(), path, "pattern of a node");
            }
            for &id in lists.members(&node.rest) {
                assert_eq!(
                    subs[id].subject(),
                    extend(b">"),
                    "pattern of a node with `>`"
                );
            }
            if node.star != NIL {
                assert_eq!(self.nodes[node.star].parent, at, "parent of `*`");
                pending.push((node.star, extend(b"*")));
                live += 1;
            }
            // Quadratic, for tables of the size tests have.
            for child in self
                .children
                .iter()
                .filter(|child| self.nodes[child.node].parent == at)
            {
                pending.push((child.node, extend(self.nodes[child.node].token.text())));
                live += 1;
            }
        }
        assert_eq!(live, self.nodes.len(), "every node is reachable");
        count
    }
}

/// Whether the last token of a valid pattern is `>`.
fn ends_with_rest(pattern: &[u8]) -> bool {
    matches!(pattern, b">" | [.., TOKEN_SEPARATOR, b'>'])
}

/// Finds the tokens of `subject`.
fn split(subject: &[u8], spans: &mut Vec<Span>) {
    spans.clear();
    let mut start = 0;
    for (at, &byte) in subject.iter().enumerate() {
        if byte == TOKEN_SEPARATOR {
            spans.push(Span {
                start: start as u32,
                end: at as u32,
                hash: None,
            });
            start = at + 1;
        }
    }
    spans.push(Span {
        start: start as u32,
        end: subject.len() as u32,
        hash: None,
    });
}
