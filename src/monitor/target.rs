//! What a request asks for: the path, decoded and cleaned, and the text of its parameters.

use super::answer::Answer;

/// The target of a request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Path, decoded.
    pub(super) path: Vec<u8>,
    /// What stands behind the first `?`, as sent.
    pub(super) query: Vec<u8>,
}

impl Target {
    /// Reads `/path?query` or `http://host/path?query`; `None` if it is neither.
    pub(super) fn parse(raw: &[u8]) -> Option<Self> {
        if raw.iter().any(u8::is_ascii_control) {
            return None;
        }
        let local = if raw.starts_with(b"/") {
            raw
        } else {
            behind_authority(raw)?
        };
        let mut parts = local.splitn(2, |&b| b == b'?');
        let path = unescape(parts.next().unwrap_or_default(), false)?;
        let query = parts.next().unwrap_or_default().to_vec();
        Some(Target { path, query })
    }

    /// Where the client should have asked, if the path has empty, `.` or `..` segments.
    pub(super) fn redirect(&self) -> Option<Answer> {
        let clean = clean_path(&self.path);
        if clean == self.path {
            return None;
        }
        let mut location = String::new();
        for &byte in &clean {
            if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
                location.push(char::from(byte));
            } else {
                location.push_str(&format!("%{byte:02X}"));
            }
        }
        if !self.query.is_empty() {
            location.push('?');
            for &byte in &self.query {
                if byte.is_ascii() {
                    location.push(char::from(byte));
                } else {
                    location.push_str(&format!("%{byte:x}"));
                }
            }
        }
        Some(Answer::moved(location))
    }
}

/// The part of `scheme://authority/path` from the path on.
fn behind_authority(raw: &[u8]) -> Option<&[u8]> {
    let rest = raw
        .strip_prefix(b"http://")
        .or_else(|| raw.strip_prefix(b"https://"))?;
    let at = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    rest.get(at..)
}

/// Resolves `%41`, and `+` where it stands for a blank; `None` if an escape is broken.
pub(super) fn unescape(raw: &[u8], plus_is_blank: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The shortest path that means the same; a slash at the end stays.
fn clean_path(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&b| b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut clean = vec![b'/'];
    clean.extend(segments.join(&b'/'));
    if path.ends_with(b"/") && clean.len() > 1 {
        clean.push(b'/');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let cases: &[(&str, Option<(&str, &str)>)] = &[
            ("/", Some(("/", ""))),
            ("/varz?a=b?c", Some(("/varz", "a=b?c"))),
            ("/%76arz", Some(("/varz", ""))),
            ("/a+b", Some(("/a+b", ""))),
            ("//varz", Some(("//varz", ""))),
            ("http://h:1/varz?x", Some(("/varz", "x"))),
            ("http://h", Some(("", ""))),
            ("/%7", None),
            ("/%zz", None),
            ("/a\u{1}", None),
            ("varz", None),
            ("*", None),
            ("", None),
        ];
        for (raw, want) in cases {
            let want = want.map(|(path, query)| Target {
                path: path.into(),
                query: query.into(),
            });
            assert_eq!(Target::parse(raw.as_bytes()), want, "{raw:?}");
        }
    }

    #[test]
    fn unclean_paths_are_sent_elsewhere() {
        let cases = [
            ("/", None),
            ("/varz", None),
            ("/varz/", None),
            ("//varz", Some("/varz")),
            ("/a/../varz?x=1", Some("/varz?x=1")),
            ("/../..", Some("/")),
            ("/./varz/", Some("/varz/")),
            ("/a//b%20c?<é>", Some("/a/b%20c?<%c3%a9>")),
            ("http://h", Some("/")),
        ];
        for (raw, want) in cases {
            let redirect = Target::parse(raw.as_bytes()).unwrap().redirect();
            assert_eq!(
                redirect.map(|answer| answer.location.unwrap()),
                want.map(String::from),
                "{raw}"
            );
        }
    }
}
