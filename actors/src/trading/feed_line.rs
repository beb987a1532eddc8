//! The line to the venue's feed: opened, listened to, opened again. What each message means is decided
//! in `feed_state`; fills are counted before the next message is heard, so that a journal that is slow
//! slows the feed down instead of filling the memory.

use std::sync::Arc;
use std::time::Duration;

use super::feed_state::Heard;
use super::fills::{self, Told};
use super::floor::Floor;
use crate::domain::market::Symbol;
use crate::ports::venue::{FeedConnection, FeedEnd, FeedMessage, FeedNews, Quote, VenueError};

/// How often it is looked for what the feed should have told, and for trading to open.
const LOOK_EVERY_MS: u64 = 250;

/// Why a connection is not listened to any more, or never was.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    NotOpened(#[from] VenueError),
    #[error(transparent)]
    Told(#[from] FeedEnd),
    #[error("{0}")]
    Distrusted(&'static str),
}

/// Listens for ever, with pauses after failures. Dropping it closes the connection.
pub async fn follow(floor: Arc<Floor>) {
    loop {
        while !floor.door.is_open() {
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        }
        let ended = listen(&floor).await;
        let mut dice = [0; 8];
        // Without randomness all waits are the shortest of their range.
        let _ = floor.entropy.fill(&mut dice);
        let now = floor.clock.boot_millis();
        let pause_ms = floor.feed.lock().ended(now, u64::from_le_bytes(dice));
        let pause_ms = match &ended {
            Ended::NotOpened(VenueError::Throttled { retry_after_ms }) => {
                pause_ms.max(retry_after_ms.unwrap_or_default())
            }
            _ => pause_ms,
        };
        tracing::warn!(why = %ended, pause_ms, "the feed is away: the venue is polled");
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

async fn listen(floor: &Floor) -> Ended {
    // SAFETY-ORDER: before the opening: what the connection can tell was counted after this.
    let counted_before = floor.fills.lock().await.counted();
    let mut connection = match floor.desk.feed().await {
        Ok(connection) => connection,
        Err(error) => return error.into(),
    };
    floor.feed.lock().opened(floor.clock.boot_millis());
    tracing::info!("the feed is open: what was missed is read");
    hear(floor, &mut *connection, counted_before).await
}

async fn hear(floor: &Floor, connection: &mut dyn FeedConnection, counted_before: u64) -> Ended {
    let mut looks = tokio::time::interval(Duration::from_millis(LOOK_EVERY_MS));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = connection.next() => match message {
                Ok(message) => {
                    if let Err(ended) = take_in(floor, message, counted_before).await {
                        return ended;
                    }
                }
                Err(end) => return end.into(),
            },
            _ = looks.tick() => {
                let overdue = floor.feed.lock().overdue(floor.clock.boot_millis());
                if let Some(what) = overdue {
                    return Ended::Distrusted(what);
                }
            }
        }
    }
}

/// Takes one message in. An error: the connection is not to be listened to any more.
async fn take_in(floor: &Floor, message: FeedMessage, counted_before: u64) -> Result<(), Ended> {
    let now = floor.clock.boot_millis();
    let (was_complete, heard) = {
        let mut feed = floor.feed.lock();
        let was_complete = feed.fills_live();
        (was_complete, feed.heard(message.seq, message.sent, now))
    };
    let as_of_boot_ms = match heard {
        Heard::Old => return Ok(()),
        Heard::Late => return Err(Ended::Distrusted("a message came much later than others")),
        Heard::Take {
            as_of_boot_ms,
            missing,
        } => {
            // Of many gaps before the re-read is done, one is told.
            if missing > 0 && was_complete {
                tracing::warn!(missing, "a gap in the feed: books and fills are read again");
            }
            as_of_boot_ms
        }
    };
    match message.news {
        FeedNews::Book { symbol, quote } => take_book(floor, &symbol, quote, as_of_boot_ms),
        FeedNews::Trade { symbol, trade } => {
            if takes_market_data(floor, &symbol) {
                floor.feed.lock().told_trade(&symbol, trade, message.sent);
            }
        }
        FeedNews::Fill(fill) => {
            let told = fills::take_told(floor, &fill, counted_before).await;
            let mut feed = floor.feed.lock();
            feed.told_fill(&fill.fill_id);
            if told == Told::Left {
                feed.left_fill();
                let why = "it is open for so long that ids were forgotten";
                return Err(Ended::Distrusted(why));
            }
        }
        FeedNews::Other => {}
    }
    Ok(())
}

/// A halt pauses the ingestion of market data (seed); other markets than the gate's are nobody's.
fn takes_market_data(floor: &Floor, symbol: &Symbol) -> bool {
    !floor.latch.state().halted && floor.gate.markets().contains_key(symbol)
}

fn take_book(floor: &Floor, symbol: &Symbol, quote: Quote, as_of_boot_ms: u64) {
    if takes_market_data(floor, symbol) {
        floor.gate.publish_quote(symbol, quote, as_of_boot_ms);
        floor.feed.lock().told_book(symbol, quote);
    }
}

#[cfg(test)]
#[path = "feed_line_tests.rs"]
mod tests;
