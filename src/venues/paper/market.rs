//! The two markets of the paper venue and their grids: ticks, lots, least notional, fees.
//!
//! Everything inside the venue counts in whole ticks and whole lots, so no amount is ever rounded;
//! decimal text exists only at its door. This module knows nothing of orders or books.

use thiserror::Error;

/// Longest decimal text that is looked at, in bytes. What is longer is malformed.
const AMOUNT_TEXT_BYTES_MAX: usize = 40;

/// Largest price that the venue takes, in whole USDC.
pub const PRICE_MAX_USDC: u64 = 1_000_000_000;

/// Largest size of one order, in whole units of the base currency.
pub const SIZE_MAX_UNITS: u64 = 1_000_000_000;

/// Fee of an order that rested, in hundredths of a percent of its notional.
pub const MAKER_FEE_BPS: u32 = 2;

/// Fee of an order that took what rested, in hundredths of a percent of its notional.
pub const TAKER_FEE_BPS: u32 = 5;

/// Decimal places of a basis point.
const BPS_DECIMALS: u32 = 4;

/// One market: its grid and where its reference starts.
#[derive(Debug, PartialEq, Eq)]
pub struct Market {
    /// Name, base before quote, as in `SEI/USDC`.
    pub symbol: &'static str,
    /// Decimal places of a price; the tick is one unit of the last place.
    pub price_decimals: u32,
    /// Decimal places of a size; the lot is one unit of the last place.
    pub size_decimals: u32,
    /// Least price times size of an order, in units of `price_decimals + size_decimals` places.
    pub least_notional_units: u128,
    /// Where the reference starts, in billionths of a USDC.
    pub reference_nano: u64,
}

/// Every market of the venue. An index into it names a market everywhere inside.
pub const MARKETS: [Market; 2] = [
    Market {
        symbol: "SEI/USDC",
        price_decimals: 4,
        size_decimals: 0,
        least_notional_units: 1_000,
        reference_nano: 250_000_000,
    },
    Market {
        symbol: "ETH/USDC",
        price_decimals: 2,
        size_decimals: 3,
        least_notional_units: 10_000,
        reference_nano: 2_500_000_000_000,
    },
];

/// Finds a market and its index by its symbol.
pub fn find(symbol: &str) -> Option<(usize, &'static Market)> {
    MARKETS
        .iter()
        .enumerate()
        .find(|(_, market)| market.symbol == symbol)
}

/// Returns the symbol of a market by its index, or an empty text for an index that names none.
pub fn symbol(index: usize) -> &'static str {
    MARKETS.get(index).map_or("", |market| market.symbol)
}

/// Why a decimal text is not an amount on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AmountError {
    /// It is not plain digits with at most one point between them.
    #[error("is not a plain decimal such as 12.5")]
    Malformed,
    /// It has more places than the grid.
    #[error("is not a multiple of the market's step")]
    OffGrid,
    /// It is zero.
    #[error("is zero")]
    Zero,
    /// It is larger than the venue takes.
    #[error("is larger than the venue takes")]
    TooLarge,
}

impl Market {
    /// The decimal text of one tick, as in `0.0001`.
    pub fn tick(&self) -> String {
        units_text(1, self.price_decimals)
    }

    /// The decimal text of one lot, as in `0.001`.
    pub fn lot(&self) -> String {
        units_text(1, self.size_decimals)
    }

    /// Decimal places of a price times a size.
    pub fn notional_decimals(&self) -> u32 {
        self.price_decimals + self.size_decimals
    }

    /// Decimal places in which fees are exact.
    pub fn fee_decimals(&self) -> u32 {
        self.notional_decimals() + BPS_DECIMALS
    }

    /// Reads a price as whole ticks, above zero.
    ///
    /// # Errors
    ///
    /// [`AmountError`], by what is wrong with the text.
    pub fn ticks(&self, price: &str) -> Result<u64, AmountError> {
        parse_units(price, self.price_decimals, PRICE_MAX_USDC)
    }

    /// Reads a size as whole lots, above zero.
    ///
    /// # Errors
    ///
    /// [`AmountError`], by what is wrong with the text.
    pub fn lots(&self, size: &str) -> Result<u64, AmountError> {
        parse_units(size, self.size_decimals, SIZE_MAX_UNITS)
    }

    /// The fee of one execution, in units of [`Market::fee_decimals`] places. Exact.
    ///
    /// With `ticks` and `lots` inside the venue's bounds the product stays far below an `i128`.
    pub fn fee_units(&self, ticks: u64, lots: u64, bps: u32) -> i128 {
        i128::from(ticks)
            .saturating_mul(i128::from(lots))
            .saturating_mul(i128::from(bps))
    }
}

