//! A text that must not be seen.

use std::fmt;

/// A password, a token or a signature. It is in no log, in no debug output and in no page: whoever wants the
/// text has to say so.
#[derive(Clone, Default)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Secret(text.into())
    }

    /// The text, for those who compare it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// For configurations that are compared with each other. Nothing a client sends is compared this way: the time
/// it takes depends on how far two texts agree.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_nothing() {
        let secret = Secret::new("geheim");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([REDACTED])");
        assert_eq!(secret.reveal(), "geheim");
        assert!(!secret.is_empty() && Secret::default().is_empty());
    }
}
