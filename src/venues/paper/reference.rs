//! The reference price of a market and its quotes: still, or a seeded random walk over time.
//!
//! Pure: time comes in as milliseconds, randomness as one seed. The same seed and the same instants
//! give the same walk.

use super::market::Market;

/// Length of one step of the walk, in milliseconds.
pub const STEP_MS: u64 = 100;

/// Most steps that one call takes; after a longer gap the walk goes on from the present.
const STEPS_PER_CALL_MAX: u64 = 50;

/// Square root of [`STEP_MS`] in seconds, in millionths: what one step is of one second's deviation.
const STEP_SHARE_MILLIONTHS: u128 = 316_228;

/// Half of the spread of 4 basis points, in basis points.
const HALF_SPREAD_BPS: u128 = 2;

/// A walk turns back when it is this many times away from where it started.
const RANGE_FACTOR: u64 = 4;

/// Best bid and ask of the reference book, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: u64,
    /// Best ask, above the bid.
    pub ask: u64,
}

/// The walk of one market's reference.
#[derive(Debug, Clone)]
pub struct Reference {
    start_nano: u64,
    mid_nano: u64,
    tick_nano: u64,
    volatility_bps_per_s: u32,
    last_step_ms: u64,
    random: u64,
}

impl Reference {
    /// Makes a reference that stands at `mid_nano` (billionths of a USDC) and walks from `now_ms`.
    ///
    /// `volatility_bps_per_s` is the standard deviation after one second, in basis points; 0 stands
    /// still. A `mid_nano` outside the walk's range is replaced by the market's start.
    pub fn new(
        market: &Market,
        mid_nano: u64,
        volatility_bps_per_s: u32,
        seed: u64,
        now_ms: u64,
    ) -> Self {
        let start_nano = market.reference_nano;
        let tick_nano = 10_u64.pow(9_u32.saturating_sub(market.price_decimals));
        let walks = volatility_bps_per_s > 0 && in_range(start_nano, mid_nano);
        Self {
            start_nano,
            mid_nano: if walks { mid_nano } else { start_nano },
            tick_nano,
            volatility_bps_per_s,
            last_step_ms: now_ms,
            random: seed,
        }
    }

    /// Where the reference stands, in billionths of a USDC.
    pub fn mid_nano(&self) -> u64 {
        self.mid_nano
    }

    /// The quotes around the reference, rounded outward to the tick.
    pub fn quote(&self) -> Quote {
        let mid = u128::from(self.mid_nano);
        let step = 10_000 * u128::from(self.tick_nano).max(1);
        let bid = mid * (10_000 - HALF_SPREAD_BPS) / step;
        let ask = (mid * (10_000 + HALF_SPREAD_BPS)).div_ceil(step);
        Quote {
            bid: u64::try_from(bid).unwrap_or(u64::MAX).max(1),
            ask: u64::try_from(ask).unwrap_or(u64::MAX).max(2),
        }
    }

    /// How many steps are due at `now_ms`. A clock that went back starts a new step there.
    pub fn steps_due(&mut self, now_ms: u64) -> u64 {
        if self.volatility_bps_per_s == 0 || now_ms < self.last_step_ms {
            self.last_step_ms = now_ms;
            return 0;
        }
        let due = (now_ms - self.last_step_ms) / STEP_MS;
        if due > STEPS_PER_CALL_MAX {
            self.last_step_ms = now_ms;
            return STEPS_PER_CALL_MAX;
        }
        self.last_step_ms += due * STEP_MS;
        due
    }

    /// Walks one step up or down, by one coin.
    pub fn step(&mut self) {
        let mid = u128::from(self.mid_nano);
        let deviation = mid * u128::from(self.volatility_bps_per_s) * STEP_SHARE_MILLIONTHS;
        let size = u64::try_from(deviation / 10_000_000_000).unwrap_or(u64::MAX);
        let (up, down) = (
            self.mid_nano.saturating_add(size),
            self.mid_nano.saturating_sub(size),
        );
        let (wanted, other) = if self.next_bit() {
            (up, down)
        } else {
            (down, up)
        };
        self.mid_nano = [wanted, other]
            .into_iter()
            .find(|next| in_range(self.start_nano, *next))
            .unwrap_or(self.start_nano);
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014); its top bit.
    fn next_bit(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 63 == 1
    }
}

fn in_range(start_nano: u64, nano: u64) -> bool {
    (start_nano / RANGE_FACTOR..=start_nano.saturating_mul(RANGE_FACTOR)).contains(&nano)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venues::paper::market::MARKETS;

    fn walking(seed: u64) -> Reference {
        Reference::new(&MARKETS[0], MARKETS[0].reference_nano, 100, seed, 0)
    }

    #[test]
    fn the_quotes_stand_outward_on_the_tick() {
        let quotes = MARKETS
            .iter()
            .map(|m| Reference::new(m, m.reference_nano, 0, 0, 0).quote());
        let expected = [
            Quote {
                bid: 2499,
                ask: 2501,
            },
            Quote {
                bid: 249_950,
                ask: 250_050,
            },
        ];
        assert_eq!(quotes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_still_reference_never_steps() {
        let mut still = Reference::new(&MARKETS[0], MARKETS[0].reference_nano, 0, 7, 0);
        assert_eq!(still.steps_due(1_000_000), 0);
    }

    #[test]
    fn steps_follow_the_clock_and_a_long_gap_is_cut() {
        let mut walk = walking(7);
        assert_eq!(walk.steps_due(STEP_MS - 1), 0);
        assert_eq!(walk.steps_due(STEP_MS), 1);
        assert_eq!(walk.steps_due(STEP_MS * 4 + 50), 3);
        assert_eq!(walk.steps_due(u64::MAX), STEPS_PER_CALL_MAX);
        assert_eq!(walk.steps_due(0), 0);
    }

    #[test]
    fn the_same_seed_walks_the_same_way_and_another_does_not() {
        let path = |seed| {
            let mut walk = walking(seed);
            (0..64)
                .map(|_| {
                    walk.step();
                    walk.mid_nano()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(path(1), path(1));
        assert_ne!(path(1), path(2));
    }

    mod properties {
        use proptest::prelude::*;

        use super::super::*;
        use crate::venues::paper::market::MARKETS;

        proptest! {
            #[test]
            fn a_walk_stays_in_its_range_and_never_crosses(
                seed in any::<u64>(), volatility in 1_u32..=1_000, steps in 0_usize..2_000, market in 0_usize..2,
            ) {
                let market = &MARKETS[market];
                let mut walk = Reference::new(market, market.reference_nano, volatility, seed, 0);
                for _ in 0..steps {
                    walk.step();
                    prop_assert!(in_range(market.reference_nano, walk.mid_nano()));
                    let quote = walk.quote();
                    prop_assert!(quote.bid < quote.ask);
                }
            }
        }
    }
}
