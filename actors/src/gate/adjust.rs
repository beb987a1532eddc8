//! Limits that people may change while the service runs: which they are, and which way is tighter.
//!
//! Pure. A change is a whole set of adjustments over what the settings say; the settings' value
//! holds again where an adjustment is taken away. Nothing is published or journaled here.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::Limits;

/// Adjustments by the name of the setting, such as `gate.position_limit_usdc`.
pub type Adjustments = BTreeMap<String, Decimal>;

/// One limit that may be adjusted. Of all of them the lower value is the tighter one.
pub struct Adjustable {
    /// The name of its setting.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Least and most, as the settings have them.
    pub range: (&'static str, &'static str),
    /// Whole numbers only.
    pub whole: bool,
    get: fn(&Limits) -> Decimal,
    set: fn(&mut Limits, Decimal),
}

macro_rules! adjustable {
    ($name:literal, $unit:literal, $range:expr, $field:ident: Decimal) => {
        Adjustable {
            name: $name,
            unit: $unit,
            range: $range,
            whole: false,
            get: |limits| limits.$field,
            set: |limits, value| limits.$field = value,
        }
    };
    ($name:literal, $unit:literal, $range:expr, $field:ident: $whole:ident) => {
        Adjustable {
            name: $name,
            unit: $unit,
            range: $range,
            whole: true,
            get: |limits| Decimal::from(limits.$field),
            set: |limits, value| {
                if let Some(value) = value.$whole() {
                    limits.$field = value;
                }
            },
        }
    };
}

const USDC: (&str, &str) = ("1", "1000000000");
const COUNT: (&str, &str) = ("1", "1000000");

/// Every limit that may be adjusted.
pub const ADJUSTABLE: &[Adjustable] = &[
    adjustable!("gate.order_rate_per_s", "orders/s", COUNT, order_rate_per_s: to_u32),
    adjustable!("gate.order_rate_burst", "orders", COUNT, order_rate_burst: to_u32),
    adjustable!("gate.position_limit_usdc", "USDC", USDC, position_limit_usdc: Decimal),
    adjustable!("gate.order_notional_max_usdc", "USDC", USDC, order_notional_max_usdc: Decimal),
    adjustable!("gate.open_orders_max", "orders", COUNT, open_orders_max: to_usize),
    adjustable!("gate.gross_exposure_max_usdc", "USDC", USDC, gross_exposure_max_usdc: Decimal),
    adjustable!("gate.orders_in_doubt_max", "orders", ("0", "1000000"), orders_in_doubt_max: to_usize),
    adjustable!("gate.reference_max_age_ms", "ms", ("100", "60000"), reference_max_age_ms: to_u64),
    adjustable!("gate.price_collar_soft_pct", "per cent", ("0.01", "50"), price_collar_soft_pct: Decimal),
    adjustable!("gate.price_collar_hard_pct", "per cent", ("0.01", "50"), price_collar_hard_pct: Decimal),
];

/// Why a value is not one of this limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotALimit {
    /// There is no such limit, or it cannot be adjusted while the service runs.
    #[error("no limit of this name can be changed while the service runs")]
    Unknown,
    /// It must be a whole number.
    #[error("it is not a whole number")]
    NotWhole,
    /// It is out of its range.
    #[error("it is out of range")]
    OutOfRange,
}

/// The limit of that name.
pub fn adjustable(name: &str) -> Option<&'static Adjustable> {
    ADJUSTABLE.iter().find(|one| one.name == name)
}

impl Adjustable {
    /// Its value in `limits`.
    pub fn of(&self, limits: &Limits) -> Decimal {
        (self.get)(limits)
    }

    /// Whether it may have this value.
    ///
    /// # Errors
    ///
    /// [`NotALimit::NotWhole`], [`NotALimit::OutOfRange`].
    pub fn check(&self, value: Decimal) -> Result<(), NotALimit> {
        if self.whole && !value.fract().is_zero() {
            return Err(NotALimit::NotWhole);
        }
        let bound = |text| Decimal::from_str_exact(text).ok();
        let (least, most) = (bound(self.range.0), bound(self.range.1));
        let inside = least.is_some_and(|least| least <= value) && most.is_some_and(|m| value <= m);
        inside.then_some(()).ok_or(NotALimit::OutOfRange)
    }
}

/// `settings` with `adjustments` over them, as version `version`. What is not adjustable or out of
/// its range stays as the settings have it.
pub fn adjusted(settings: &Limits, adjustments: &Adjustments, version: u64) -> Limits {
    let mut limits = settings.clone();
    for (name, value) in adjustments {
        if let Some(one) = adjustable(name).filter(|one| one.check(*value).is_ok()) {
            (one.set)(&mut limits, *value);
        }
    }
    limits.version = version;
    limits
}

/// The names of limits that `next` has looser than `now`.
pub fn loosened(now: &Limits, next: &Limits) -> Vec<&'static str> {
    let looser = |one: &&Adjustable| one.of(next) > one.of(now);
    ADJUSTABLE
        .iter()
        .filter(looser)
        .map(|one| one.name)
        .collect()
}

/// Every adjustable limit's value.
pub fn values(limits: &Limits) -> Adjustments {
    let value = |one: &Adjustable| (one.name.to_owned(), one.of(limits).normalize());
    ADJUSTABLE.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjust(name: &str, value: &str) -> Adjustments {
        [(name.to_owned(), Decimal::from_str_exact(value).unwrap())].into()
    }

    #[test]
    fn every_limit_reads_back_what_it_was_set_to() {
        let settings = Limits::default();
        for one in ADJUSTABLE {
            let value = one.range.0;
            let limits = adjusted(&settings, &adjust(one.name, value), 7);
            let expected = Decimal::from_str_exact(value).unwrap();
            assert_eq!(
                (one.of(&limits), limits.version),
                (expected, 7),
                "{}",
                one.name
            );
            let others = ADJUSTABLE.iter().filter(|other| other.name != one.name);
            for other in others {
                assert_eq!(other.of(&limits), other.of(&settings), "{}", other.name);
            }
        }
    }

    #[test]
    fn a_value_out_of_its_range_or_not_whole_is_refused_and_changes_nothing() {
        let one = adjustable("gate.open_orders_max").unwrap();
        let check = |text| one.check(Decimal::from_str_exact(text).unwrap());
        assert_eq!(check("1"), Ok(()));
        assert_eq!(check("1000000"), Ok(()));
        assert_eq!(check("0"), Err(NotALimit::OutOfRange));
        assert_eq!(check("1000001"), Err(NotALimit::OutOfRange));
        assert_eq!(check("1.5"), Err(NotALimit::NotWhole));
        let settings = Limits::default();
        for wrong in [adjust("gate.open_orders_max", "0"), adjust("gate.x", "1")] {
            assert_eq!(adjusted(&settings, &wrong, 1), settings);
        }
    }

    #[test]
    fn only_a_higher_value_is_looser() {
        let now = Limits::default();
        let next = |value| adjusted(&now, &adjust("gate.position_limit_usdc", value), 2);
        assert!(loosened(&now, &next("2000")).is_empty());
        assert!(loosened(&now, &next("1999")).is_empty());
        assert_eq!(
            loosened(&now, &next("2000.01")),
            ["gate.position_limit_usdc"]
        );
    }
}
