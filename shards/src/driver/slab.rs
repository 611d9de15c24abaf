//! Slots of the attached sockets, each with a generation.
//!
//! Owns the numbering of tokens. A generation tells a notification for the socket that had a slot
//! before from one for the socket that has it now.

use crate::Token;

/// Generations run through 31 bits and start again: see the packing in `waker.rs`. A stale
/// notification would have to outlive two billion reuses of its slot to be taken for a fresh one.
pub(super) const GENERATION_MASK: u32 = 0x7fff_ffff;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values by token.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Puts in the value that `make` builds from its token and generation.
    ///
    /// # Errors
    /// Those of `make`; nothing is taken then.
    pub(super) fn try_insert<E>(
        &mut self,
        make: impl FnOnce(Token, u32) -> Result<T, E>,
    ) -> Result<Token, E> {
        let next = u32::try_from(self.slots.len()).expect("fewer sockets than u32::MAX");
        let index = self.free.last().copied().unwrap_or(next);
        let token = Token(index);
        let value = make(token, self.generation(token))?;
        if self.free.pop().is_some() {
            self.slots[token.index()].value = Some(value);
        } else {
            self.slots.push(Slot {
                generation: 0,
                value: Some(value),
            });
        }
        Ok(token)
    }

    /// Takes a value out and makes all notifications for it stale.
    pub(super) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(token.index())?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(token.0);
        Some(value)
    }

    /// The generation of a slot, zero for one that never was.
    pub(super) fn generation(&self, token: Token) -> u32 {
        self.slots
            .get(token.index())
            .map_or(0, |slot| slot.generation)
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slots.get_mut(token.index())?.value.as_mut()
    }

    /// The value, if the slot was not reused since.
    pub(super) fn current(&self, token: Token, generation: u32) -> Option<&T> {
        let slot = self.slots.get(token.index())?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == generation)
    }

    /// As [`get_mut`](Self::get_mut), but only if the slot was not reused since.
    pub(super) fn get_current(&mut self, token: Token, generation: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.index())?;
        if slot.generation != generation {
            return None;
        }
        slot.value.as_mut()
    }

    /// All tokens in use.
    pub(super) fn tokens(&self) -> Vec<Token> {
        (0_u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.value.is_some())
            .map(|(index, _)| Token(index))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(slab: &mut Slab<&'static str>, value: &'static str) -> (Token, u32) {
        let mut generation = None;
        let token = slab
            .try_insert(|_, current| {
                generation = Some(current);
                Ok::<_, ()>(value)
            })
            .unwrap();
        (token, generation.unwrap())
    }

    #[test]
    fn a_reused_slot_has_a_new_generation() {
        let mut slab = Slab::new();
        let (first, old) = insert(&mut slab, "a");
        let (second, _) = insert(&mut slab, "b");
        assert_eq!((first.index(), second.index()), (0, 1));
        assert_eq!(slab.remove(first), Some("a"));
        assert_eq!(slab.remove(first), None);

        let (again, new) = insert(&mut slab, "c");
        assert_eq!(again, first);
        assert_ne!(old, new);
        assert_eq!(slab.get_current(again, old), None);
        assert_eq!(slab.get_current(again, new), Some(&mut "c"));
        assert_eq!(slab.tokens(), [first, second]);
    }

    #[test]
    fn a_failed_insert_takes_nothing() {
        let mut slab = Slab::new();
        let (first, _) = insert(&mut slab, "a");
        slab.remove(first);
        assert_eq!(slab.try_insert(|_, _| Err("no")), Err("no"));
        assert_eq!(insert(&mut slab, "b").0, first);
    }

    #[test]
    fn a_token_never_given_out_finds_nothing() {
        let mut slab = Slab::<()>::new();
        assert_eq!(slab.get_mut(Token(7)), None);
        assert_eq!(slab.remove(Token(7)), None);
        assert_eq!(slab.generation(Token(7)), 0);
    }
}
