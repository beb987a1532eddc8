//! The state of trading as JSON: the same for HTTP and for the control socket.

use flashguard_actors::domain::market::Symbol;
use flashguard_actors::domain::order::Side;
use flashguard_actors::gate::Reading;
use flashguard_actors::supervision::ChildState;
use flashguard_actors::system::Handle;
use serde_json::{Value, json};

/// `GET /trading/status`.
pub fn of(system: &Handle) -> Value {
    let status = system.status();
    let actors: Vec<Value> = status
        .actors
        .iter()
        .map(|actor| {
            let state = match actor.state {
                ChildState::Up => "up",
                ChildState::Restarting => "restarting",
                ChildState::Gone => "gone",
            };
            let last_exit = actor
                .last_exit
                .as_ref()
                .map(flashguard_actors::supervision::Exit::code);
            json!({
                "name": actor.name.to_string(),
                "state": state,
                "restarts": actor.restarts,
                "last_exit": last_exit,
            })
        })
        .collect();
    json!({
        "status": status.state.as_str(),
        "epoch": status.epoch,
        "since": status.since_us.map(|since| since.to_rfc3339()),
        "reason": status.reason,
        "by": status.by,
        "held_by": status.held_by,
        "actors": actors,
        "feed": feed(system),
        "markets": markets(system),
    })
}

/// How the venue's feed is: `live`, `re_read` (what it may have missed is being read), `away` (the venue
/// is polled), or `none` (it has no feed and is polled).
fn feed(system: &Handle) -> Value {
    let floor = system.floor();
    let feed = floor.feed.lock();
    let (gaps, connections) = feed.counts();
    let state = feed.phase(!floor.latch.state().halted);
    json!({"state": state.as_str(), "connections": connections, "gaps": gaps})
}

fn markets(system: &Handle) -> Vec<Value> {
    let gate = &system.floor().gate;
    let references = gate.references();
    gate.markets()
        .values()
        .map(|market| {
            json!({
                "symbol": market.symbol,
                "tick": market.tick,
                "lot": market.lot,
                "least_notional": market.least_notional,
                "reference": references.get(&market.symbol).and_then(Reading::middle),
                "last_trade": last_trade(system, &market.symbol),
            })
        })
        .collect()
}

fn last_trade(system: &Handle, symbol: &Symbol) -> Option<Value> {
    let (trade, at) = system.floor().feed.lock().last_trade(symbol)?;
    Some(json!({
        "side": trade.side,
        "price": trade.price.normalize(),
        "size": trade.size.normalize(),
        "at": at.to_rfc3339(),
    }))
}

/// Every position, with what open orders could make of it.
pub fn positions(system: &Handle) -> Vec<Value> {
    let gate = &system.floor().gate;
    let (references, limits) = (gate.references(), gate.limits());
    let held: Vec<_> = gate.with_exposure(|exposure| {
        exposure
            .markets()
            .map(|(symbol, sums)| (symbol.clone(), sums.clone()))
            .collect()
    });
    let accounts = system.floor().positions.lock().clone();
    held.iter()
        .map(|(symbol, sums)| {
            let account = accounts.get(symbol).cloned().unwrap_or_default();
            let reference = references.get(symbol).and_then(Reading::middle);
            let value = reference.and_then(|price| sums.position.checked_mul(price));
            let after = |side| {
                let projected = reference
                    .and_then(|price| sums.projected(side, price, rust_decimal::Decimal::ZERO));
                projected.map(|value| value.normalize())
            };
            json!({
                "symbol": symbol,
                "size": sums.position.normalize(),
                "average_price": account.average(),
                "cost": account.cost.normalize(),
                "realised_profit": account.realised.normalize(),
                "fees": account.fees.normalize(),
                "reference": reference,
                "value_usdc": value.map(|value| value.normalize()),
                "open_buys_usdc": sums.open_buys.normalize(),
                "open_sells_usdc": sums.open_sells.normalize(),
                "after_buys_usdc": after(Side::Buy),
                "after_sells_usdc": after(Side::Sell),
                "limit_usdc": limits.position_limit_usdc,
            })
        })
        .collect()
}
