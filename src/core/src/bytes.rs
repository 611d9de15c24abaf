//! Taking an encoding apart from its front.

/// Takes the first `len` bytes off `bytes`; `None`, and nothing taken, if there are less.
#[inline]
pub(crate) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}
