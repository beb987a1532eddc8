//! What a run does, step by step, decided by its seed alone.
//!
//! No step depends on what came of one before: an order to be cancelled is named by its place among
//! all that were ever sent. So a seed gives the same steps again whatever the machine was doing.

use serde_json::{Value, json};

use super::chance::Chance;
use super::faults;

/// How many clients trade, each with an API key and ids of its own.
pub const CLIENTS: usize = 3;

/// Steps that a halt lasts at most, so that most of a run trades.
const HALTED_STEPS_MAX: u64 = 4;

/// An order as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which client.
    pub client: usize,
    /// Its id for it. Clients use the same ids, which are different orders.
    pub id: String,
    /// The market.
    pub symbol: &'static str,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// How it meets the book.
    pub order_type: &'static str,
    /// Decimal.
    pub price: String,
    /// Decimal.
    pub size: String,
}

impl Wish {
    /// The body of the request.
    pub fn body(&self) -> Value {
        json!({
            "symbol": self.symbol, "side": self.side, "order_type": self.order_type,
            "price": self.price, "size": self.size, "client_order_id": self.id,
        })
    }
}

/// How trading is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The route, and the answer waits for the cancels.
    Http,
    /// The route, without waiting for them.
    HttpAtOnce,
    /// The control listener.
    ControlListener,
    /// The control socket.
    ControlSocket,
    /// A file of that name.
    Sentinel,
    /// The armed sentinel renamed.
    SentinelRenamed,
    /// SIGUSR1.
    Signal,
}

/// What happens while orders are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// Nothing else.
    Nothing,
    /// `kill -9`, and a restart after all callers gave up.
    Kill,
    /// A halt.
    Halt(Trigger),
    /// Everything is cancelled.
    CancelAll,
    /// A pause is taken.
    Pause,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A new order, an earlier one again, or another one under an earlier id.
    Place(Wish),
    /// Several at once, and something else so many ms after their start.
    Burst(Vec<Wish>, Meanwhile, u64),
    /// Cancels the order of that place among all that were ever sent.
    Cancel(usize),
    /// Cancels all, or all of a market.
    CancelAll(Option<&'static str>),
    /// Takes the operators' pause.
    Pause,
    /// Releases it.
    Resume,
    /// Stops trading.
    Halt(Trigger),
    /// Two owners end the halt: accepting what rests or is in doubt, or waiting until nothing does.
    Lift {
        /// Accept it.
        accept: bool,
    },
    /// `kill -9` and a restart; perhaps wait until trading is open.
    Kill {
        /// Wait.
        wait: bool,
    },
    /// A plan is put in place at the simulator.
    Faults(Value),
    /// The simulator behaves.
    NoFaults,
    /// So many ms.
    Wait(u64),
}

/// What the generator thinks of, to keep the steps worth taking.
struct Mood {
    halted: Option<u64>,
    paused: bool,
    faults: Option<u64>,
    sent: Vec<Wish>,
}

/// The steps of a seed. The first so many of them do not depend on how many are wanted.
pub fn of_seed(seed: u64, steps: usize) -> Vec<Step> {
    let mut chance = Chance::of(seed);
    let mut mood = Mood {
        halted: None,
        paused: false,
        faults: None,
        sent: Vec::new(),
    };
    let mut made = Vec::new();
    while made.len() < steps {
        made.extend(next(&mut chance, &mut mood));
    }
    made.truncate(steps);
    made
}

#[derive(Clone, Copy)]
enum Kind {
    Place,
    Again,
    Other,
    Burst,
    Cancel,
    CancelMarket,
    CancelAll,
    Pause,
    Resume,
    Halt,
    Lift,
    Kill,
    Faults,
    NoFaults,
    Wait,
}

