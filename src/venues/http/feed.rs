//! Reads the messages of the venue's feed. As with answers: a message is read whole or not at all.

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::market::Symbol;
use flashguard_actors::domain::order::Side;
use flashguard_actors::ports::venue::{FeedMessage, FeedNews, Quote, Trade, VenueError};
use rust_decimal::Decimal;
use serde::Deserialize;

use super::answers::{RawFill, fill, parse, positive, unreadable};

#[derive(Deserialize)]
struct RawMessage {
    seq: u64,
    #[serde(flatten)]
    news: RawNews,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum RawNews {
    Book {
        symbol: Symbol,
        bid: Option<String>,
        ask: Option<String>,
        ts: u64,
    },
    Trade {
        symbol: Symbol,
        side: Side,
        price: String,
        quantity: String,
        ts: u64,
    },
    Fill(RawFill),
}

/// Its number and its time, when the rest is of a kind that is not known here.
#[derive(Deserialize)]
struct RawHead {
    seq: u64,
    r#type: String,
    #[serde(default)]
    ts: Option<u64>,
}

/// Reads one message.
pub fn message(text: &str) -> Result<FeedMessage, VenueError> {
    let head: RawHead = parse(text.as_bytes())?;
    if !["book", "trade", "fill"].contains(&head.r#type.as_str()) {
        let ts = head
            .ts
            .ok_or_else(|| unreadable("ts is missing".to_owned()))?;
        return Ok(FeedMessage {
            seq: head.seq,
            sent: instant(ts)?,
            news: FeedNews::Other,
        });
    }
    let RawMessage { seq, news } = parse(text.as_bytes())?;
    let (sent, news) = match news {
        RawNews::Book {
            symbol,
            bid,
            ask,
            ts,
        } => {
            let best = |name: &str, price: Option<String>| {
                price.map_or(Ok(Decimal::ZERO), |price| positive(name, &price))
            };
            let quote = Quote {
                bid: best("bid", bid)?,
                ask: best("ask", ask)?,
            };
            (instant(ts)?, FeedNews::Book { symbol, quote })
        }
        RawNews::Trade {
            symbol,
            side,
            price,
            quantity,
            ts,
        } => {
            let trade = Trade {
                side,
                price: positive("price", &price)?,
                size: positive("quantity", &quantity)?,
            };
            (instant(ts)?, FeedNews::Trade { symbol, trade })
        }
        RawNews::Fill(raw) => {
            let fill = fill(raw)?;
            (fill.at, FeedNews::Fill(Box::new(fill)))
        }
    };
    Ok(FeedMessage { seq, sent, news })
}

fn instant(ms: u64) -> Result<UnixMicros, VenueError> {
    let at = ms.checked_mul(1_000).map(UnixMicros);
    at.ok_or_else(|| unreadable("ts is not an instant".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> FeedMessage {
        message(text).unwrap()
    }

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn each_kind_of_message_is_read_as_the_venue_writes_it() {
        let book = read(
            r#"{"seq":1,"type":"book","symbol":"SEI/USDC","bid":"0.2499","ask":null,"ts":1795532739944}"#,
        );
        let quote = Quote {
            bid: decimal("0.2499"),
            ask: Decimal::ZERO,
        };
        let symbol = Symbol::parse("SEI/USDC").unwrap();
        assert_eq!((book.seq, book.sent.as_millis()), (1, 1_795_532_739_944));
        assert_eq!(
            book.news,
            FeedNews::Book {
                symbol: symbol.clone(),
                quote
            }
        );
        let trade = read(
            r#"{"seq":3,"type":"trade","symbol":"SEI/USDC","side":"buy","price":"0.2501","quantity":"100","ts":9}"#,
        );
        let expected = Trade {
            side: Side::Buy,
            price: decimal("0.2501"),
            size: decimal("100"),
        };
        assert_eq!(
            trade.news,
            FeedNews::Trade {
                symbol,
                trade: expected
            }
        );
        let fill = read(
            r#"{"seq":4,"type":"fill","fill_id":"7","order_id":"P1","client_order_id":"c-1","symbol":"SEI/USDC","side":"buy","price":"0.2501","quantity":"100","fee":"0.012505","liquidity":"taker","at_ms":1795532739951}"#,
        );
        assert_eq!((fill.seq, fill.sent.as_millis()), (4, 1_795_532_739_951));
        let FeedNews::Fill(fill) = fill.news else {
            panic!("a fill")
        };
        assert_eq!((fill.fill_id.as_str(), fill.order_id), ("7", None));
        assert_eq!(fill.fee, decimal("0.012505"));
        let other = read(r#"{"seq":5,"type":"weather","ts":9,"rain":true}"#);
        assert_eq!((other.seq, other.news), (5, FeedNews::Other));
    }

    #[test]
    fn a_message_that_does_not_say_what_it_should_is_not_read() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"seq":-1,"type":"weather","ts":9}"#,
            r#"{"seq":1,"type":"weather"}"#,
            r#"{"type":"book","symbol":"SEI/USDC","bid":"1","ask":"2","ts":1}"#,
            r#"{"seq":1,"type":"book","symbol":"sei","bid":"1","ask":"2","ts":1}"#,
            r#"{"seq":1,"type":"book","symbol":"SEI/USDC","bid":"1e3","ask":"2","ts":1}"#,
            r#"{"seq":1,"type":"book","symbol":"SEI/USDC","bid":"-1","ask":"2","ts":1}"#,
            r#"{"seq":1,"type":"book","symbol":"SEI/USDC","bid":"1","ask":"2","ts":18446744073709551615}"#,
            r#"{"seq":1,"type":"trade","symbol":"SEI/USDC","side":"up","price":"1","quantity":"1","ts":1}"#,
            r#"{"seq":1,"type":"fill","fill_id":"","order_id":"P1","symbol":"SEI/USDC","side":"buy","price":"1","quantity":"1","fee":"0","at_ms":1}"#,
        ] {
            let read = message(bad);
            assert!(
                matches!(read, Err(VenueError::Unreadable { .. })),
                "{bad}: {read:?}"
            );
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn no_text_makes_it_panic(text in ".{0,200}") {
                let _ = message(&text);
            }
        }
    }
}
