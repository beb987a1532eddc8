//! What is held of one market, what it cost and what it made: exact, from its fills alone.
//!
//! The cost is kept as a total, never as an average, so that nothing is lost to a division: see
//! [`Position::fill`]. It knows no venue, no journal and no reference price.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::order::Side;

/// Decimals that the cost of a part of a position is rounded to, half to even.
pub const SHARE_DECIMALS: u32 = 12;

/// One market's position.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// What is held, signed, in base currency.
    pub size: Decimal,
    /// What that cost, in quote currency: positive for what was bought, negative for what was sold
    /// short. Zero when nothing is held.
    pub cost: Decimal,
    /// Profit made real so far, in quote currency, before fees.
    pub realised: Decimal,
    /// Fees paid so far, in quote currency; negative when the venue paid more than it took.
    pub fees: Decimal,
}

impl Position {
    /// Takes a fill in and tells the profit that it made real, in quote currency, before its fee.
    ///
    /// Average cost: a fill that makes the position smaller takes its share of the cost along, `cost ×
    /// closed ÷ held`, rounded to [`SHARE_DECIMALS`]; the rest of the cost stays with what is still
    /// held, so what rounding takes from one fill the next one gets back. At any time `realised` is
    /// exactly what was received minus what was paid plus `cost`; without a position it is the
    /// difference of the two to the last digit. A fill that goes through zero closes first, then opens
    /// at its own price.
    ///
    /// Exact as long as no amount needs more than 28 digits; beyond that amounts stay at the bound of
    /// a decimal, since a venue's nonsense must not stop the reading.
    pub fn fill(&mut self, side: Side, price: Decimal, size: Decimal, fee: Decimal) -> Decimal {
        self.fees = self.fees.saturating_add(fee);
        let signed = match side {
            Side::Buy => size,
            Side::Sell => -size,
        };
        let closed = if grows(self.size, signed) {
            Decimal::ZERO
        } else {
            size.min(self.size.abs())
        };
        let realised = if closed.is_zero() {
            Decimal::ZERO
        } else {
            // Received for what was bought, paid for what was sold short.
            let worth = price.saturating_mul(closed);
            let worth = if self.size.is_sign_negative() {
                -worth
            } else {
                worth
            };
            worth.saturating_sub(self.close(closed))
        };
        let opened = size.saturating_sub(closed);
        if !opened.is_zero() {
            self.open(if side == Side::Buy { opened } else { -opened }, price);
        }
        self.realised = self.realised.saturating_add(realised);
        realised
    }

    /// Sets the position to what the venue shows, where fills do not explain it: a deposit, a
    /// withdrawal, a correction. It makes no profit real. What goes takes its share of the cost
    /// along; what comes counts as bought or sold at `price`, the reference of that moment, else at the
    /// average cost, else at nothing.
    pub fn correct(&mut self, to: Decimal, price: Option<Decimal>) {
        let through_zero = !to.is_zero() && !grows(self.size, to);
        let price = price.or(self.average()).unwrap_or_default();
        let kept = if through_zero {
            Decimal::ZERO
        } else {
            to.abs().min(self.size.abs())
        };
        let gone = self.size.abs().saturating_sub(kept);
        if !gone.is_zero() {
            self.close(gone);
        }
        let come = to.saturating_sub(self.size);
        if !come.is_zero() {
            self.open(come, price);
        }
    }

    /// The average price of what is held, for people: rounded to [`SHARE_DECIMALS`], and nothing is
    /// reckoned with it. `None` when nothing is held.
    pub fn average(&self) -> Option<Decimal> {
        let average = self.cost.checked_div(self.size)?;
        Some(average.abs().round_dp(SHARE_DECIMALS).normalize())
    }