fn next(chance: &mut Chance, mood: &mut Mood) -> Vec<Step> {
    for age in [&mut mood.halted, &mut mood.faults].into_iter().flatten() {
        *age += 1;
    }
    let when = |yes: bool, weight: u64| if yes { weight } else { 0 };
    let halted = mood.halted.is_some();
    let too_long = mood.halted.is_some_and(|age| age > HALTED_STEPS_MAX);
    let kind = chance.weighed(&[
        (34, Kind::Place),
        (when(!mood.sent.is_empty(), 10), Kind::Again),
        (when(!mood.sent.is_empty(), 4), Kind::Other),
        (14, Kind::Burst),
        (when(!mood.sent.is_empty(), 9), Kind::Cancel),
        (2, Kind::CancelMarket),
        (3, Kind::CancelAll),
        (when(!mood.paused, 2), Kind::Pause),
        (when(mood.paused, 30), Kind::Resume),
        (4, Kind::Halt),
        (when(halted, if too_long { 10_000 } else { 30 }), Kind::Lift),
        (5, Kind::Kill),
        (when(mood.faults.is_none(), 15), Kind::Faults),
        (when(mood.faults.is_some(), 8), Kind::NoFaults),
        (4, Kind::Wait),
    ]);
    match kind {
        Kind::Place => vec![Step::Place(new_wish(chance, mood))],
        Kind::Again => vec![Step::Place(chance.one_of(&mood.sent))],
        Kind::Other => vec![Step::Place(other(chance, mood))],
        Kind::Burst => vec![burst(chance, mood)],
        Kind::Cancel => vec![Step::Cancel(chance.place(mood.sent.len()))],
        Kind::CancelMarket => {
            vec![Step::CancelAll(Some(
                chance.one_of(&["SEI/USDC", "ETH/USDC"]),
            ))]
        }
        Kind::CancelAll => vec![Step::CancelAll(None)],
        Kind::Pause => {
            mood.paused = true;
            vec![Step::Pause]
        }
        Kind::Resume => {
            // A halt refuses it, and the pause stays.
            mood.paused = halted;
            vec![Step::Resume]
        }
        Kind::Halt => {
            mood.halted = Some(0);
            vec![Step::Halt(trigger(chance))]
        }
        Kind::Lift => {
            // A venue that cannot be read holds a lift back.
            mood.halted = None;
            mood.faults = None;
            let accept = chance.percent(85);
            vec![Step::NoFaults, Step::Lift { accept }]
        }
        Kind::Kill => vec![Step::Kill {
            wait: chance.percent(70),
        }],
        Kind::Faults => {
            mood.faults = Some(0);
            vec![Step::Faults(faults::plan(chance))]
        }
        Kind::NoFaults => {
            mood.faults = None;
            vec![Step::NoFaults]
        }
        Kind::Wait => vec![Step::Wait(chance.between(5, 300))],
    }
}

fn trigger(chance: &mut Chance) -> Trigger {
    use Trigger as T;
    chance.one_of(&[
        T::Http,
        T::HttpAtOnce,
        T::ControlListener,
        T::ControlSocket,
        T::Sentinel,
        T::SentinelRenamed,
        T::Signal,
    ])
}

fn burst(chance: &mut Chance, mood: &mut Mood) -> Step {
    let mut wishes = Vec::new();
    for _ in 0..chance.between(3, 8) {
        let wish = match chance.between(0, 9) {
            0 if !wishes.is_empty() => chance.one_of(&wishes),
            1 => match mood.sent.is_empty() {
                false => chance.one_of(&mood.sent),
                true => new_wish(chance, mood),
            },
            _ => new_wish(chance, mood),
        };
        wishes.push(wish);
    }
    let meanwhile = match chance.between(0, 99) {
        0..30 => Meanwhile::Kill,
        30..50 => {
            mood.halted.get_or_insert(0);
            Meanwhile::Halt(trigger(chance))
        }
        50..65 => Meanwhile::CancelAll,
        65..70 => {
            mood.paused = true;
            Meanwhile::Pause
        }
        _ => Meanwhile::Nothing,
    };
    Step::Burst(wishes, meanwhile, chance.between(0, 40))
}

