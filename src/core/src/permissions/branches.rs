//! Places in a tree of tokens that a search comes back to.

/// Places kept without memory of their own: lists in which a subject has more than these at a time are rare.
const FEW: usize = 4;

/// A stack of places: a node and what of the subject is to follow below it.
///
/// Not the call stack: how deep a list goes, its author decides.
#[derive(Default)]
pub(super) struct Branches<'s> {
    few: [Branch<'s>; FEW],
    /// How many of `few` are in use. Invariant: all of them if `many` holds any.
    len: usize,
    many: Vec<Branch<'s>>,
}

type Branch<'s> = (u32, Option<&'s [u8]>);

impl<'s> Branches<'s> {
    #[inline]
    pub(super) fn push(&mut self, branch: Branch<'s>) {
        match self.few.get_mut(self.len) {
            Some(place) => {
                *place = branch;
                self.len += 1;
            }
            None => self.many.push(branch),
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Branch<'s>> {
        if let Some(branch) = self.many.pop() {
            return Some(branch);
        }
        self.len = self.len.checked_sub(1)?;
        Some(self.few[self.len])
    }
}
