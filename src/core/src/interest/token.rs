//! The text of a token, inside its node if it is short enough.

/// Longest token kept inside its node. A NUID, the usual unique part of an inbox, has 22 bytes.
const TOKEN_INLINE_MAX: usize = 22;

/// A token of a pattern.
#[derive(Debug)]
pub(super) enum Token {
    Inline {
        len: u8,
        bytes: [u8; TOKEN_INLINE_MAX],
    },
    Heap(Box<[u8]>),
}

impl Token {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; TOKEN_INLINE_MAX];
        match bytes.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text);
                Self::Inline {
                    len: text.len() as u8,
                    bytes,
                }
            }
            None => Self::Heap(text.into()),
        }
    }

    #[inline]
    pub(super) fn text(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(text) => text,
        }
    }
}
