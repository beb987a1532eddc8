//! The venue: whether it answers, whether it takes the credential, and whether its clock is ours.
//!
//! The same question as at a start (`GET /account`), asked by this program itself: a service that
//! runs is not disturbed, and one that does not run is not needed. What cannot be known is unknown.

use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::domain::clock::{SharedClock, SystemClock, SystemEntropy};
use flashguard_actors::key_manager::{HotKeys, KeyManager, judge_account};
use flashguard_actors::ports::venue::{Account, VenueError};
use flashguard_actors::trading::desk::Desk;
use flashguard_actors::trading::doubt::VENUE_CLOCK_OFFSET_MAX_MS;
use flashguard_latch::{Beat, Latch, State};

use super::Finding;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::init::chain;
use crate::control::{DataDirectory, Lock, LockError, RunFile};
use crate::settings::{Adapter, Settings};
use crate::venues::connected::{ConnectError, HttpVenue};
use crate::web::time;

const VENUE: &str = "venue";
const CLOCK: &str = "clock";
/// A `Date` header has whole seconds, and is as old as its way here.
const DATE_INEXACT_MS: u64 = 2_000;
/// The latch's limit does not matter: no order leaves from here.
const BEAT_LIMIT: Duration = Duration::from_secs(5);

/// What was answered.
struct Answers {
    account: Result<Account, VenueError>,
    /// The venue's `Date` less our time, in ms.
    offset_ms: Option<i64>,
}

/// Asks the venue with the credential in use; `None`: no credential could be opened.
pub(super) fn look(
    context: &Context,
    directory: &DataDirectory,
    keys: Option<HotKeys>,
) -> Vec<Finding> {
    let Ok(settings) = context.settings(Vec::new()) else {
        let found = "unknown: the settings say where it is, and they are not valid";
        return unknown(found, "mend the settings first");
    };
    let url = match address(&settings, directory) {
        Ok(url) => url,
        Err(found) => return unknown(found, "look again while the service runs"),
    };
    let Some(keys) = keys else {
        let found = "unknown: there is no credential to ask with";
        return unknown(found, "mend the keys first");
    };
    match ask(&settings, &url, keys) {
        Ok(answers) => {
            let clock = match &answers.account {
                Err(VenueError::Unreachable { .. }) => None,
                _ => answers.offset_ms,
            };
            vec![venue(&url, answers.account), clock_of(clock)]
        }
        Err(error) => {
            let found = format!("{url} cannot be spoken to: {}", chain(&error));
            let mend = "look at venue.url and venue.ca_file";
            vec![
                Finding::bad(VENUE, Exit::Usage, found, mend),
                clock_of(None),
            ]
        }
    }
}

fn unknown(found: &str, mend: &str) -> Vec<Finding> {
    vec![Finding::warn(VENUE, found, mend), clock_of(None)]
}

/// Where the venue is: where the running service says, else where the settings say.
fn address(settings: &Settings, directory: &DataDirectory) -> Result<String, &'static str> {
    let served =
        directory.has("lock") && matches!(Lock::take(directory), Err(LockError::Held { .. }));
    let running = || RunFile::read(directory).ok().and_then(|run| run.venue);
    // A service that was killed leaves its run.json behind.
    let running = served.then(running).flatten();
    let set = settings.venue.url.as_ref();
    match settings.venue.adapter {
        Adapter::Memory => Err("unknown: venue.adapter is memory, there is nothing to reach"),
        Adapter::Http => running
            .or_else(|| set.map(|url| url.as_str().to_owned()))
            .ok_or("unknown: venue.url is not set"),
        Adapter::Paper => {
            running.ok_or("unknown: the paper venue runs beside the service, and none runs here")
        }
    }
}

fn ask(settings: &Settings, url: &str, keys: HotKeys) -> Result<Answers, ConnectError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let latch = Arc::new(Latch::new(State::halted(0), Beat::new(BEAT_LIMIT)));
    let ca_file = settings.venue.ca_file.as_deref();
    let timeout = Duration::from_millis(settings.venue.timeout_ms);
    let name = settings.venue.adapter.as_str();
    let venue = Arc::new(HttpVenue::new(name, url, ca_file, timeout, latch)?);
    let keys = KeyManager::new(keys, settings.venue.chain_id, Arc::new(SystemEntropy));
    let desk = Desk::new(venue.clone(), Arc::new(keys), clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = runtime.map(|runtime| {
        runtime.block_on(async {
            let account = desk.account().await;
            let date = venue.date().await;
            let date = date.as_deref().and_then(date_ms);
            let offset_ms = date.and_then(|date| {
                let date = i64::try_from(date).ok()?;
                date.checked_sub_unsigned(clock.now().as_millis())
            });
            Answers { account, offset_ms }
        })
    });
    Ok(asked.unwrap_or_else(|error| Answers {
        account: Err(VenueError::Unreachable {
            internal: format!("no runtime: {error}"),
        }),
        offset_ms: None,
    }))
}

