//! Cancel-all against a venue that is told what to show, also after a lift.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Caller, Client, Owner, Principal, Role};
use crate::domain::status::TradingState;
use crate::emergency::halt::{HaltOrder, Trigger};
use crate::emergency::lift::LiftRequest;
use crate::emergency::state::HaltState;
use crate::emergency::state::LiftTerms;
use crate::ports::sentinel::{Look, MemorySentinel};
use crate::ports::venue::{Capabilities, Query, Reply};
use crate::trading::orders::tests::{intent, outcome};
use crate::trading::testing::{Told, floor, shown};

/// What the venue shows, and what was cancelled there.
#[derive(Default)]
struct There {
    open: Vec<VenueOrder>,
    cancelled: Vec<VenueOrderId>,
    at_once: usize,
    /// Listings that fail from now on.
    unreadable: usize,
    /// Cancels that are accepted and not done.
    ignored: bool,
}

type Shared = Arc<Mutex<There>>;

fn venue(there: &Shared) -> Arc<Told> {
    let can = Capabilities {
        acceptance_expiry: true,
        lookup_by_our_id: true,
        cancel_all: true,
        feed: false,
    };
    let there = there.clone();
    Told::able(can, move |query| {
        let mut there = there.lock();
        let gone = || VenueError::Unreachable {
            internal: "test".into(),
        };
        Ok(match query {
            Query::OpenOrders if there.unreadable > 0 => {
                there.unreadable -= 1;
                return Err(gone());
            }
            Query::OpenOrders => Reply::OpenOrders(there.open.clone()),
            Query::OrderById(id) => {
                let found = there.open.iter().find(|order| order.order_id == Some(*id));
                Reply::Order(found.cloned())
            }
            Query::Cancel(id) => {
                there.cancelled.push(id.clone());
                if !there.ignored {
                    there.open.retain(|order| order.venue_order_id != *id);
                }
                Reply::CancelAccepted
            }
            Query::CancelAll => {
                there.at_once += 1;
                if !there.ignored {
                    there.open.clear();
                }
                Reply::CancelAllAccepted
            }
            Query::Fills { .. } => Reply::Fills(vec![]),
            other => panic!("asked {other:?}"),
        })
    })
}

struct Rig {
    floor: Arc<Floor>,
    emergency: Arc<Emergency>,
    there: Shared,
    hunting: Option<tokio::task::JoinHandle<()>>,
    epoch: u64,
}

impl Rig {
    /// A venue where orders 1 to `ours` of ours rest.
    fn with_open(ours: u128) -> Self {
        let there = Shared::default();
        let floor = Arc::new(floor(venue(&there)));
        for n in 1..=ours {
            floor.apply_now(&intent(n, 10));
            floor.apply_now(&outcome(n, OrderStatus::Open));
            there.lock().open.push(shown(n, 10, OrderStatus::Open));
        }
        let emergency = Emergency::new(
            floor.latch.clone(),
            floor.journal.clone(),
            MemorySentinel::saying(Look::Armed),
            floor.clock.clone(),
            floor.entropy.clone(),
            HaltState::default(),
        );
        Self {
            floor,
            emergency,
            there,
            hunting: None,
            epoch: 0,
        }
    }

    fn halt(&mut self) {
        let order = HaltOrder {
            trigger: Trigger::Embedder,
            by: Principal::system(),
            reason: "test".into(),
        };
        drop(self.emergency.halt(&order));
        self.epoch = self.floor.latch.state().epoch;
        let (floor, emergency, epoch) = (self.floor.clone(), self.emergency.clone(), self.epoch);
        self.hunting = Some(tokio::spawn(
            async move { run(&floor, &emergency, epoch).await },
        ));
    }

    /// Two people lift it, and let these orders stay.
    async fn lift(&self, accept: &[&str]) {
        let (emergency, epoch) = (self.emergency.clone(), self.epoch);
        let request = LiftRequest {
            epoch,
            reason: "test".into(),
            to: TradingState::Active,
            accept_open_orders: accept.iter().map(|id| (*id).to_owned()).collect(),
        };
        let lifted = tokio::task::spawn_blocking(move || {
            for owner in ["ann", "ben"] {
                let caller = Caller {
                    principal: Principal::api_key(owner),
                    owner: Owner::try_from(owner.to_owned()).unwrap(),
                    client: Client::try_from("console".to_owned()).unwrap(),
                    role: Role::Admin,
                    key_created_us: UnixMicros(0),
                    key_made_locally: true,
                };
                emergency.agree(&caller, &request, 2).unwrap();
            }
            let terms = LiftTerms {
                to: request.to,
                accept_open_orders: request.accept_open_orders.clone(),
            };
            emergency.lift(epoch, &terms, 2, &Principal::system())
        });
        lifted.await.unwrap().unwrap();
        assert!(!self.floor.latch.state().halted);
    }

    fn confirmed(&self) -> bool {
        self.emergency
            .report()
            .is_some_and(|report| report.confirmed)
    }

