//! The JSON of CONNECT, read as the original's decoder reads it.
//!
//! Keys match in any case, `null` changes nothing, the last of duplicate keys wins, unknown
//! keys are skipped and not kept, bad UTF-8 in strings is tolerated; a wrong type, an array
//! or anything behind the document is an error. The caller has bounded the length (control
//! line); unknown values are skipped without recursion, so depth needs no bound.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Deserialize, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::auth::Secret;

/// What one CONNECT gave; `None` where the key was missing or `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// Wants `+OK`.
    pub verbose: Option<bool>,
    /// Wants publish subjects checked.
    pub pedantic: Option<bool>,
    /// Wants its own messages back.
    pub echo: Option<bool>,
    /// Takes and sends headers.
    pub headers: Option<bool>,
    /// Wants to know when nobody listens.
    pub no_responders: Option<bool>,
    /// Protocol version.
    pub protocol: Option<i64>,
    /// User name.
    pub user: Option<String>,
    /// Client's name for itself.
    pub name: Option<String>,
    /// Client library's language.
    pub lang: Option<String>,
    /// Client library's version.
    pub version: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Token.
    pub token: Option<Secret>,
    /// Public nkey.
    pub nkey: Option<String>,
    /// Signature over the nonce.
    pub signature: Option<Secret>,
    /// Something in it is nobody's business, or may be: a password, a token, a key, a signature, or something under a
    /// name that is not known.
    pub has_secret: bool,
}

impl Connect {
    /// The parts that are no secret, as JSON for the trace log.
    ///
    /// The original logs the raw text, passwords and all.
    pub fn public(&self) -> String {
        let mut public = serde_json::Map::new();
        let flags = [
            ("verbose", self.verbose),
            ("pedantic", self.pedantic),
            ("echo", self.echo),
            ("headers", self.headers),
            ("no_responders", self.no_responders),
        ];
        let texts = [
            ("user", &self.user),
            ("name", &self.name),
            ("lang", &self.lang),
            ("version", &self.version),
        ];
        public.extend(
            flags
                .iter()
                .filter_map(|(k, v)| Some(((*k).to_owned(), (*v)?.into()))),
        );
        public.extend(self.protocol.map(|n| ("protocol".to_owned(), n.into())));
        public.extend(
            texts
                .iter()
                .filter_map(|(k, v)| Some(((*k).to_owned(), v.as_deref()?.into()))),
        );
        serde_json::Value::Object(public).to_string()
    }
}

/// Reads the argument of CONNECT.
///
/// # Errors
/// The JSON library's text, for the log; the peer is closed without `-ERR`.
pub fn parse_connect(arg: &[u8]) -> Result<Connect, serde_json::Error> {
    let text = String::from_utf8_lossy(arg);
    // The form first: strings are then read in a way that lets control bytes pass.
    serde_json::from_str::<IgnoredAny>(&text)?;
    serde_json::Deserializer::from_str(&text).deserialize_option(Document)
}

/// INFO from a client has to be JSON; nothing in it matters.
///
/// # Errors
/// The JSON library's text.
pub fn check_info(arg: &[u8]) -> Result<(), serde_json::Error> {
    parse_connect(arg).map(|_| ())
}

