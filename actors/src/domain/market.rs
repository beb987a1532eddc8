//! Markets, and prices and sizes as whole ticks and lots.

use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};

/// A market's name, such as `SEI/USDC`: 3 to 32 of `A-Z0-9`, one `/` between base and quote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Symbol(Arc<str>);

/// The text is not a market's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a symbol is BASE/QUOTE in capital letters and digits, such as SEI/USDC")]
pub struct NotASymbol;

impl Symbol {
    /// Reads a symbol.
    ///
    /// # Errors
    ///
    /// [`NotASymbol`] when the text has another shape.
    pub fn parse(text: &str) -> Result<Self, NotASymbol> {
        let ok = |part: &str| {
            (1..=15).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        match text.split_once('/') {
            Some((base, quote)) if ok(base) && ok(quote) => Ok(Self(text.into())),
            _ => Err(NotASymbol),
        }
    }

    /// The symbol as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Symbol {
    type Error = NotASymbol;
    fn try_from(text: String) -> Result<Self, NotASymbol> {
        Self::parse(&text)
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> Self {
        symbol.0.as_ref().to_owned()
    }
}

/// A price as a whole number of the market's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticks(pub u64);

/// A size as a whole number of the market's lots.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Lots(pub u64);

/// What the venue says of a market: the steps of price and size, and the least order it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    /// Its name.
    pub symbol: Symbol,
    /// The price step, in quote currency; positive.
    pub tick: Decimal,
    /// The size step, in base currency; positive.
    pub lot: Decimal,
    /// The least value of one order, in quote currency.
    pub least_notional: Decimal,
}

impl Market {
    /// `price` in ticks, or `None` when it is not a whole positive number of them.
    pub fn ticks(&self, price: Decimal) -> Option<Ticks> {
        whole_steps(price, self.tick).map(Ticks)
    }

    /// `size` in lots, or `None` when it is not a whole positive number of them.
    pub fn lots(&self, size: Decimal) -> Option<Lots> {
        whole_steps(size, self.lot).map(Lots)
    }

    /// The price of `ticks`, exact.
    pub fn price(&self, ticks: Ticks) -> Decimal {
        self.tick * Decimal::from(ticks.0)
    }

    /// The size of `lots`, exact.
    pub fn size(&self, lots: Lots) -> Decimal {
        self.lot * Decimal::from(lots.0)
    }
}

fn whole_steps(value: Decimal, step: Decimal) -> Option<u64> {
    if value <= Decimal::ZERO || step <= Decimal::ZERO {
        return None;
    }
    let steps = value.checked_div(step)?;
    (steps.fract().is_zero() && steps.checked_mul(step)? == value).then(|| steps.to_u64())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sei() -> Market {
        Market {
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            tick: Decimal::from_str_exact("0.0001").unwrap(),
            lot: Decimal::ONE,
            least_notional: Decimal::ONE,
        }
    }

    #[test]
    fn a_price_off_the_tick_has_no_ticks() {
        let d = |s| Decimal::from_str_exact(s).unwrap();
        assert_eq!(sei().ticks(d("0.2501")), Some(Ticks(2501)));
        assert_eq!(sei().ticks(d("0.25010")), Some(Ticks(2501)));
        assert_eq!(sei().ticks(d("0.25011")), None);
        assert_eq!(sei().ticks(d("0")), None);
        assert_eq!(sei().ticks(d("-0.25")), None);
        assert_eq!(sei().lots(d("0.5")), None);
        assert_eq!(sei().ticks(Decimal::MAX), None);
    }

    #[test]
    fn a_symbol_is_base_slash_quote_in_capitals() {
        assert!(Symbol::parse("SEI/USDC").is_ok());
        for bad in [
            "",
            "SEI",
            "sei/usdc",
            "SEI/",
            "/USDC",
            "A/B/C",
            "SEI USDC",
            "SEI/USDC\n",
        ] {
            assert_eq!(Symbol::parse(bad), Err(NotASymbol), "{bad:?}");
        }
    }
}
