//! The application as an embedder uses it: in process, durable, without HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use flashguard::application::{Application, Options};
use flashguard::control::{DataDirectory, Lock};
use flashguard::init::{self, InitKeys, InitRequest};
use flashguard::seed_variables::{self, SeedVariables};
use flashguard::settings::{Profile, Settings, Sources};
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use flashguard_actors::domain::identity::{Caller, Owner, Principal};
use flashguard_actors::domain::order::{OrderRequest, OrderStatus, Side, Terms};
use flashguard_actors::domain::status::TradingState;
use flashguard_actors::emergency::halt::{HaltOrder, Trigger};
use flashguard_actors::emergency::lift::{LiftRefused, LiftRequest};
use flashguard_actors::emergency::messages::Lift;
use flashguard_actors::emergency::procedure::{HaltReport, Outcome, Step};
use flashguard_actors::supervision::{ActorName, StartError};
use flashguard_actors::trading::door::Closed;
use flashguard_actors::trading::messages::{TradingHalted, TradingLifted};
use flashguard_actors::trading::pipeline::{Placed, Refusal};
use rust_decimal::Decimal;

/// Looks at most so often, with a pause between.
const LOOKS_MAX: usize = 400;
const PAUSE: Duration = Duration::from_millis(25);

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

fn entropy() -> SharedEntropy {
    Arc::new(SystemEntropy)
}

fn initialise(path: &Path) -> InitKeys {
    initialise_for(path, Profile::Development)
}

fn initialise_for(path: &Path, profile: Profile) -> InitKeys {
    let directory = init::make_directory(path).unwrap();
    let lock = Lock::take(&directory).unwrap();
    let request = InitRequest {
        profile,
        owners: ["ann", "bob"]
            .map(|name| Owner::try_from(name.to_owned()).unwrap())
            .to_vec(),
        master_key: None,
        seeds: Default::default(),
    };
    init::init(&directory, &lock, &request, &clock(), &entropy()).unwrap()
}

async fn open(path: &Path) -> Application {
    open_with(path, SeedVariables::default()).await
}

async fn open_with(path: &Path, seeds: SeedVariables) -> Application {
    let environment = [
        ("FLASHGUARD__PAPER__VOLATILITY_BPS_PER_S", "0"),
        ("FLASHGUARD__PAPER__DEPTH_PER_LEVEL", "0"),
    ];
    let environment = environment
        .map(|(name, value)| (name.to_owned().into(), value.to_owned().into()))
        .to_vec();
    let settings = Settings::load(&Sources {
        environment,
        ..Sources::default()
    })
    .unwrap();
    let directory = Arc::new(DataDirectory::open(path).unwrap());
    let lock = Lock::take(&directory).unwrap();
    let options = Options {
        directory,
        lock,
        settings,
        seeds,
        clock: clock(),
        entropy: entropy(),
    };
    Application::open(options).await.unwrap()
}

fn caller(app: &Application, key: &flashguard_actors::auth::ApiKey) -> Caller {
    let text = key.to_text();
    let bearer = std::str::from_utf8(text.expose()).unwrap();
    app.access().caller(bearer, clock().now()).unwrap()
}

fn order(side: Side, price: &str, size: u32, id: &str) -> OrderRequest {
    OrderRequest {
        symbol: "SEI/USDC".into(),
        side,
        size: Decimal::from(size),
        terms: Terms::limit(Decimal::from_str_exact(price).unwrap()),
        client_order_id: Some(id.to_owned().try_into().unwrap()),
    }
}

/// A strategy that never comes back from its handler, as one in an endless loop does.
struct Stuck(Arc<AtomicBool>);

impl Actor for Stuck {
    type Context = Context<Self>;
}

impl Handler<TradingHalted> for Stuck {
    type Result = u64;
    fn handle(&mut self, msg: TradingHalted, _: &mut Self::Context) -> u64 {
        while !self.0.load(Ordering::Acquire) {
            std::thread::sleep(PAUSE);
        }
        msg.epoch
    }
}

impl Handler<TradingLifted> for Stuck {
    type Result = u64;
    fn handle(&mut self, msg: TradingLifted, _: &mut Self::Context) -> u64 {
        msg.epoch
    }
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_true() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("not reached: {what}");
}

async fn until_state(app: &Application, state: TradingState) {
    let what = format!("trading is {}", state.as_str());
    until(&what, || app.handle().status().state == state).await;
}

async fn place(app: &Application, bot: &Caller, request: OrderRequest) -> Result<Placed, Refusal> {
    app.handle().place(bot, request).await.unwrap()
}

fn position(app: &Application) -> Decimal {
    let symbol = "SEI/USDC".to_owned().try_into().unwrap();
    app.handle()
        .floor()
        .gate
        .with_exposure(|exposure| exposure.market(&symbol).position)
}

fn stop_now() -> HaltOrder {
    HaltOrder {
        trigger: Trigger::Embedder,
        by: Principal::system(),
        reason: "a drawdown that nobody expected".into(),
    }
}

