//! What other users of the machine see of the command line.
//!
//! Everybody can read `/proc/PID/cmdline`, and with it a password or a token that was given by a flag. Once the
//! flags are read, the process writes over those in its own argument area.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Flags whose value is a secret.
const SECRET_FLAGS: [&str; 2] = ["pass", "auth"];

/// Writes over the secrets among this process's arguments. Whoever reads those arguments later reads `x`es.
///
/// # Errors
/// The system does not let a process write to its own memory this way; then the arguments stay as they are.
pub fn hide() -> io::Result<()> {
    let line = fs::read("/proc/self/cmdline")?;
    let secrets = secrets_in(&line);
    if secrets.is_empty() {
        return Ok(());
    }
    let stat = fs::read_to_string("/proc/self/stat")?;
    let start = arguments_start(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let memory = File::options().write(true).open("/proc/self/mem")?;
    for secret in secrets {
        let length = secret.len();
        memory.write_all_at(&vec![b'x'; length], start + secret.start as u64)?;
    }
    Ok(())
}

/// Where the arguments begin in memory: field 48 of `stat` (proc(5)), the third of which stands behind the name.
fn arguments_start(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name
        .split_ascii_whitespace()
        .nth(48 - 3)?
        .parse()
        .ok()
}

/// Where secrets stand in a command line, its arguments ended by NULs.
fn secrets_in(line: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut at = 0;
    let mut is_secret = false;
    for argument in line.split(|&b| b == 0) {
        let range = at..at + argument.len();
        at = range.end + 1;
        if std::mem::take(&mut is_secret) {
            secrets.push(range);
            continue;
        }
        let text = String::from_utf8_lossy(argument);
        let Some(flag) = text.strip_prefix("--").or(text.strip_prefix('-')) else {
            secrets
                .extend(passwords_in(argument).map(|r| range.start + r.start..range.start + r.end));
            continue;
        };
        match flag.split_once('=') {
            Some((name, value)) if SECRET_FLAGS.contains(&name) => {
                // From the end, as what stands in front may have been no UTF-8.
                secrets.push(range.end - value.len().min(range.len())..range.end);
            }
            Some(_) => {
                secrets.extend(
                    passwords_in(argument).map(|r| range.start + r.start..range.start + r.end),
                );
            }
            None => is_secret = SECRET_FLAGS.contains(&flag),
        }
    }
    secrets
}

/// Passwords of the URLs in a text: what stands between `://user:` and `@`.
fn passwords_in(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let scheme = rest.windows(3).position(|w| w == b"://")?;
            let begin = at + scheme + 3;
            let length = text[begin..]
                .iter()
                .position(|b| matches!(b, b'/' | b','))
                .unwrap_or(text.len() - begin);
            let authority = &text[begin..begin + length];
            at = begin + length;
            let Some(end) = authority.iter().rposition(|&b| b == b'@') else {
                continue;
            };
            if let Some(colon) = authority[..end].iter().position(|&b| b == b':') {
                return Some(begin + colon + 1..begin + end);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(arguments: &[&str]) -> String {
        let mut line = arguments.join("\0").into_bytes();
        line.push(0);
        for range in secrets_in(&line) {
            line[range].fill(b'x');
        }
        String::from_utf8_lossy(&line).replace('\0', " ")
    }

    #[test]
    fn secrets_are_found_in_every_form() {
        for (arguments, shown) in [
            (
                &["s", "--user", "joe", "--pass", "abc"][..],
                "s --user joe --pass xxx ",
            ),
            (&["s", "-pass=abc", "-p", "4222"], "s -pass=xxx -p 4222 "),
            (&["s", "--auth", "-t", "-D"], "s --auth xx -D "),
            (&["s", "--auth=a=b"], "s --auth=xxx "),
            (&["s", "--passx", "abc", "pass"], "s --passx abc pass "),
            (&["s", "--pass"], "s --pass "),
            (&["s", "--pass", ""], "s --pass  "),
            (
                &[
                    "s",
                    "--routes",
                    "nats://a:b@h:1,nats://c@h:2,nats://d:e:f@h",
                ],
                "s --routes nats://a:x@h:1,nats://c@h:2,nats://d:xxx@h ",
            ),
            (
                &["s", "--cluster=nats://u:p@h:1"],
                "s --cluster=nats://u:x@h:1 ",
            ),
        ] {
            assert_eq!(hidden(arguments), shown);
        }
    }

    #[test]
    fn the_arguments_are_where_the_system_says() {
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        let stat = format!("1 (a ) b) {}", fields.join(" "));
        assert_eq!(arguments_start(&stat), Some(48));
        assert_eq!(arguments_start("1 (a) 3 4"), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(arguments_start(&own).is_some_and(|start| start > 0));
    }
}
