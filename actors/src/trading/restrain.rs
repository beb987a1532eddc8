//! Holding trading back and letting it go: the effects around [`Restraints`].
//!
//! Taking is effective before it is durable, letting go after: a crash in between leaves trading
//! held back. One change at a time, so that the journal's order is the order in which they held. A
//! halt is never ended here.
//!
//! [`Restraints`]: super::restraints::Restraints

use super::floor::Floor;
use super::health::{Health, Rate};
use super::restraints::{LIFT, OPERATOR, Restraint, VENUE_HEALTH};
use crate::domain::clock::UnixMicros;
use crate::domain::identity::Principal;
use crate::journal::record::{Entry, Fact, Private};

/// Why trading was not held back, or is not let go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestrainError {
    /// Taken: it holds in this process, and a restart does not remember it. Let go: it still holds.
    #[error("the journal cannot be written")]
    Journal,
    /// Only a lift ends a halt.
    #[error("trading is halted")]
    Halted {
        /// The halt's epoch.
        epoch: u64,
    },
}

/// Takes the operators' pause: orders are refused at once, `until_us` or until a resume.
///
/// # Errors
///
/// [`RestrainError::Journal`].
pub async fn pause(
    floor: &Floor,
    by: &Principal,
    reason: String,
    until_us: Option<UnixMicros>,
) -> Result<(), RestrainError> {
    let _turn = floor.restraining.lock().await;
    let pause = restraint(floor, by, &reason, until_us);
    floor
        .door
        .change(|all| drop(all.pauses.insert(OPERATOR.to_owned(), pause.clone())));
    let token = OPERATOR.to_owned();
    write(floor, Fact::PauseTaken { token, until_us }, by, reason).await
}

/// Lets in only what reduces, from now on, until `token`'s owner lets go.
///
/// # Errors
///
/// [`RestrainError::Journal`].
pub async fn reduce_only(
    floor: &Floor,
    token: &str,
    by: &Principal,
    reason: String,
) -> Result<(), RestrainError> {
    let _turn = floor.restraining.lock().await;
    let held = restraint(floor, by, &reason, None);
    floor
        .door
        .change(|all| drop(all.reduce_only.insert(token.to_owned(), held.clone())));
    let token = token.to_owned();
    write(floor, Fact::ReduceOnlyTaken { token }, by, reason).await
}

/// Takes trading to reduce-only while too many calls to the venue fail (G). Nothing goes up by
/// itself: a resume ends it, once they do not fail any more.
///
/// # Errors
///
/// [`RestrainError::Journal`].
pub async fn watch_health(floor: &Floor) -> Result<(), RestrainError> {
    let Health::Degraded(Rate { calls, errors }) = health(floor) else {
        return Ok(());
    };
    if floor
        .door
        .restraints()
        .reduce_only
        .contains_key(VENUE_HEALTH)
    {
        return Ok(());
    }
    let reason = format!("{errors} of the last {calls} calls to the venue failed");
    tracing::warn!(
        calls,
        errors,
        "reduce-only: too many calls to the venue fail"
    );
    reduce_only(floor, VENUE_HEALTH, &Principal::system(), reason).await
}

fn health(floor: &Floor) -> Health {
    floor.health.now(floor.clock.boot_millis())
}

/// Lets go what people hold: their pause, their reduce-only and a lift's; and what a monitor holds
/// of which the cause is over.
///
/// # Errors
///
/// [`RestrainError::Halted`], [`RestrainError::Journal`].
pub async fn resume(floor: &Floor, by: &Principal, reason: String) -> Result<(), RestrainError> {
    let _turn = floor.restraining.lock().await;
    let latch = floor.latch.state();
    if latch.halted {
        return Err(RestrainError::Halted { epoch: latch.epoch });
    }
    let held = floor.door.restraints();
    if held.pauses.contains_key(OPERATOR) {
        let token = OPERATOR.to_owned();
        write(floor, Fact::PauseReleased { token }, by, reason.clone()).await?;
        floor.door.change(|all| drop(all.pauses.remove(OPERATOR)));
    }
    let healthy = health(floor) == Health::Healthy;
    for token in [OPERATOR, LIFT, VENUE_HEALTH] {
        if token == VENUE_HEALTH && !healthy {
            continue;
        }
        if held.reduce_only.contains_key(token) {
            let left = Fact::ReduceOnlyLeft {
                token: token.to_owned(),
            };
            write(floor, left, by, reason.clone()).await?;
            floor.door.change(|all| drop(all.reduce_only.remove(token)));
        }
    }
    Ok(())
}

