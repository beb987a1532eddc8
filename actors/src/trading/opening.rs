//! Opening trading after a start: the credential is proven, the venue is read, doubts are asked
//! about; only then do orders come in.

use std::sync::atomic::Ordering;

use super::doubt::{self, Doubts};
use super::floor::{Floor, StopCause};
use super::reconcile;
use super::settle;
use crate::domain::market::Symbol;
use crate::key_manager::judge_account;
use crate::ports::venue::VenueError;

/// Why trading did not open this time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// The venue does not answer: tried again.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// The credential cannot be used: halted.
    #[error("{reason}")]
    Credential {
        /// What is wrong with it.
        reason: String,
    },
    /// Orders of before the start are in doubt: asked about again until the venue, or where it cannot
    /// prove it a person, says what became of each.
    #[error("{orders} order(s) of before the start are in doubt")]
    InDoubt {
        /// How many.
        orders: usize,
    },
    /// No market of `gate.symbols` is known to the venue: tried again.
    #[error("the venue has none of the markets in gate.symbols")]
    NoMarket,
}

/// Reads everything once and opens the door. Repeatable until it succeeds.
///
/// # Errors
///
/// [`NotOpened`]; the door stays as it was.
pub async fn open_trading(floor: &Floor, doubts: &mut Doubts) -> Result<(), NotOpened> {
    // Before the venue is asked anything: what has no outcome is in doubt, and says so.
    doubt::doubt_pending(floor).await;
    let opened = read_all(floor, doubts).await;
    floor.venue_asked.store(true, Ordering::Release);
    opened
}

async fn read_all(floor: &Floor, doubts: &mut Doubts) -> Result<(), NotOpened> {
    prove_credential(floor).await?;
    floor.gate.publish_markets(floor.desk.markets().await?);
    let markets = floor.gate.markets();
    if markets.is_empty() {
        return Err(NotOpened::NoMarket);
    }
    reconcile::at_start(floor).await?;
    settle::settle(floor).await?;
    let orders = doubt::resolve_in_doubt(floor, doubts).await?;
    if orders > 0 {
        return Err(NotOpened::InDoubt { orders });
    }
    for symbol in markets.keys() {
        read_reference(floor, symbol).await?;
    }
    floor.door.open();
    let what = match floor.latch.state().halted {
        true => "the venue was read; trading stays halted",
        false => "trading is open",
    };
    tracing::info!(markets = markets.len(), "{what}");
    Ok(())
}

/// Reads a market's book and publishes it. Its age counts from the question.
///
/// # Errors
///
/// [`VenueError`] when it could not be read; the reference stays as it was.
pub async fn read_reference(floor: &Floor, symbol: &Symbol) -> Result<(), VenueError> {
    let asked = floor.feed.lock().ask();
    let asked_at = floor.clock.boot_millis();
    let quote = floor.desk.book(symbol.clone()).await?;
    floor.gate.publish_quote(symbol, quote, asked_at);
    let now = floor.clock.boot_millis();
    floor.feed.lock().read_book(&asked, symbol, quote, now);
    Ok(())
}

/// Rejected or too powerful is told apart from unreachable (seed flaws 1, 3 and 8): the first two
/// halt, the last is tried again.
async fn prove_credential(floor: &Floor) -> Result<(), NotOpened> {
    let reason = match floor.desk.account().await {
        Ok(account) => match judge_account(&account) {
            Ok(()) => return Ok(()),
            Err(problem) => problem.to_string(),
        },
        Err(VenueError::CredentialRejected) => "the venue rejected the credential".to_owned(),
        Err(error) => return Err(error.into()),
    };
    if !floor.latch.state().halted {
        (floor.stop_trading)(StopCause::Start, &reason);
    }
    Err(NotOpened::Credential { reason })
}
