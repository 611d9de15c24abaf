//! Operations of a client, borrowed from the buffer they were read into.

/// One complete operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `PUB` or `HPUB` with its whole body.
    Publish(Publish<'a>),
    /// `SUB <subject> [queue] <sid>`.
    Subscribe {
        /// Subject or pattern, not yet checked.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
        /// Subscription id, any text.
        sid: &'a [u8],
    },
    /// `UNSUB <sid> [max]`.
    Unsubscribe {
        /// Subscription id.
        sid: &'a [u8],
        /// Messages after which the subscription ends; 0 (also for what is no number) means now.
        max: u64,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `CONNECT`, with everything up to the end of the line.
    Connect(&'a [u8]),
    /// `INFO`, with everything up to the end of the line.
    Info(&'a [u8]),
    /// `+OK`, ignored.
    Okay,
    /// `-ERR`, with its text.
    Error(&'a [u8]),
}

/// A published message.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Subject, taken literally, not yet checked.
    pub subject: &'a [u8],
    /// Reply subject, never checked.
    pub reply: Option<&'a [u8]>,
    /// Header block sizes, for `HPUB`.
    pub headers: Option<Headers<'a>>,
    /// Total size as the publisher wrote it (`005` stays `005`).
    pub size_text: &'a [u8],
    /// Header block and payload, without the CR LF behind them.
    pub body: &'a [u8],
    /// `[reply ][hdr ]size␍␊body␍␊`, when the line was written the canonical way: with
    /// single spaces and CR LF everything behind the subject is the same in the
    /// operation and in the delivery, so a delivery is a prefix and one copy of this.
    pub tail: Option<&'a [u8]>,
}

/// Sizes of the header block of an `HPUB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Size as the publisher wrote it.
    pub size_text: &'a [u8],
    /// Size in bytes; at most the length of the body.
    pub len: usize,
}

impl Publish<'_> {
    /// Whether a delivery carries a header block: `HPUB 0 n` counts as a plain message.
    pub fn has_headers(&self) -> bool {
        self.headers.is_some_and(|h| h.len > 0)
    }
}