/// Writes down the pauses whose time has passed. They hold nobody any more; a change that is under
/// way lets it wait for the next look.
pub fn end_passed(floor: &Floor) {
    let Ok(_turn) = floor.restraining.try_lock() else {
        return;
    };
    for token in floor.door.restraints().ended(floor.clock.now()) {
        floor.door.change(|all| drop(all.pauses.remove(&token)));
        floor.write_quietly(Entry::of("orders", Fact::PauseReleased { token }));
    }
}

/// A token that holds from now on.
pub fn restraint(
    floor: &Floor,
    by: &Principal,
    reason: &str,
    until_us: Option<UnixMicros>,
) -> Restraint {
    Restraint {
        until_us,
        since_us: floor.clock.now(),
        by: Some(by.as_str().to_owned()),
        reason: Some(reason.to_owned()),
        journal_seq: 0,
    }
}

async fn write(
    floor: &Floor,
    fact: Fact,
    by: &Principal,
    reason: String,
) -> Result<(), RestrainError> {
    let private = Private {
        reason: Some(reason),
        ..Private::default()
    };
    let entry = Entry::of("orders", fact).by(by.clone()).with(private);
    let written = floor.journal.append(entry).await;
    written.map(drop).map_err(|_| RestrainError::Journal)
}

#[cfg(test)]
mod tests {
    use super::super::health::CallEnd;
    use super::super::testing::{floor, in_memory};
    use super::*;
    use crate::domain::status::TradingState;

    fn state(floor: &Floor) -> TradingState {
        floor.door.state(floor.clock.now())
    }

    #[tokio::test]
    async fn a_venue_that_fails_takes_trading_to_reduce_only_until_a_resume_after_it_is_over() {
        let floor = floor(in_memory());
        floor.door.open();
        let now_ms = floor.clock.boot_millis();
        for n in 0..20 {
            let end = [CallEnd::Failed, CallEnd::Answered][usize::from(n >= 2)];
            floor.health.count(now_ms, end);
            watch_health(&floor).await.unwrap();
        }
        assert_eq!(state(&floor), TradingState::ReduceOnly);
        let person = Principal::api_key("ann");
        resume(&floor, &person, "trying".into()).await.unwrap();
        assert_eq!(
            state(&floor),
            TradingState::ReduceOnly,
            "its cause is not over"
        );
        for _ in 0..10 {
            floor.health.count(now_ms, CallEnd::Answered);
        }
        watch_health(&floor).await.unwrap();
        assert_eq!(
            state(&floor),
            TradingState::ReduceOnly,
            "nothing goes up by itself"
        );
        resume(&floor, &person, "over".into()).await.unwrap();
        assert_eq!(state(&floor), TradingState::Active);
    }

    #[tokio::test]
    async fn what_the_journal_does_not_take_holds_trading_back_and_is_not_let_go() {
        let floor = floor(in_memory());
        floor.door.open();
        let person = Principal::api_key("ann");
        reduce_only(&floor, OPERATOR, &person, "x".into())
            .await
            .unwrap();
        floor.journal.close().unwrap();
        let refused = Err(RestrainError::Journal);
        assert_eq!(pause(&floor, &person, "x".into(), None).await, refused);
        assert_eq!(state(&floor), TradingState::Paused);
        assert_eq!(resume(&floor, &person, "x".into()).await, refused);
        assert_eq!(state(&floor), TradingState::Paused);
    }
}
