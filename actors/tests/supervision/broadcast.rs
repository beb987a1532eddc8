//! One event to many, with some of them in trouble.

use crate::probe::{Announced, Fail, Probe, Shared};
use crate::rig::{LONG, Rig, eventually, name, spec};
use actix::{Actor, Context, Handler};
use flashguard_actors::supervision::{
    ActorName, Broadcast, CallError, Laggard, Placement, Policy, Stable,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

struct Listener(ActorName);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<Announced> for Listener {
    type Result = u64;

    fn handle(&mut self, event: Announced, _: &mut Self::Context) -> u64 {
        assert_ne!(self.0.as_str(), event.panic_in, "asked to");
        event.number
    }
}

async fn listener(rig: &Rig, text: &str, placement: Placement) -> Stable<Listener> {
    let own = name(text);
    rig.supervisor
        .supervise(spec(text, placement), move |_| Ok(Listener(own.clone())))
        .await
        .unwrap()
}

#[test]
fn a_broadcast_names_its_laggards_and_is_held_up_by_none() {
    let mut policy = Policy::default();
    // Long enough that the failed one is still restarting when the broadcast comes.
    policy.backoff.shortest = Duration::from_secs(100);
    policy.backoff.longest = Duration::from_secs(100);
    let rig = Rig::with(policy);
    rig.run(async {
        let broadcast = Broadcast::<Announced>::new();
        let (hung, shared) = rig.probe("a-hung", Placement::Own).await;
        broadcast.subscribe(hung.recipient()).unwrap();
        let (restarting, _) = rig.probe("restarting", Placement::Own).await;
        broadcast.subscribe(restarting.recipient()).unwrap();
        for text in ["good-0", "good-1", "good-2", "panicking"] {
            let stable = listener(&rig, text, Placement::Shared(0)).await;
            stable.up(0, LONG).await.unwrap();
            broadcast.subscribe(stable.recipient()).unwrap();
        }
        hung.tell(Fail::Block).unwrap();
        let failed = restarting.call(Fail::PanicInHandler, LONG).await;
        assert_eq!(failed, Err(CallError::Lost));
        eventually("it is taken away", || restarting.generation().is_none()).await;

        let event = Announced {
            number: 41,
            panic_in: "panicking",
        };
        let mut delivery = broadcast.send(event, Duration::from_millis(500)).await;
        delivery.acknowledged.sort();
        let good = ["good-0", "good-1", "good-2"].map(|text| (name(text), 41));
        assert_eq!(delivery.acknowledged, good);
        delivery.laggards.sort_by(|a, b| a.name.cmp(&b.name));
        let laggards = [
            ("a-hung", CallError::Timeout),
            ("panicking", CallError::Lost),
            ("restarting", CallError::Restarting),
        ]
        .map(|(text, why)| Laggard {
            name: name(text),
            why,
        });
        assert_eq!(delivery.laggards, laggards);
        shared.gate.open();
    });
}

#[test]
fn a_broadcast_reaches_ten_thousand_actors() {
    const ACTORS: usize = 10_000;
    let rig = Rig::with(Policy::default());
    rig.run(async {
        let broadcast = Broadcast::<Announced>::new();
        let mut all = Vec::with_capacity(ACTORS);
        for n in 0..ACTORS {
            let placement = Placement::Shared(u16::from(n % 2 == 1));
            let stable = listener(&rig, &format!("actor-{n}"), placement).await;
            broadcast.subscribe(stable.recipient()).unwrap();
            all.push(stable);
        }
        for stable in &all {
            stable.up(0, LONG).await.unwrap();
        }
        let event = Announced {
            number: 7,
            panic_in: "nobody",
        };
        let delivery = broadcast.send(event, LONG).await;
        assert_eq!(delivery.laggards, []);
        assert_eq!(delivery.acknowledged.len(), ACTORS);
        assert!(delivery.acknowledged.iter().all(|(_, n)| *n == 7));
        assert_eq!(rig.supervisor.roster().read().len(), ACTORS);
    });
    assert_eq!(rig.stop().unfinished_threads, 0);
}

#[test]
fn a_broadcast_is_heard_by_an_actor_whose_budget_is_used_up() {
    let rig = Rig::with(Policy::default());
    rig.run(async {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let mut busy = spec("busy", Placement::Own);
        busy.in_flight_max = 1;
        let stable: Stable<Probe> = rig
            .supervisor
            .supervise(busy, move |i| Probe::make(i, &inner))
            .await
            .unwrap();
        stable.up(0, LONG).await.unwrap();
        let broadcast = Broadcast::<Announced>::new();
        broadcast.subscribe(stable.recipient()).unwrap();
        let held = stable.clone();
        let held = tokio::spawn(async move { held.call(Fail::Block, LONG).await });
        let full = || shared.entered.load(SeqCst) == 1;
        eventually("its budget is used up", full).await;
        let told = stable.call(Fail::Stop, LONG).await;
        assert_eq!(told, Err(CallError::Overloaded));
        let event = Announced {
            number: 3,
            panic_in: "nobody",
        };
        let send = broadcast.send(event, LONG);
        let open = async {
            shared.gate.open();
            held.await.unwrap()
        };
        let (delivery, held) = tokio::join!(send, open);
        assert_eq!(held, Ok(()));
        assert_eq!(delivery.acknowledged, [(name("busy"), 3)]);
    });
}

#[test]
fn who_has_unsubscribed_hears_nothing_and_nobody_is_an_answer() {
    let rig = Rig::with(Policy::default());
    rig.run(async {
        let broadcast = Broadcast::<Announced>::new();
        let stable = listener(&rig, "one", Placement::Own).await;
        stable.up(0, LONG).await.unwrap();
        broadcast.subscribe(stable.recipient()).unwrap();
        assert!(broadcast.unsubscribe(&name("one")));
        assert!(!broadcast.unsubscribe(&name("one")));
        let event = Announced {
            number: 1,
            panic_in: "nobody",
        };
        let delivery = broadcast.send(event, LONG).await;
        assert_eq!((delivery.acknowledged, delivery.laggards), (vec![], vec![]));
    });
}
