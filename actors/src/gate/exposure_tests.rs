//! The bookkeeping against a model that adds everything up from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::testing::{d, id, sei};
use super::{Exposure, Holder};
use crate::domain::order::Side;

/// What the exposure must add up to, computed from scratch.
#[derive(Default)]
struct Model {
    position: Decimal,
    open: BTreeMap<u128, Open>,
}

struct Open {
    side: Side,
    price: Decimal,
    left: Decimal,
    in_doubt: bool,
    ended: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u128, bool, u32, u32),
    Release(u128),
    Fill(u128, u32),
    ForeignFill(bool, u32),
    Doubt(u128),
    Answered(u128),
    Ended(u128),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_u128..6;
    prop::collection::vec(
        prop_oneof![
            (id.clone(), any::<bool>(), 1_u32..9, 1_u32..50)
                .prop_map(|(id, buy, p, s)| Step::Reserve(id, buy, p, s)),
            id.clone().prop_map(Step::Release),
            (id, 1_u32..60).prop_map(|(id, s)| Step::Fill(id, s)),
            (any::<bool>(), 1_u32..9).prop_map(|(buy, s)| Step::ForeignFill(buy, s)),
            (0_u128..6).prop_map(Step::Doubt),
            (0_u128..6).prop_map(Step::Answered),
            (0_u128..6).prop_map(Step::Ended),
        ],
        0..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Invariant: sums kept step by step equal the sums over what is open, after any steps.
    #[test]
    fn exposure_always_adds_up(steps in steps()) {
        let mut exposure = Exposure::default();
        let mut model = Model::default();
        let side = |buy| if buy { Side::Buy } else { Side::Sell };
        for step in steps {
            match step {
                Step::Reserve(n, buy, price, size) => {
                    let (price, size) = (Decimal::from(price), Decimal::from(size));
                    exposure.hold(Holder::Ours(id(n)), &sei(), side(buy), price, size);
                    model.open.entry(n).or_insert(Open {
                        side: side(buy), price, left: size, in_doubt: false, ended: false,
                    });
                }
                Step::Release(n) => {
                    exposure.release(&Holder::Ours(id(n)));
                    model.open.remove(&n);
                }
                Step::Fill(n, size) => {
                    let Some(open) = model.open.get_mut(&n) else { continue };
                    let size = Decimal::from(size).min(open.left);
                    exposure.fill(Some(&Holder::Ours(id(n))), &sei(), open.side, size);
                    model.position += if open.side == Side::Buy { size } else { -size };
                    open.left -= size;
                    open.in_doubt = false;
                    if open.left.is_zero() { model.open.remove(&n); }
                }
                Step::ForeignFill(buy, size) => {
                    exposure.fill(None, &sei(), side(buy), Decimal::from(size));
                    model.position += Decimal::from(size) * if buy { d("1") } else { d("-1") };
                }
                Step::Doubt(n) => {
                    exposure.doubt(&Holder::Ours(id(n)));
                    if let Some(open) = model.open.get_mut(&n) { open.in_doubt = !open.ended; }
                }
                Step::Answered(n) => {
                    exposure.answered(&Holder::Ours(id(n)));
                    if let Some(open) = model.open.get_mut(&n) { open.in_doubt = false; }
                }
                Step::Ended(n) => {
                    exposure.ended(&Holder::Ours(id(n)));
                    if let Some(open) = model.open.get_mut(&n) { (open.ended, open.in_doubt) = (true, false); }
                }
            }
            let of = |wanted| model.open.values().filter(move |open| open.side == wanted);
            let value = |side| of(side).map(|open| open.price * open.left).sum::<Decimal>();
            let size = |side| of(side).map(|open| open.left).sum::<Decimal>();
            let live = |side| of(side).filter(|open| !open.ended).map(|open| open.price);
            let market = exposure.market(&sei());
            prop_assert_eq!(market.position, model.position);
            prop_assert_eq!(market.open_buys, value(Side::Buy));
            prop_assert_eq!(market.open_sells, value(Side::Sell));
            prop_assert_eq!(market.open_buys_size, size(Side::Buy));
            prop_assert_eq!(market.open_sells_size, size(Side::Sell));
            prop_assert_eq!(exposure.open_orders(), model.open.len());
            prop_assert_eq!(exposure.in_doubt(), model.open.values().filter(|open| open.in_doubt).count());
            let stored = serde_json::to_vec(&exposure).unwrap();
            let read: Exposure = serde_json::from_slice(&stored).unwrap();
            prop_assert_eq!(&read, &exposure);
            prop_assert_eq!(read.in_doubt(), exposure.in_doubt());
            for side in [Side::Buy, Side::Sell] {
                prop_assert_eq!(read.best(&sei(), side), exposure.best(&sei(), side));
            }
            let best = |side| exposure.best(&sei(), side).map(|(price, _)| price);
            prop_assert_eq!(best(Side::Buy), live(Side::Buy).max());
            prop_assert_eq!(best(Side::Sell), live(Side::Sell).min());
        }
    }
}