fn venue(url: &str, answer: Result<Account, VenueError>) -> Finding {
    let bad = |exit, found: String, mend: &str| Finding::bad(VENUE, exit, found, mend);
    match answer {
        Ok(account) => match judge_account(&account) {
            Ok(()) => {
                let found = format!("{url} answers; account {}", account.account);
                Finding::good(VENUE, found)
            }
            Err(problem) => {
                let found = format!("{url} answers; {problem}");
                bad(Exit::Refused, found, "flashguard keys import venue")
            }
        },
        Err(VenueError::CredentialRejected) => bad(
            Exit::Refused,
            format!("{url} answers and rejects the credential"),
            "flashguard keys import venue; a clock far off is rejected too",
        ),
        Err(VenueError::Throttled { .. }) => {
            let found = format!("unknown: {url} asks to retry later");
            Finding::warn(VENUE, found, "look again in a minute")
        }
        Err(VenueError::Unreachable { internal }) => bad(
            Exit::Unreachable,
            format!("{url} cannot be reached: {internal}"),
            "look at venue.url and the network",
        ),
        Err(error) => bad(
            Exit::Unreachable,
            format!("{url}: {error}"),
            "something else answers there, or another version",
        ),
    }
}

/// `None`: the venue did not say what time it is.
fn clock_of(offset_ms: Option<i64>) -> Finding {
    let Some(offset_ms) = offset_ms else {
        let found = "unknown: the venue's clock was not read";
        return Finding::warn(CLOCK, found, "it is compared when the venue answers");
    };
    let away = offset_ms.unsigned_abs();
    let where_to = if offset_ms > 0 { "behind" } else { "ahead of" };
    let found = format!("{away} ms {where_to} the venue's, to the second");
    let mend = "mend the clock (systemd-timesyncd, chrony)";
    if away <= DATE_INEXACT_MS {
        let found = format!("within {} s of the venue's", DATE_INEXACT_MS / 1_000);
        Finding::good(CLOCK, found)
    } else if away <= VENUE_CLOCK_OFFSET_MAX_MS {
        Finding::warn(CLOCK, found, mend)
    } else {
        Finding::bad(CLOCK, Exit::Refused, found, mend)
    }
}

/// A `Date` header as RFC 9110 wants it written, such as `Tue, 24 Nov 2026 11:25:33 GMT`, in Unix ms.
fn date_ms(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let (at, zone) = (parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    let rfc_3339 = serde_json::Value::from(format!("{year}-{month:02}-{day}T{at}Z"));
    let at = time(&rfc_3339).ok()?;
    Some(at.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Tone;

    fn account(scopes: &[&str]) -> Account {
        Account {
            account: "desk".into(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        }
    }

    #[test]
    fn reachable_rejected_and_unreachable_are_told_apart() {
        let internal = "no connection".to_owned();
        let wide = account(&["read", "trade", "withdraw"]);
        let cases = [
            (
                Ok(account(&["read", "trade"])),
                Tone::Good,
                Exit::Done,
                "answers; account desk",
            ),
            (Ok(wide), Tone::Bad, Exit::Refused, "can withdraw"),
            (
                Err(VenueError::CredentialRejected),
                Tone::Bad,
                Exit::Refused,
                "rejects",
            ),
            (
                Err(VenueError::Unreachable { internal }),
                Tone::Bad,
                Exit::Unreachable,
                "cannot be reached: no connection",
            ),
            (
                Err(VenueError::Throttled {
                    retry_after_ms: None,
                }),
                Tone::Warn,
                Exit::Done,
                "unknown",
            ),
        ];
        for (answer, tone, exit, said) in cases {
            let finding = venue("https://v", answer);
            assert_eq!(
                (finding.tone, finding.exit),
                (tone, exit),
                "{}",
                finding.found
            );
            assert!(finding.found.contains(said), "{}", finding.found);
        }
    }

    #[test]
    fn a_clock_is_judged_on_both_sides_and_an_unread_one_is_unknown() {
        for sign in [1, -1] {
            let at = |ms: i64| clock_of(Some(sign * ms)).tone;
            assert_eq!([at(0), at(2_000)], [Tone::Good; 2]);
            assert_eq!([at(2_001), at(5_000)], [Tone::Warn; 2]);
            assert_eq!(at(5_001), Tone::Bad);
        }
        let unread = clock_of(None);
        assert_eq!(unread.tone, Tone::Warn);
        assert!(unread.found.starts_with("unknown"));
    }

    #[test]
    fn a_date_header_is_read_and_nothing_else_is_taken_for_one() {
        let read = |text| date_ms(text);
        assert_eq!(
            read("Tue, 24 Nov 2026 11:25:33 GMT"),
            Some(1_795_519_533_000)
        );
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for wrong in [
            "",
            "Tue, 24 Nov 2026 11:25:33",
            "Tue, 24 Nov 2026 11:25:33 CET",
            "Tue, 24 Foo 2026 11:25:33 GMT",
            "Tue, 99 Nov 2026 11:25:33 GMT",
            "Tuesday, 24-Nov-26 11:25:33 GMT",
            "2026-11-24T11:25:33Z",
            "Tue, 24 Nov 2026 11:25:33 GMT more",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