/// A new id, or, for a third of them, one that another client uses already.
fn new_wish(chance: &mut Chance, mood: &mut Mood) -> Wish {
    let client = chance.place(CLIENTS);
    let used = |id: &str| {
        mood.sent
            .iter()
            .any(|wish| wish.client == client && wish.id == id)
    };
    let of_others = mood.sent.iter().rev().find(|wish| !used(&wish.id));
    let id = match of_others {
        Some(wish) if chance.percent(33) => wish.id.clone(),
        _ => format!("m-{}", mood.sent.len()),
    };
    let wish = content(chance, client, id);
    mood.sent.push(wish.clone());
    wish
}

/// Another order under an id that was used.
fn other(chance: &mut Chance, mood: &Mood) -> Wish {
    let earlier = chance.one_of(&mood.sent);
    content(chance, earlier.client, earlier.id)
}

/// An order around the books, which stand still: 0.2499/0.2501 and 2499.50/2500.50.
fn content(chance: &mut Chance, client: usize, id: String) -> Wish {
    let symbol = chance.one_of(&["SEI/USDC", "SEI/USDC", "ETH/USDC"]);
    let side = chance.one_of(&["buy", "sell"]);
    // Ticks over the ask for a buy, under the bid for a sell: below zero it rests.
    let through = match chance.between(0, 9) {
        0..5 => i64::try_from(chance.between(0, 8)).unwrap(),
        5..9 => -i64::try_from(chance.between(3, 90)).unwrap(),
        // Outside the collar, or not.
        _ => i64::try_from(chance.between(60, 200)).unwrap(),
    };
    let direction = if side == "buy" { through } else { -through };
    let (price, size) = if symbol == "SEI/USDC" {
        let ticks = if side == "buy" { 2_501 } else { 2_499 } + direction;
        // One in many stands between two ticks.
        let more = if chance.percent(3) { "5" } else { "" };
        (
            format!("0.{ticks:04}{more}"),
            chance.between(20, 400).to_string(),
        )
    } else {
        let cents = if side == "buy" { 250_050 } else { 249_950 } + 100 * direction;
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        (price, format!("0.{:03}", chance.between(2, 40)))
    };
    let order_type = chance.weighed(&[(6, "limit"), (2, "post_only"), (3, "ioc")]);
    Wish {
        client,
        id,
        symbol,
        side,
        order_type,
        price,
        size,
    }
}

#[test]
fn a_seed_gives_the_same_steps_again_and_another_seed_others() {
    let steps = of_seed(7, 400);
    assert_eq!(steps, of_seed(7, 400));
    assert_eq!(steps[..90], of_seed(7, 90));
    assert_ne!(steps, of_seed(8, 400));
}

#[test]
fn many_seeds_together_take_every_kind_of_step() {
    let steps: Vec<Step> = (0..50).flat_map(|seed| of_seed(seed, 100)).collect();
    let some = |is: fn(&Step) -> bool| assert!(steps.iter().any(is));
    some(|step| matches!(step, Step::Place(_)));
    some(|step| matches!(step, Step::Cancel(_)));
    some(|step| matches!(step, Step::CancelAll(Some(_))));
    some(|step| matches!(step, Step::CancelAll(None)));
    some(|step| matches!(step, Step::Pause));
    some(|step| matches!(step, Step::Resume));
    some(|step| matches!(step, Step::Lift { accept: true }));
    some(|step| matches!(step, Step::Lift { accept: false }));
    some(|step| matches!(step, Step::Kill { .. }));
    some(|step| matches!(step, Step::Wait(_)));
    some(|step| matches!(step, Step::Burst(_, Meanwhile::Kill, _)));
    some(|step| matches!(step, Step::Burst(_, Meanwhile::Halt(_), _)));
    some(|step| matches!(step, Step::Burst(_, Meanwhile::CancelAll, _)));
    some(|step| matches!(step, Step::Burst(_, Meanwhile::Pause, _)));
    some(|step| matches!(step, Step::Halt(Trigger::Sentinel)));
    some(|step| matches!(step, Step::Halt(Trigger::Signal)));
    let plans: String = steps.iter().map(|step| format!("{step:?}")).collect();
    for fault in faults::WORDS {
        assert!(plans.contains(fault), "no plan has {fault}");
    }
}