fn wish(epoch: u64) -> LiftRequest {
    LiftRequest {
        epoch,
        reason: "looked at it".into(),
        to: TradingState::Active,
        accept_open_orders: vec![],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_travels_fills_is_replayed_and_survives_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let keys = initialise(&path);
    let app = open(&path).await;
    let bot = caller(&app, &keys.system);
    until_state(&app, TradingState::Active).await;

    let placed = place(&app, &bot, order(Side::Buy, "0.2510", 100, "a"))
        .await
        .unwrap();
    assert!(!placed.replayed && placed.state.signature.is_some());
    let id = placed.state.order.order_id;
    until("the fill is counted", || {
        position(&app) == Decimal::from(100)
    })
    .await;
    let filled = app.handle().floor().order(&id).unwrap();
    assert_eq!((filled.status, filled.settled), (OrderStatus::Filled, true));

    let again = place(&app, &bot, order(Side::Buy, "0.251", 100, "a"))
        .await
        .unwrap();
    assert!(again.replayed);
    assert_eq!(again.state.order.order_id, id);
    let other = place(&app, &bot, order(Side::Buy, "0.2510", 101, "a")).await;
    assert!(matches!(other, Err(Refusal::Duplicate { order_id }) if order_id == id));

    app.stop().await;
    let app = open(&path).await;
    until_state(&app, TradingState::Active).await;
    assert_eq!(position(&app), Decimal::from(100));
    let after = place(&app, &bot, order(Side::Buy, "0.2510", 100, "a"))
        .await
        .unwrap();
    assert!(after.replayed && after.state.order.order_id == id);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_stops_cancels_and_holds_over_a_restart_until_two_people_lift_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let keys = initialise(&path);
    let app = open(&path).await;
    let bot = caller(&app, &keys.system);
    until_state(&app, TradingState::Active).await;
    for n in 0..5 {
        let resting = order(Side::Buy, "0.2450", 100, &format!("r{n}"));
        assert_eq!(
            place(&app, &bot, resting).await.unwrap().state.status,
            OrderStatus::Open
        );
    }

    let report = app.handle().halt(&stop_now(), true).await.unwrap();
    assert!(report.durable && report.confirmed, "{report:?}");
    assert_eq!((report.orders_cancelled, report.orders_unconfirmed), (5, 0));
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.outcome == Outcome::Done),
        "{report:?}"
    );
    let refused = place(&app, &bot, order(Side::Buy, "0.2510", 100, "late")).await;
    assert!(
        matches!(refused, Err(Refusal::Closed(Closed::Halted { epoch: 1 }))),
        "{refused:?}"
    );
    assert!(!path.join("halt.armed").exists() && path.join("halt").exists());

    app.stop().await;
    let app = open(&path).await;
    assert_eq!(app.handle().status().state, TradingState::Halted);
    let refused = place(&app, &bot, order(Side::Buy, "0.2510", 100, "late")).await;
    assert!(
        matches!(refused, Err(Refusal::Closed(Closed::Halted { epoch: 1 }))),
        "{refused:?}"
    );
    until("the venue was read", || app.handle().is_ready()).await;

    let (ann, bob) = (
        caller(&app, &keys.admin),
        caller(&app, keys.admin2.as_ref().unwrap()),
    );
    let first = app.handle().lift(&ann, wish(1)).await.unwrap();
    assert!(
        matches!(first, Ok(Lift::Waiting { missing: 1, .. })),
        "{first:?}"
    );
    assert_eq!(
        app.handle().lift(&ann, wish(1)).await.unwrap(),
        Err(LiftRefused::SameOwner)
    );
    let old = app.handle().lift(&bob, wish(0)).await.unwrap();
    assert_eq!(old, Err(LiftRefused::OtherEpoch { epoch: 1 }));
    let second = app.handle().lift(&bob, wish(1)).await.unwrap();
    let active = TradingState::Active;
    assert_eq!(
        second,
        Ok(Lift::Lifted {
            epoch: 1,
            to: active
        })
    );
    assert!(path.join("halt.armed").exists() && !path.join("halt").exists());
    until("trading is open", || app.handle().status().state == active).await;
    let placed = place(&app, &bot, order(Side::Buy, "0.2510", 100, "after"))
        .await
        .unwrap();
    assert!(placed.state.signature.is_some());

    // A halt in between voids what was agreed to.
    app.handle().halt(&stop_now(), true).await.unwrap();
    assert!(app.handle().lift(&ann, wish(2)).await.unwrap().is_ok());
    app.handle().halt(&stop_now(), false).await.unwrap();
    let alone = app.handle().lift(&bob, wish(2)).await.unwrap();
    assert!(
        matches!(alone, Ok(Lift::Waiting { missing: 1, .. })),
        "{alone:?}"
    );
    app.stop().await;
}

fn outcome(report: &HaltReport, step: Step) -> Outcome {
    report
        .steps
        .iter()
        .find(|report| report.name == step)
        .unwrap()
        .outcome
}