/// What is wrong with a document, without the value that is: it may be a password in the wrong place.
pub struct Fault<'a>(
    /// The JSON library's error.
    pub &'a serde_json::Error,
);

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let is_quote = |c: char| c == '"' || c == '`';
        match (text.find(is_quote), text.rfind(is_quote)) {
            // "invalid type: string "…", expected a boolean at line 1 column 9"
            (Some(from), Some(to)) if text.starts_with("invalid ") => {
                f.write_str(text[..from].trim_end())?;
                f.write_str(&text[to + 1..])
            }
            _ => f.write_str(&text),
        }
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Connect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_none<E>(self) -> Result<Connect, E> {
        Ok(Connect::default())
    }

    fn visit_unit<E>(self) -> Result<Connect, E> {
        Ok(Connect::default())
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, json: D) -> Result<Connect, D::Error> {
        json.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Connect, A::Error> {
        let mut connect = Connect::default();
        while let Some(Text(key)) = map.next_key()? {
            match key.to_ascii_lowercase().as_str() {
                "verbose" => set(&mut connect.verbose, &mut map)?,
                "pedantic" => set(&mut connect.pedantic, &mut map)?,
                "echo" => set(&mut connect.echo, &mut map)?,
                "headers" => set(&mut connect.headers, &mut map)?,
                "no_responders" => set(&mut connect.no_responders, &mut map)?,
                "protocol" => set(&mut connect.protocol, &mut map)?,
                "user" => set_text(&mut connect.user, &mut map)?,
                "name" => set_text(&mut connect.name, &mut map)?,
                "lang" => set_text(&mut connect.lang, &mut map)?,
                "version" => set_text(&mut connect.version, &mut map)?,
                "pass" => connect.has_secret |= set_secret(&mut connect.password, &mut map)?,
                "auth_token" => connect.has_secret |= set_secret(&mut connect.token, &mut map)?,
                // Those of 2.x may be anything, as unknown keys may: 1.2.0 does not read them.
                "nkey" => {
                    let shown: Option<AnyValue> = map.next_value()?;
                    connect.has_secret |= shown.is_some();
                    connect.nkey = shown.and_then(|any| any.0).or(connect.nkey);
                }
                "sig" => {
                    let shown: Option<AnyValue> = map.next_value()?;
                    connect.has_secret |= shown.is_some();
                    let text = shown.and_then(|any| any.0).map(Secret::new);
                    connect.signature = text.or(connect.signature);
                }
                "jwt" => {
                    connect.has_secret |= map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                "tls_required" => set(&mut None::<bool>, &mut map)?,
                "ssl_required" => {
                    map.next_value::<IgnoredAny>()?;
                }
                // Passwords are called many things.
                _ => {
                    connect.has_secret |= map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
            }
        }
        Ok(connect)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Connect, A::Error> {
        Err(A::Error::custom("expected a JSON object, got an array"))
    }
}

/// Sets a field unless the value is `null`.
fn set<'de, T, A>(field: &mut Option<T>, map: &mut A) -> Result<(), A::Error>
where
    T: serde::Deserialize<'de>,
    A: MapAccess<'de>,
{
    if let Some(value) = map.next_value::<Option<T>>()? {
        *field = Some(value);
    }
    Ok(())
}

/// The same for text.
fn set_text<'de, A: MapAccess<'de>>(
    field: &mut Option<String>,
    map: &mut A,
) -> Result<(), A::Error> {
    let mut text: Option<Text> = None;
    set(&mut text, map)?;
    if let Some(Text(text)) = text {
        *field = Some(text);
    }
    Ok(())
}

/// The same for a text that must not be seen. Says whether there was one.
fn set_secret<'de, A: MapAccess<'de>>(
    field: &mut Option<Secret>,
    map: &mut A,
) -> Result<bool, A::Error> {
    let mut text = None;
    set_text(&mut text, map)?;
    let is_given = text.is_some();
    *field = text.map(Secret::new).or(field.take());
    Ok(is_given)
}

/// A JSON value of any type, of which only a string matters.
struct AnyValue(Option<String>);

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<AnyValue, E> {
        Ok(AnyValue(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<AnyValue, E> {
        Ok(AnyValue(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<AnyValue, E> {
        Ok(AnyValue(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<AnyValue, E> {
        Ok(AnyValue(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<AnyValue, E> {
        Ok(AnyValue(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<AnyValue, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(AnyValue(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(AnyValue(None))
    }
}

/// A JSON string. Half of a surrogate pair (`"\ud800"`) is replaced, as in Go, where a `String` would be refused.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        // As bytes, which the JSON library does not check for such halves.
        json.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        let c = parse_connect(br#"{"name":"a\ud800b","\udfff":"\ud800","user":"\ud83d\ude00"}"#)
            .unwrap();
        let name = c.name.unwrap();
        assert!(
            name.starts_with('a') && name.ends_with('b') && name.contains('\u{fffd}'),
            "{name}"
        );
        assert_eq!(c.user.as_deref(), Some("\u{1f600}"));
        for bad in [
            &b"{\"name\":[97]}"[..],
            b"{\"name\":7}",
            b"{\"name\":{}}",
            b"{\"name\":\"\\ud8\"}",
            b"{\"name\":\"\t\"}",
            b"{\"\0\":1}",
        ] {
            assert!(
                parse_connect(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn reads_what_clients_send() {
        let c = parse_connect(
            br#"{"verbose":false,"PEDANTIC":true,"echo":null,"jwt":null,"protocol":1,"name":"x"} "#,
        )
        .unwrap();
        assert_eq!(c.verbose, Some(false));
        assert_eq!(c.pedantic, Some(true));
        assert_eq!(c.echo, None);
        assert_eq!(c.protocol, Some(1));
        assert_eq!(c.name.as_deref(), Some("x"));
        assert!(!c.has_secret);
        let c = parse_connect(br#"{"user":"u","pass":"geheim","verbose":true}"#).unwrap();
        assert!(c.has_secret);
        for hidden in [
            &br#"{"p\u0061ss":"x"}"#[..],
            br#"{"auth_token":"x","auth_token":null}"#,
            br#"{"JWT":[1]}"#,
            br#"{"nkey":"U"}"#,
            br#"{"sig":""}"#,
        ] {
            assert!(parse_connect(hidden).unwrap().has_secret);
        }
        let all = br#"{"pass":"p","auth_token":"t","nkey":"U","sig":"s","nkey":null}"#;
        let all = parse_connect(all).unwrap();
        assert_eq!(all.password, Some(Secret::new("p")));
        assert_eq!(all.token, Some(Secret::new("t")));
        assert_eq!(all.nkey.as_deref(), Some("U"));
        assert_eq!(all.signature, Some(Secret::new("s")));
        for (json, may_be) in [
            (&br#"{"password":"x"}"#[..], true),
            (br#"{"extra":{"a":"x"}}"#, true),
            (
                br#"{"ssl_required":true,"m":null,"tls_required":false}"#,
                false,
            ),
        ] {
            assert_eq!(parse_connect(json).unwrap().has_secret, may_be);
        }
        for odd in [
            &br#"{"nkey":[[1,{}],2]}"#[..],
            br#"{"sig":{"a":[1]}}"#,
            br#"{"nkey":1.5,"sig":true}"#,
        ] {
            let c = parse_connect(odd).unwrap();
            assert!(c.has_secret && c.nkey.is_none() && c.signature.is_none());
        }
        assert!(
            !parse_connect(br#"{"pass":null,"jwt":null}"#)
                .unwrap()
                .has_secret
        );
        assert_eq!(c.public(), r#"{"user":"u","verbose":true}"#);
        assert_eq!(parse_connect(b"null").unwrap(), Connect::default());
        assert_eq!(parse_connect(b"{}").unwrap(), Connect::default());
        let c = parse_connect(b"{\"verbose\":true,\"verbose\":false,\"name\":\"\xff\"}").unwrap();
        assert_eq!(c.verbose, Some(false));
        assert_eq!(c.name.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn refuses_what_is_not_an_object_of_these_types() {
        for bad in [
            &b""[..],
            b"[]",
            b"1",
            b"\"x\"",
            b"true",
            b"{",
            b"{}x",
            b"{\"verbose\":\"true\"}",
            b"{\"protocol\":\"1\"}",
            b"{\"protocol\":1.0}",
            b"{\"user\":1}",
            b"{\"pass\":1}",
        ] {
            assert!(
                parse_connect(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        for (json, text) in [
            (
                &br#""Geheim""#[..],
                "invalid type: string, expected a JSON object at line 1 column 8",
            ),
            (
                br#"{"pass":48210}"#,
                "invalid type: integer, expected a string at line 1 column 13",
            ),
            (
                br#"{"verbose":"Ge\"heim"}"#,
                "invalid type: string, expected a boolean at line 1 column 21",
            ),
            (
                br#"{"pass":"Geheim"#,
                "EOF while parsing a string at line 1 column 15",
            ),
            (br#"{"pass" "Geheim"}"#, "expected `:` at line 1 column 9"),
        ] {
            let error = parse_connect(json).unwrap_err();
            assert_eq!(Fault(&error).to_string(), text);
        }
    }

    #[test]
    fn depth_does_not_matter() {
        let mut deep = b"{\"x\":".to_vec();
        deep.extend(std::iter::repeat_n(b'[', 100_000));
        deep.extend(std::iter::repeat_n(b']', 100_000));
        deep.push(b'}');
        let skipped = Connect {
            has_secret: true,
            ..Connect::default()
        };
        assert_eq!(parse_connect(&deep).unwrap(), skipped);
        deep.truncate(50_000);
        assert!(parse_connect(&deep).is_err());
    }
}