    async fn until(&self, what: &str, is_so: impl Fn(&There) -> bool) {
        for _ in 0..2_000 {
            if is_so(&self.there.lock()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited until {what}: {:?}", self.emergency.report());
    }

    async fn until_over(&mut self) {
        let hunting = self.hunting.take().unwrap();
        let over = tokio::time::timeout(Duration::from_secs(20), hunting).await;
        over.expect("it goes on and on").unwrap();
    }

    /// What the order manager learns meanwhile: the venue took nothing of what is in doubt.
    fn not_placed(&self, n: u128) {
        self.floor.apply_now(&outcome(n, OrderStatus::NotPlaced));
    }

    fn doubt(&self, n: u128) {
        self.floor.apply_now(&intent(n, 10));
        self.floor
            .apply_now(&crate::journal::record::Fact::OrderInDoubt {
                order_id: OrderId(uuid::Uuid::from_u128(n)),
                signature: None,
                why: "test".into(),
            });
    }

    /// The venue's end of an order, as settling would take it in.
    fn cancelled(&self, n: u128) {
        let order_id = OrderId(uuid::Uuid::from_u128(n));
        let fact = crate::journal::record::Fact::OrderCancelled { order_id };
        self.floor.apply_now(&fact);
    }
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_delays_no_cancel_and_confirms_nothing() {
    let mut rig = Rig::with_open(2);
    rig.there.lock().unreadable = 5;
    rig.halt();
    rig.until("everything was cancelled", |there| there.at_once > 0)
        .await;
    assert!(!rig.confirmed());
    (1..=2).for_each(|n| rig.cancelled(n));
    rig.until_over().await;
    assert!(rig.confirmed());
    assert_eq!(rig.there.lock().unreadable, 0);
}

#[tokio::test]
async fn cancels_that_are_not_done_are_asked_order_by_order_and_nothing_is_confirmed() {
    let mut rig = Rig::with_open(3);
    rig.there.lock().ignored = true;
    rig.halt();
    rig.until("each was asked to be cancelled", |there| {
        there.cancelled.len() >= 6
    })
    .await;
    assert!(!rig.confirmed());
    let report = rig.emergency.report().unwrap();
    assert_eq!((report.orders_cancelled, report.orders_unconfirmed), (0, 3));
    rig.there.lock().ignored = false;
    rig.until("nothing rests", |there| there.open.is_empty())
        .await;
    (1..=3).for_each(|n| rig.cancelled(n));
    rig.until_over().await;
    let report = rig.emergency.report().unwrap();
    assert_eq!((report.orders_cancelled, report.orders_unconfirmed), (3, 0));
    assert!(report.confirmed);
}

#[tokio::test]
async fn an_order_in_doubt_is_not_confirmed_and_is_cancelled_when_it_comes_to_rest() {
    let mut rig = Rig::with_open(0);
    rig.doubt(1);
    rig.halt();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!rig.confirmed());
    }
    assert_eq!(rig.emergency.report().unwrap().orders_unconfirmed, 1);
    rig.there.lock().open.push(shown(1, 10, OrderStatus::Open));
    rig.floor.apply_now(&outcome(1, OrderStatus::Open));
    rig.until("it was cancelled", |there| there.open.is_empty())
        .await;
    rig.cancelled(1);
    rig.until_over().await;
    assert!(rig.confirmed());
    assert_eq!(rig.emergency.report().unwrap().orders_cancelled, 1);
}

#[tokio::test]
async fn after_a_lift_it_goes_on_for_orders_of_before_the_halt_and_spares_later_ones() {
    let mut rig = Rig::with_open(0);
    rig.doubt(1); // comes late
    rig.doubt(2); // comes late, and was accepted
    rig.halt();
    rig.until("a round was made", |_| {
        rig.emergency
            .report()
            .is_some_and(|r| r.orders_unconfirmed == 2)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let accepted = OrderId(uuid::Uuid::from_u128(2)).to_string();
    rig.lift(&[&accepted]).await;
    // One of ours placed after the lift, and then those of before it come to rest; a stranger's too.
    rig.floor.apply_now(&intent(3, 10));
    rig.floor.apply_now(&outcome(3, OrderStatus::Open));
    let stranger = shown(9, 10, OrderStatus::Open);
    rig.there.lock().unreadable = 1;
    rig.there.lock().open = vec![
        shown(3, 10, OrderStatus::Open),
        shown(2, 10, OrderStatus::Open),
        shown(1, 10, OrderStatus::Open),
        stranger,
    ];
    rig.floor.apply_now(&outcome(1, OrderStatus::Open));
    rig.floor.apply_now(&outcome(2, OrderStatus::Open));
    rig.until("those of the halt are cancelled", |there| {
        there.open.len() == 2
    })
    .await;
    rig.cancelled(1);
    rig.until_over().await;
    let there = rig.there.lock();
    let left: Vec<_> = there
        .open
        .iter()
        .map(|o| o.venue_order_id.as_str())
        .collect();
    assert_eq!(left, ["v3", "v2"]);
    assert_eq!(there.at_once, 0, "one by one after a lift");
    assert!(rig.confirmed());
}

#[tokio::test]
async fn a_later_halt_takes_over() {
    let mut rig = Rig::with_open(0);
    rig.doubt(1);
    rig.halt();
    rig.lift(&[]).await;
    let first = rig.hunting.take().unwrap();
    rig.halt();
    first.await.unwrap();
    assert!(!rig.confirmed());
    rig.not_placed(1);
    rig.until_over().await;
    assert!(rig.confirmed());
}

#[test]
fn two_empty_readings_confirm_and_must_lie_apart_while_the_book_has_open_orders() {
    let lag = doubt::VENUE_LISTING_LAG_MAX_MS;
    let mut empty = Empty::default();
    empty.read(true, 10);
    assert!(!empty.confirms(false, 10));
    empty.read(true, 20);
    assert!(empty.confirms(false, 20));
    assert!(!empty.confirms(true, 10 + lag));
    assert!(empty.confirms(true, 11 + lag));
    empty.read(false, 30);
    empty.read(true, 40);
    assert!(!empty.confirms(false, 40));
}