/// K5: an actor in an endless loop delays nothing and is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_never_answers_is_named_and_delays_no_other_step() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let keys = initialise(&path);
    let app = open(&path).await;
    let bot = caller(&app, &keys.system);
    let release = Arc::new(AtomicBool::new(false));
    let held = release.clone();
    let name = ActorName::new("stuck-strategy").unwrap();
    let stuck = app
        .handle()
        .register(name, move |_| Ok(Stuck(held.clone())))
        .await
        .unwrap();
    stuck.up(0, Duration::from_secs(10)).await.unwrap();
    until_state(&app, TradingState::Active).await;
    let resting = order(Side::Buy, "0.2450", 100, "r");
    place(&app, &bot, resting).await.unwrap();

    let report = app.handle().halt(&stop_now(), true).await.unwrap();
    assert!(report.durable && report.confirmed, "{report:?}");
    assert_eq!(report.orders_cancelled, 1);
    let emergency = app.handle().emergency().clone();
    until("the broadcast is late", || {
        outcome(&emergency.report().unwrap(), Step::Broadcast) == Outcome::Late
    })
    .await;
    let report = emergency.report().unwrap();
    let told = report
        .steps
        .iter()
        .find(|step| step.name == Step::Broadcast)
        .unwrap();
    assert_eq!(
        told.detail["laggards"],
        serde_json::json!(["stuck-strategy"]),
        "{told:?}"
    );
    assert_eq!(told.detail["acknowledged"], 4);
    for step in [Step::Record, Step::Sentinel, Step::CancelAll] {
        assert_eq!(outcome(&report, step), Outcome::Done, "{report:?}");
    }
    release.store(true, Ordering::Release);
    app.stop().await;
}

/// J3: a journal whose file was taken away is dead at the next commit, and that halts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_was_taken_away_halts_and_nothing_is_signed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let keys = initialise(&path);
    let app = open(&path).await;
    let bot = caller(&app, &keys.system);
    until_state(&app, TradingState::Active).await;
    std::fs::remove_file(path.join("journal.db")).unwrap();
    let refused = place(&app, &bot, order(Side::Buy, "0.2510", 100, "a")).await;
    assert!(
        matches!(
            refused,
            Err(Refusal::JournalUnavailable | Refusal::Closed(Closed::Halted { .. }))
        ),
        "{refused:?}"
    );
    until_state(&app, TradingState::Halted).await;
    until("the sentinel says so", || path.join("halt").exists()).await;
    let report = app.handle().emergency().report().unwrap();
    assert_eq!(
        outcome(&report, Step::Record),
        Outcome::Failed,
        "{report:?}"
    );
    assert_eq!(position(&app), Decimal::ZERO);
    app.stop().await;
}

/// K15: an actor that cannot be made again past the bound halts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_fails_past_the_bound_halts_and_the_cancels_still_run() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let keys = initialise(&path);
    let app = open(&path).await;
    let bot = caller(&app, &keys.system);
    until_state(&app, TradingState::Active).await;
    let resting = order(Side::Buy, "0.2450", 100, "r");
    place(&app, &bot, resting).await.unwrap();
    let name = ActorName::new("broken").unwrap();
    let broken = app
        .handle()
        .register::<Stuck, _>(name, |_| Err(StartError::new("never")))
        .await;
    assert!(broken.is_ok());
    until_state(&app, TradingState::Halted).await;
    until("the cancel is confirmed", || {
        app.handle().emergency().report().unwrap().confirmed
    })
    .await;
    let report = app.handle().emergency().report().unwrap();
    assert_eq!(report.orders_cancelled, 1, "{report:?}");
    app.stop().await;
}

/// The seed's variables for the venue.
fn venue_variables(api_key: &str, secret: &str) -> SeedVariables {
    let lookup = |name: &str| match name {
        "CAMBRIAN_API_KEY" => Some(api_key.into()),
        "CAMBRIAN_SECRET_KEY" => Some(secret.into()),
        _ => None,
    };
    let read = seed_variables::read(lookup, &SystemEntropy);
    read.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_seed_variable_is_taken_in_by_the_first_start_that_needs_it_and_never_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    // Production makes no venue credential.
    initialise_for(&path, Profile::Production);
    let versions = || {
        let held = std::fs::read_dir(path.join("keys/venue"));
        held.map_or(0, Iterator::count)
    };
    assert_eq!(versions(), 0);

    let in_use = async |seeds| {
        let app = open_with(&path, seeds).await;
        let identity = app.handle().floor().keys.identity();
        app.stop().await;
        identity.credential_fingerprint.clone()
    };
    let first = in_use(venue_variables("key-1", "secret-1")).await;
    assert_eq!(versions(), 1);
    let none = in_use(SeedVariables::default()).await;
    let same = in_use(venue_variables("key-1", "secret-1")).await;
    let other = in_use(venue_variables("key-2", "secret-2")).await;
    assert_eq!(
        [none, same, other],
        [&first, &first, &first].map(String::clone)
    );
    assert_eq!(versions(), 1, "and nothing more was sealed");
}
