//! How times and durations are written in the monitoring pages; Go's forms, as scripts read them.

use std::time::Duration;

use jiff::Zoned;

/// RFC 3339 with up to nine fractional digits, trailing zeros cut; `Z` only where the zone is at
/// UTC. Source: gnatsd 1.2.0.
pub(super) fn time(at: &Zoned) -> String {
    let t = at.datetime();
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    );
    let nanos = t.subsec_nanosecond();
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    let offset = at.offset().seconds();
    if offset == 0 {
        text.push('Z');
    } else {
        let minutes = offset.unsigned_abs() / 60;
        let sign = if offset < 0 { '-' } else { '+' };
        text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
    }
    text
}

/// Whole seconds as `1y2d3h4m5s`, from the largest unit that is not zero down; a year has 365
/// days. Source: gnatsd 1.2.0.
pub(super) fn uptime(passed: Duration) -> String {
    let seconds = passed.as_secs();
    let (minutes, hours, all_days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (years, days) = (all_days / 365, all_days % 365);
    let (s, m, h) = (seconds % 60, minutes % 60, hours % 24);
    if years > 0 {
        format!("{years}y{days}d{h}h{m}m{s}s")
    } else if days > 0 {
        format!("{days}d{h}h{m}m{s}s")
    } else if hours > 0 {
        format!("{h}h{m}m{s}s")
    } else if minutes > 0 {
        format!("{m}m{s}s")
    } else {
        format!("{s}s")
    }
}

/// A round trip: cut to microseconds between 1 µs and 1 ms, else to milliseconds, and written as
/// Go writes a duration. Source: gnatsd 1.2.0.
pub(super) fn rtt(measured: Duration) -> String {
    let nanos = measured.as_nanos();
    if nanos > 1_000 && nanos < 1_000_000 {
        return format!("{}µs", nanos / 1_000);
    }
    let millis = nanos / 1_000_000;
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (seconds, fraction) = (millis / 1_000, millis % 1_000);
    let mut text = String::new();
    if seconds >= 3600 {
        text.push_str(&format!("{}h", seconds / 3600));
    }
    if seconds >= 60 {
        text.push_str(&format!("{}m", seconds / 60 % 60));
    }
    text.push_str(&(seconds % 60).to_string());
    if fraction != 0 {
        let fraction = format!(".{fraction:03}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use jiff::tz::{Offset, TimeZone};

    fn at(nanos: i32, zone: TimeZone) -> Zoned {
        Timestamp::new(1_795_395_202, nanos).unwrap().to_zoned(zone)
    }

    #[test]
    fn times_are_local_with_zeros_trimmed() {
        let west = TimeZone::fixed(Offset::from_seconds(-5 * 3600).unwrap());
        let east = TimeZone::fixed(Offset::from_seconds(5 * 3600 + 1800).unwrap());
        let cases = [
            (606_958_667, TimeZone::UTC, "2026-11-23T00:53:22.606958667Z"),
            (
                606_958_667,
                west.clone(),
                "2026-11-22T19:53:22.606958667-05:00",
            ),
            (500_000_000, east, "2026-11-23T06:23:22.5+05:30"),
            (
                10,
                TimeZone::fixed(Offset::UTC),
                "2026-11-23T00:53:22.00000001Z",
            ),
            (0, west, "2026-11-22T19:53:22-05:00"),
        ];
        for (nanos, zone, want) in cases {
            assert_eq!(time(&at(nanos, zone)), want);
        }
    }

    #[test]
    fn uptimes_print_all_lower_units() {
        let (m, h, d, y) = (60, 3600, 86_400, 365 * 86_400);
        let cases = [
            (0, "0s"),
            (22, "22s"),
            (4 * m + 22, "4m22s"),
            (4 * h + 4 * m + 22, "4h4m22s"),
            (4 * h, "4h0m0s"),
            (32 * d + 4 * h + 4 * m + 22, "32d4h4m22s"),
            (22 * y + 32 * d + 4 * h + 4 * m + 22, "22y32d4h4m22s"),
            (365 * d, "1y0d0h0m0s"),
        ];
        for (seconds, want) in cases {
            assert_eq!(uptime(Duration::from_secs(seconds)), want);
        }
        assert_eq!(uptime(Duration::from_millis(1_999)), "1s");
        assert!(uptime(Duration::MAX).ends_with('s'));
    }

    #[test]
    fn round_trips_are_cut_like_gos() {
        let cases = [
            (0, "0s"),
            (999, "0s"),
            (1_000, "0s"),
            (1_001, "1µs"),
            (245_900, "245µs"),
            (999_999, "999µs"),
            (1_000_000, "1ms"),
            (12_345_678, "12ms"),
            (200_000_000, "200ms"),
            (1_002_900_000, "1.002s"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_250_000_000, "1h0m0.25s"),
        ];
        for (nanos, want) in cases {
            assert_eq!(rtt(Duration::from_nanos(nanos)), want, "{nanos} ns");
        }
    }
}
