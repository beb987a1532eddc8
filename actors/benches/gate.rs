//! What the rules cost: one `Gate::admit` of an order that passes and of one that breaks four rules,
//! beside a bare map lookup with three decimal comparisons.
//!
//! Each call is timed alone, so that the slowest can be told; reading the clock for that is part of
//! each figure and has a line of its own. Giving a reservation back is not part of admitting.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod desk;
mod measure;

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;

use flashguard_actors::domain::denial::Denials;
use flashguard_actors::domain::order::OrderRequest;
use flashguard_actors::gate::{Admitted, codes};
use rust_decimal::Decimal;

use desk::{Desk, SYMBOL, buy};
use measure::{Figures, head, rounds};

const ROUNDS: usize = 100_000;
/// The bare loop is too short to be timed one call at a time.
const BARE_CALLS: u32 = 1_000;
/// Orders that are open meanwhile, each of 25 USDC.
const OPEN_ORDERS: usize = 50;

/// What the bare loop compares with.
struct Bounds {
    price: Decimal,
    size: Decimal,
    notional: Decimal,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut desk = Desk::new()?;
    let (good, bad) = (buy(2_500, 100), buy(3_000, 50_000));
    let _open = open_orders(&mut desk, &good)?;
    let denials = match admit(&mut desk, &bad) {
        Ok(_) => return Err("the bad order passed".into()),
        Err(denials) => codes(&denials.broken).join(", "),
    };
    let bounds = HashMap::from([(
        SYMBOL.to_owned(),
        Bounds {
            price: Decimal::ONE,
            size: Decimal::ONE_THOUSAND,
            notional: Decimal::ONE_THOUSAND,
        },
    )]);

    let mut bare = Figures::default();
    for _ in 0..rounds(ROUNDS / 100) {
        bare.round(BARE_CALLS, || within(&bounds, black_box(&good)));
    }
    let [mut clock, mut admitted, mut denied] = [(); 3].map(|()| Figures::default());
    for _ in 0..rounds(ROUNDS) {
        clock.round(1, || ());
        admitted.round(1, || admit(&mut desk, black_box(&good)));
        denied.round(1, || admit(&mut desk, black_box(&bad)));
    }

    head("gate");
    bare.print("bare lookup and three comparisons", &bare);
    clock.print("reading the clock, in each figure below", &bare);
    admitted.print("admitted", &bare);
    denied.print("denied with four reasons", &bare);
    println!("denied: {denials}");
    Ok(())
}

/// Takes a part of the room, so that the gate has something to add up.
fn open_orders(desk: &mut Desk, order: &OrderRequest) -> Result<Vec<Admitted>, String> {
    (0..OPEN_ORDERS)
        .map(|_| admit(desk, order).map_err(|denials| format!("{denials:?}")))
        .collect()
}

fn admit(desk: &mut Desk, order: &OrderRequest) -> Result<Admitted, Denials> {
    let (gate, client) = (desk.gate.clone(), desk.client.clone());
    gate.admit(&desk.asked(&client, order))
}

fn within(bounds: &HashMap<String, Bounds>, order: &OrderRequest) -> bool {
    let priced = bounds.get(&order.symbol).zip(order.terms.price());
    priced.is_some_and(|(bounds, price)| {
        price <= bounds.price && order.size <= bounds.size && price * order.size <= bounds.notional
    })
}
