//! A bot in its own process: no HTTP, the same gate, journal, keys and kill switch as the service.
//!
//! `cargo run --release --example embedded_bot` makes a data directory in a temporary place, trades
//! on the paper venue, halts, shows that nothing leaves, and has two people lift it.

#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, Context, Handler};
use anyhow::{Context as _, bail};
use flashguard::application::{Application, Options};
use flashguard::control::Lock;
use flashguard::init::{self, InitRequest};
use flashguard::settings::{Profile, Settings, Sources};
use flashguard_actors::auth::ApiKey;
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use flashguard_actors::domain::identity::{Caller, Owner, Principal};
use flashguard_actors::domain::order::{OrderRequest, Side, Terms};
use flashguard_actors::domain::status::TradingState;
use flashguard_actors::emergency::halt::{HaltOrder, Trigger};
use flashguard_actors::emergency::lift::LiftRequest;
use flashguard_actors::supervision::ActorName;
use flashguard_actors::trading::messages::{TradingHalted, TradingLifted};
use rust_decimal::Decimal;

/// The bot's own strategy: any actor, supervised like all others and told of every halt.
struct Strategy;

impl Actor for Strategy {
    type Context = Context<Self>;
}

impl Handler<TradingHalted> for Strategy {
    type Result = u64;
    fn handle(&mut self, msg: TradingHalted, _: &mut Self::Context) -> u64 {
        msg.epoch // acknowledges: no order of this strategy is meant to go out any more
    }
}

impl Handler<TradingLifted> for Strategy {
    type Result = u64;
    fn handle(&mut self, msg: TradingLifted, _: &mut Self::Context) -> u64 {
        msg.epoch
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let (clock, entropy): (SharedClock, SharedEntropy) =
        (Arc::new(SystemClock), Arc::new(SystemEntropy));

    // A data directory with its keys. A real bot does this once, with `flashguard init`.
    let directory = Arc::new(init::make_directory(&home.path().join("data"))?);
    let lock = Lock::take(&directory)?;
    let owners = ["ann", "bob"].map(|name| Owner::try_from(name.to_owned()));
    let request = InitRequest {
        profile: Profile::Development,
        owners: owners.into_iter().collect::<Result<_, _>>()?,
        master_key: None,
        seeds: Default::default(),
    };
    let keys = init::init(&directory, &lock, &request, &clock, &entropy)?;

    // The application: everything but HTTP.
    let settings = Settings::load(&Sources::default()).map_err(anyhow::Error::msg)?;
    let options = Options {
        directory,
        lock,
        settings,
        seeds: Default::default(),
        clock: clock.clone(),
        entropy,
    };
    let app = Application::open(options).await?;
    let guard = app.handle();
    guard
        .register(ActorName::new("strategy")?, |_| Ok(Strategy))
        .await?;
    let who = |key: &ApiKey| -> anyhow::Result<Caller> {
        let text = key.to_text();
        Ok(app
            .access()
            .caller(std::str::from_utf8(text.expose())?, clock.now())?)
    };
    let bot = who(&keys.system)?;
    wait_for(&app, TradingState::Active).await?;

    // An order through gate, journal, signature and venue.
    let placed = guard.place(&bot, buy("order-1")?).await??;
    println!(
        "placed   {} {}",
        placed.state.order.order_id,
        placed.state.status.as_str()
    );

    // Stop. When this returns, no order leaves; it is on disk, and the cancels are confirmed.
    let stop = HaltOrder {
        trigger: Trigger::Embedder,
        by: Principal::system(),
        reason: "drawdown beyond plan".into(),
    };
    let report = guard.halt(&stop, true).await.context("no report")?;
    println!("halted   epoch {} durable {}", report.epoch, report.durable);
    for step in &report.steps {
        println!(
            "         {:<10} {:?} {}",
            step.name.as_str(),
            step.outcome,
            step.detail
        );
    }
    match guard.place(&bot, buy("order-2")?).await? {
        Ok(_) => bail!("an order was placed while halted"),
        Err(refusal) => println!("refused  {refusal}"),
    }

    // Two people lift it.
    let wish = LiftRequest {
        epoch: report.epoch,
        reason: "looked at it together".into(),
        to: TradingState::Active,
        accept_open_orders: vec![],
    };
    let second = keys.admin2.as_ref().context("a second owner was named")?;
    for key in [&keys.admin, second] {
        println!(
            "lift     {:?}",
            guard.lift(&who(key)?, wish.clone()).await??
        );
    }
    wait_for(&app, TradingState::Active).await?;
    let placed = guard.place(&bot, buy("order-3")?).await??;
    println!(
        "placed   {} {}",
        placed.state.order.order_id,
        placed.state.status.as_str()
    );
    app.stop().await;
    Ok(())
}

fn buy(id: &str) -> anyhow::Result<OrderRequest> {
    Ok(OrderRequest {
        symbol: "SEI/USDC".into(),
        side: Side::Buy,
        size: Decimal::from(100),
        terms: Terms::limit(Decimal::from_str_exact("0.2510")?),
        client_order_id: Some(id.to_owned().try_into()?),
    })
}

async fn wait_for(app: &Application, state: TradingState) -> anyhow::Result<()> {
    for _ in 0..400 {
        if app.handle().status().state == state {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bail!("trading did not become {}", state.as_str())
}
