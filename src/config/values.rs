//! Values of the file as the types that options have.

use std::time::Duration;

use gnatsd_core::conf::{DurationError, Located, Map, Position, Value, parse_go_duration};

use super::error::{Reason, TimeoutError};
use super::findings::Findings;
use super::options;

/// Whether the value is what an option that was not given has: asking for nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Integer(number) => *number == 0,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The refusal of a value that is not of the type Go calls `wanted`.
pub(super) fn wrong_type(value: &Value, wanted: &'static str) -> Reason {
    Reason::WrongType {
        found: value.go_type(),
        wanted,
    }
}

pub(super) fn text(value: &Value) -> Result<&str, Reason> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(other, "string")),
    }
}

pub(super) fn int(value: &Value) -> Result<i64, Reason> {
    match value {
        Value::Integer(number) => Ok(*number),
        other => Err(wrong_type(other, "int64")),
    }
}

pub(super) fn bool(value: &Value) -> Result<bool, Reason> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(wrong_type(other, "bool")),
    }
}

pub(super) fn map(value: &Value) -> Result<&Map, Reason> {
    match value {
        Value::Map(map) => Ok(map),
        other => Err(wrong_type(other, "map[string]interface {}")),
    }
}

pub(super) fn array(value: &Value) -> Result<&[Located], Reason> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(wrong_type(other, "[]interface {}")),
    }
}

/// A port alone, or an address with one; the host is `None` where none is named.
pub(super) fn listen(value: &Value) -> Result<(Option<String>, i64), Reason> {
    match value {
        Value::Integer(port) => Ok((None, *port)),
        Value::String(text) => options::parse_listen(text),
        other => Err(wrong_type(other, "string")),
    }
}

/// A time limit: seconds, whole or not, or a duration in Go's syntax.
///
/// 0 is the default. A number below 0 has passed before it begins: zero (gnatsd 1.2.0).
pub(super) fn timeout(value: &Value, default: Duration) -> Result<Duration, TimeoutError> {
    let too_long = |text: String| TimeoutError::Duration(DurationError::Invalid(text));
    let duration = match value {
        Value::Integer(..0) => return Ok(Duration::ZERO),
        Value::Float(seconds) if *seconds < 0.0 => return Ok(Duration::ZERO),
        Value::Integer(seconds) => Duration::from_secs(seconds.unsigned_abs()),
        Value::Float(seconds) => {
            Duration::try_from_secs_f64(*seconds).map_err(|_| too_long(format!("{seconds}s")))?
        }
        Value::String(text) => parse_go_duration(text).map_err(TimeoutError::Duration)?,
        _ => return Err(TimeoutError::Type),
    };
    // What does not fit Go's durations, 292 years, would not fit the timers here either.
    if i64::try_from(duration.as_nanos()).is_err() {
        return Err(too_long(format!("{}s", duration.as_secs())));
    }
    Ok(if duration.is_zero() {
        default
    } else {
        duration
    })
}

/// Says so if a time limit for a login or a handshake is longer than anyone can mean. Source: nats-server 2.x.
pub(super) fn warn_of_long_timeout(
    timeout: Duration,
    position: &Position,
    findings: &mut Findings,
) {
    if timeout > Duration::from_secs(60) {
        let text = format!(
            "timeout of {} seconds is high, consider keeping it under 60 seconds; \
             possibly caused by an unquoted duration: use \"1m\" instead of 1m",
            timeout.as_secs_f64()
        );
        findings.warn(position, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits() {
        let default = Duration::from_secs(7);
        let ms = Duration::from_millis;
        for (value, expected) in [
            (Value::Integer(3), ms(3000)),
            (Value::Integer(0), default),
            (Value::Integer(-1), Duration::ZERO),
            (Value::Float(0.4), ms(400)),
            (Value::Float(0.0), default),
            (Value::Float(-0.5), Duration::ZERO),
            (Value::String("1m".to_owned()), ms(60_000)),
            (Value::String("0s".to_owned()), default),
        ] {
            assert_eq!(timeout(&value, default), Ok(expected), "{value:?}");
        }
        for value in [Value::Bool(true), Value::Array(Vec::new())] {
            assert_eq!(
                timeout(&value, default),
                Err(TimeoutError::Type),
                "{value:?}"
            );
        }
        for value in [
            Value::Integer(i64::MAX),
            Value::Float(1e10),
            Value::Float(1e300),
            Value::String("5".to_owned()),
            Value::String("-1s".to_owned()),
        ] {
            let refused = matches!(timeout(&value, default), Err(TimeoutError::Duration(_)));
            assert!(refused, "{value:?}");
        }
    }
}