    /// Takes `part` (unsigned, at most what is held) away and answers with what it cost, signed.
    fn close(&mut self, part: Decimal) -> Decimal {
        let held = self.size.abs();
        let cost = if part >= held {
            self.cost
        } else {
            share(self.cost, part, held)
        };
        self.cost = self.cost.saturating_sub(cost);
        let left = held.saturating_sub(part).max(Decimal::ZERO);
        self.size = if self.size.is_sign_negative() {
            -left
        } else {
            left
        };
        if self.size.is_zero() {
            // No negative zero, and no decimals that mean nothing.
            (self.size, self.cost) = (Decimal::ZERO, Decimal::ZERO);
        }
        cost
    }

    fn open(&mut self, signed: Decimal, price: Decimal) {
        self.size = self.size.saturating_add(signed);
        self.cost = self.cost.saturating_add(signed.saturating_mul(price));
    }
}

/// Whether `more` has the direction of `held`, or nothing is held.
fn grows(held: Decimal, more: Decimal) -> bool {
    held.is_zero() || held.is_sign_negative() == more.is_sign_negative()
}

/// `cost × part ÷ whole`.
fn share(cost: Decimal, part: Decimal, whole: Decimal) -> Decimal {
    let multiplied = cost.checked_mul(part).and_then(|c| c.checked_div(whole));
    let divided = || part.checked_div(whole).and_then(|p| cost.checked_mul(p));
    let share = multiplied.or_else(divided).unwrap_or(cost);
    share.round_dp(SHARE_DECIMALS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn fill(held: &mut Position, side: Side, price: &str, size: &str) -> Decimal {
        held.fill(side, decimal(price), decimal(size), Decimal::ZERO)
    }

    #[test]
    fn profit_becomes_real_when_a_position_shrinks() {
        let mut held = Position::default();
        let mut take = |side, price, size| fill(&mut held, side, price, size);
        assert_eq!(take(Side::Buy, "100", "1"), decimal("0"));
        assert_eq!(take(Side::Buy, "200", "1"), decimal("0"));
        // Average 150: half of it goes at 160.
        assert_eq!(take(Side::Sell, "160", "1"), decimal("10"));
        // Through zero: one is closed at a loss of 50, one opens at 100.
        assert_eq!(take(Side::Sell, "100", "2"), decimal("-50"));
        assert_eq!(take(Side::Buy, "90", "1"), decimal("10"));
        assert_eq!((held.size, held.cost), (Decimal::ZERO, Decimal::ZERO));
        assert_eq!(held.realised, decimal("-30"));
    }

    #[test]
    fn what_a_division_cannot_say_exactly_is_not_lost() {
        let mut held = Position::default();
        for price in ["1", "1", "2"] {
            fill(&mut held, Side::Buy, price, "1");
        }
        // A third of 4 has no end. It is rounded, and the rest stays with what is held.
        assert_eq!(
            fill(&mut held, Side::Sell, "2", "1"),
            decimal("0.666666666667")
        );
        assert_eq!(held.cost, decimal("2.666666666667"));
        assert_eq!(held.average(), Some(decimal("1.333333333334")));
        fill(&mut held, Side::Sell, "2", "1");
        fill(&mut held, Side::Sell, "2", "1");
        assert_eq!(held.realised, decimal("2"));
    }

    #[test]
    fn fees_add_up_and_are_no_part_of_the_profit() {
        let mut held = Position::default();
        held.fill(Side::Buy, decimal("1"), decimal("1"), decimal("0.0005"));
        held.fill(Side::Sell, decimal("2"), decimal("1"), decimal("-0.0001"));
        assert_eq!(
            (held.realised, held.fees),
            (decimal("1"), decimal("0.0004"))
        );
    }

    #[test]
    fn a_correction_makes_no_profit_real() {
        let mut held = Position::default();
        fill(&mut held, Side::Buy, "100", "4");
        // One goes, with its share of the cost.
        held.correct(decimal("3"), Some(decimal("500")));
        assert_eq!((held.size, held.cost), (decimal("3"), decimal("300")));
        // One comes, at the reference; another, where there is none, at the average.
        held.correct(decimal("4"), Some(decimal("140")));
        assert_eq!((held.size, held.cost), (decimal("4"), decimal("440")));
        held.correct(decimal("5"), None);
        assert_eq!((held.size, held.cost), (decimal("5"), decimal("550")));
        // Through zero.
        held.correct(decimal("-2"), Some(decimal("90")));
        assert_eq!((held.size, held.cost), (decimal("-2"), decimal("-180")));
        held.correct(Decimal::ZERO, None);
        assert_eq!(held, Position::default());
        held.correct(decimal("1"), None);
        assert_eq!((held.size, held.cost), (decimal("1"), decimal("0")));
    }

    #[test]
    fn no_amount_is_too_large_to_be_taken() {
        let mut held = Position::default();
        for side in [Side::Buy, Side::Sell, Side::Sell, Side::Buy] {
            held.fill(side, Decimal::MAX, Decimal::MAX, Decimal::MAX);
            held.correct(Decimal::MIN, Some(Decimal::MAX));
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        /// Each unit that is held, with its price: no average, no division.
        #[derive(Default)]
        struct Naive {
            received: i128,
            size: i128,
            /// Cost of what is held as a fraction.
            cost: (i128, i128),
            realised: (i128, i128),
        }

        fn add((a, b): (i128, i128), (c, d): (i128, i128)) -> (i128, i128) {
            let (n, m) = (a * d + c * b, b * d);
            let mut g = (n.abs(), m);
            while g.1 != 0 {
                g = (g.1, g.0 % g.1);
            }
            let g = g.0.max(1);
            (n / g, m / g)
        }

        impl Naive {
            /// One unit at a time.
            fn unit(&mut self, buys: bool, price: i128) {
                let sign = if buys { 1 } else { -1 };
                self.received -= sign * price;
                if self.size * sign >= 0 {
                    self.cost = add(self.cost, (sign * price, 1));
                } else {
                    let held = self.size.abs();
                    let part = add((0, 1), (self.cost.0, self.cost.1 * held));
                    self.cost = add(self.cost, (-part.0, part.1));
                    self.realised = add(self.realised, add((-sign * price, 1), (-part.0, part.1)));
                }
                self.size += sign;
            }
        }

        /// Within the rounding of so many fills.
        fn near(exact: (i128, i128), kept: Decimal) -> bool {
            let exact = Decimal::from(exact.0) / Decimal::from(exact.1);
            (exact - kept).abs() <= Decimal::new(1, 9)
        }

        proptest! {
            #[test]
            fn position_profit_and_cost_are_those_of_a_naive_book(
                fills in prop::collection::vec((any::<bool>(), 1..9_i64, 1..4_i64, -3..9_i64), 1..14),
            ) {
                let (mut held, mut fees) = (Position::default(), 0);
                let mut naive = Naive { cost: (0, 1), realised: (0, 1), ..Naive::default() };
                let mut told = Decimal::ZERO;
                for (buys, price, size, fee) in fills {
                    let side = if buys { Side::Buy } else { Side::Sell };
                    let [price_, size_, fee_] = [price, size, fee].map(Decimal::from);
                    told += held.fill(side, price_, size_, fee_);
                    for _ in 0..size {
                        naive.unit(buys, price.into());
                    }
                    fees += fee;
                    // Exact, whatever was rounded.
                    prop_assert_eq!(held.size, Decimal::from(naive.size));
                    prop_assert_eq!(held.fees, Decimal::from(fees));
                    prop_assert_eq!(held.realised, Decimal::from(naive.received) + held.cost);
                    prop_assert_eq!(held.realised, told);
                    prop_assert!(near(naive.realised, held.realised));
                    prop_assert!(near(naive.cost, held.cost));
                    if held.size.is_zero() {
                        prop_assert_eq!(held.cost, Decimal::ZERO);
                    }
                }
            }
        }
    }
}
