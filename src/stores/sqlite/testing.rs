//! A journal on a real disk, for the tests of this crate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::domain::clock::{ManualClock, SeededEntropy, UnixMicros};
use flashguard_actors::domain::identity::{Client, Principal};
use flashguard_actors::domain::market::{Lots, Symbol, Ticks};
use flashguard_actors::domain::order::{
    ClientOrderId, Order, OrderId, OrderStatus, OrderType, Side, VenueOrderId,
};
use flashguard_actors::journal::checkpoint::CheckpointSigner;
use flashguard_actors::journal::record::{Entry, Fact, Private, SignatureFact};
use flashguard_actors::journal::writer::{Hooks, Journal, WriterSettings};
use flashguard_actors::ports::journal::{Identity, Meta};
use rust_decimal::Decimal;

use super::journal::{self, SqliteStore};

pub(crate) const LONG: Duration = Duration::from_secs(30);
pub(crate) const START: UnixMicros = UnixMicros(1_795_519_533_000_000);
pub(crate) const ORIGIN: &str = "flashguard.test/sqlite";

pub(crate) fn signer() -> CheckpointSigner {
    CheckpointSigner::from_seed(ORIGIN, &[5; 32]).unwrap()
}

pub(crate) fn meta() -> Meta {
    Meta {
        origin: ORIGIN.into(),
        verifier_key: signer().key().to_string(),
    }
}

pub(crate) fn open(path: &Path) -> (Journal, Arc<ManualClock>) {
    if !path.exists() {
        journal::create(path, &meta()).unwrap();
    }
    let store = Box::new(SqliteStore::open(path).unwrap());
    let clock = ManualClock::at(START);
    let entropy = SeededEntropy::new(11);
    let settings = WriterSettings {
        reserve_bytes: 0,
        ..WriterSettings::default()
    };
    let opened = Journal::open(
        store,
        signer(),
        clock.clone(),
        entropy,
        settings,
        Hooks::none(),
    );
    (opened.unwrap().0, clock)
}

pub(crate) fn note(epoch: u64) -> Entry {
    Entry::of(
        "test",
        Fact::HaltReasonAdded {
            epoch,
            trigger: "http".into(),
        },
    )
    .by(Principal::local(7))
    .about(format!("req-{epoch}"))
    .with(Private {
        reason: Some(format!("because of {epoch}")),
        ..Private::default()
    })
}

pub(crate) fn identity(client: &str, number: u64) -> Identity {
    Identity {
        client: Client::try_from(client.to_owned()).unwrap(),
        client_order_id: ClientOrderId::try_from(format!("o-{number:08}")).unwrap(),
    }
}

pub(crate) fn order_id(number: u64) -> OrderId {
    let entropy = SeededEntropy::new(number);
    OrderId::make(UnixMicros(START.0 + number * 1_000), entropy.as_ref()).unwrap()
}

pub(crate) fn intent(client: &str, number: u64) -> (Entry, Identity) {
    let identity = identity(client, number);
    let fact = Fact::OrderIntent {
        order: Order {
            order_id: order_id(number),
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            price_ticks: Ticks(2_500),
            price: Decimal::new(25, 2),
            size_lots: Lots(4),
            size: Decimal::from(4),
            expires_at_ms: 1,
        },
        client: identity.client.clone(),
        client_order_id: identity.client_order_id.clone(),
        content_hash: format!("{number:064x}"),
        reserved_usdc: Decimal::ONE,
        limits_v: 1,
        reference: Decimal::ONE,
        marks: vec![],
        at_market: false,
        epoch: 0,
        key_id: "sei/1".into(),
        credential_generation: 1,
    };
    let entry = Entry::of("gate", fact)
        .by(Principal::api_key("k1"))
        .about(order_id(number).to_string());
    (entry, identity)
}

pub(crate) fn outcome(number: u64, status: OrderStatus) -> Entry {
    let fact = Fact::OrderOutcome {
        order_id: order_id(number),
        status,
        venue_order_id: VenueOrderId::try_from(format!("v-{number}")).ok(),
        signature: Some(SignatureFact {
            digest: format!("0x{number:064x}"),
            signature: format!("0x{number:0130x}"),
            signer: "0x00000000000000000000000000000000000000aa".into(),
            key_id: "sei/1".into(),
            signed_at_us: UnixMicros(START.0 + number),
        }),
        why: None,
    };
    Entry::of("trading", fact).about(order_id(number).to_string())
}

/// `orders` intents with their outcomes, and a note after each tenth.
pub(crate) fn fill(journal: &Journal, orders: u64) {
    let mut last = None;
    for number in 0..orders {
        let (entry, identity) = intent("bot", number);
        last = Some(journal.append_intent(entry, identity));
        journal
            .append_quietly(outcome(number, OrderStatus::Open))
            .unwrap();
        if number % 10 == 0 {
            last = Some(journal.append(note(number)));
        }
        if number % 100 == 99 {
            last.take().unwrap().wait(LONG).unwrap().unwrap();
        }
    }
    journal.append(note(orders)).wait(LONG).unwrap().unwrap();
    drop(last);
}