/// Reads plain decimal text as units of the last of `decimals` places.
///
/// Digits and at most one point, no sign, no exponent, no spaces; zeros past the grid are taken.
///
/// # Errors
///
/// [`AmountError`], by what is wrong with the text.
pub fn parse_units(text: &str, decimals: u32, whole_max: u64) -> Result<u64, AmountError> {
    let (whole, fraction) = split(text)?;
    let scale = 10_u128.checked_pow(decimals).ok_or(AmountError::TooLarge)?;
    let fraction = fraction.trim_end_matches('0');
    let places = u32::try_from(fraction.len()).map_err(|_| AmountError::Malformed)?;
    let missing = decimals.checked_sub(places).ok_or(AmountError::OffGrid)?;
    let padded = digits(fraction)?
        .checked_mul(10_u128.checked_pow(missing).ok_or(AmountError::TooLarge)?)
        .ok_or(AmountError::TooLarge)?;
    let units = digits(whole)?
        .checked_mul(scale)
        .and_then(|whole| whole.checked_add(padded))
        .ok_or(AmountError::TooLarge)?;
    if units == 0 {
        return Err(AmountError::Zero);
    }
    if units > u128::from(whole_max).saturating_mul(scale) {
        return Err(AmountError::TooLarge);
    }
    u64::try_from(units).map_err(|_| AmountError::TooLarge)
}

/// Rewrites plain decimal text in its one canonical form: no zeros in front or at the end that can
/// be left away. This is the form that an order's signature covers.
///
/// # Errors
///
/// [`AmountError::Malformed`] when the text is not a plain decimal.
pub fn canonical(text: &str) -> Result<String, AmountError> {
    let (whole, fraction) = split(text)?;
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    Ok(if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    })
}

/// Writes units of the last of `decimals` places as canonical decimal text, with a sign if needed.
pub fn units_text(units: i128, decimals: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let magnitude = units.unsigned_abs();
    let scale = 10_u128.checked_pow(decimals).unwrap_or(u128::MAX);
    let (whole, rest) = (magnitude / scale, magnitude % scale);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let width = usize::try_from(decimals).unwrap_or(usize::MAX);
    let fraction = format!("{rest:0>width$}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

fn split(text: &str) -> Result<(&str, &str), AmountError> {
    if text.len() > AMOUNT_TEXT_BYTES_MAX {
        return Err(AmountError::Malformed);
    }
    let (whole, fraction) = match text.split_once('.') {
        None => (text, ""),
        Some((_, "")) => return Err(AmountError::Malformed),
        Some(parts) => parts,
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return Err(AmountError::Malformed);
    }
    Ok((whole, fraction))
}

fn digits(text: &str) -> Result<u128, AmountError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| AmountError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sei() -> &'static Market {
        find("SEI/USDC").unwrap().1
    }

    #[test]
    fn a_price_is_read_to_its_tick_and_written_back() {
        assert_eq!(sei().ticks("0.2510"), Ok(2510));
        assert_eq!(sei().ticks("0.25100000"), Ok(2510));
        assert_eq!(units_text(2510, 4), "0.251");
        assert_eq!(units_text(-25_000, 4), "-2.5");
        assert_eq!(units_text(0, 4), "0");
    }

    #[test]
    fn a_price_between_two_ticks_is_off_the_grid() {
        assert_eq!(sei().ticks("0.25105"), Err(AmountError::OffGrid));
        assert_eq!(sei().lots("0.5"), Err(AmountError::OffGrid));
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_malformed() {
        for text in [
            "", ".", "1.", ".5", "1e5", "-1", "+1", " 1", "1_0", "NaN", "1.2.3", "١",
        ] {
            assert_eq!(sei().ticks(text), Err(AmountError::Malformed), "{text:?}");
        }
        assert_eq!(canonical(&"1".repeat(41)), Err(AmountError::Malformed));
    }

    #[test]
    fn zero_and_more_than_the_largest_are_refused_and_the_largest_is_taken() {
        assert_eq!(sei().lots("0"), Err(AmountError::Zero));
        assert_eq!(sei().lots("1000000000"), Ok(SIZE_MAX_UNITS));
        assert_eq!(sei().lots("1000000001"), Err(AmountError::TooLarge));
        assert_eq!(sei().lots(&"9".repeat(40)), Err(AmountError::TooLarge));
    }

    #[test]
    fn a_fee_is_exact() {
        let (_, eth) = find("ETH/USDC").unwrap();
        // 2500.01 x 0.001 x 5 bps
        let fee = eth.fee_units(250_001, 1, TAKER_FEE_BPS);
        assert_eq!(units_text(fee, eth.fee_decimals()), "0.001250005");
    }

    mod properties {
        use proptest::prelude::*;

        use super::super::*;

        proptest! {
            #[test]
            fn any_text_is_read_or_refused(text in ".{0,60}", decimals in 0_u32..12) {
                let _ = parse_units(&text, decimals, SIZE_MAX_UNITS);
                let _ = canonical(&text);
            }

            #[test]
            fn what_is_written_is_read_back(units in 1_u64..=1_000_000_000_000, decimals in 0_u32..9) {
                let text = units_text(i128::from(units), decimals);
                prop_assert_eq!(parse_units(&text, decimals, u64::MAX), Ok(units));
                prop_assert_eq!(canonical(&text), Ok(text));
            }
        }
    }
}
