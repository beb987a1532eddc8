//! Times in requests: RFC 3339 in UTC, as the service writes them itself.

use flashguard_actors::domain::clock::UnixMicros;
use serde_json::Value;

use super::fields::wrong_type;

/// What a time looks like, for messages.
pub const TIME_RIGHT: &str = "a time in UTC such as 2026-11-24T11:25:33.123Z";

/// Reads a time.
///
/// # Errors
///
/// What is wrong with it.
pub fn time(value: &Value) -> Result<UnixMicros, String> {
    let text = value.as_str().ok_or_else(|| wrong_type(value))?;
    parse(text).ok_or_else(|| "it is not such a time".to_owned())
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction]Z` from 1970 to 9999, at most microseconds.
fn parse(text: &str) -> Option<UnixMicros> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers::<3>(date, '-', &[4, 2, 2])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers::<3>(clock, ':', &[2, 2, 2])?;
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let plain = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    if !fits || !plain {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    let days_before: u64 = (1970..year)
        .map(|y| if is_leap(y) { 366 } else { 365 })
        .sum::<u64>()
        + (1..month).map(|m| days_of(year, m)).sum::<u64>();
    let seconds = (days_before + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(UnixMicros(seconds * 1_000_000 + micros))
}

/// Exactly `N` numbers of these lengths.
fn numbers<const N: usize>(text: &str, separator: char, lengths: &[usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut read = [0; N];
    for (into, length) in read.iter_mut().zip(lengths) {
        let part = parts.next()?;
        let digits = part.len() == *length && part.bytes().all(|b| b.is_ascii_digit());
        *into = if digits {
            part.parse().ok()?
        } else {
            return None;
        };
    }
    parts.next().is_none().then_some(read)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_and_dates_that_do_not_exist_are_refused() {
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T11:25:33",
            "2026-11-24T11:25:33+00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567Z",
            "2026-1-1T0:0:0Z",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(
            parse("2000-02-29T00:00:00Z"),
            Some(UnixMicros(951_782_400_000_000))
        );
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn what_the_service_writes_it_reads_again(ms in 0_u64..253_402_300_799_999) {
                let at = UnixMicros(ms * 1_000);
                prop_assert_eq!(parse(&at.to_rfc3339()), Some(at));
            }

            #[test]
            fn no_text_makes_it_panic(text in "(?s).{0,40}") {
                let _ = parse(&text);
            }
        }
    }
}
