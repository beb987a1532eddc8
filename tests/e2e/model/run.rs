//! One run: a service and a simulator, driven through the steps of a seed and then compared.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rust_decimal::Decimal;
use serde_json::Value;

use super::super::daemon::{Caller, Daemon};
use super::super::simulator::{Simulator, signer, trade_at};
use super::super::until::until;
use super::answers::{Doors, Ids};
use super::compare::{Halted, Records};
use super::steps::{self, CLIENTS, Step};
use super::truth::{self, AtVenue, Held, Journal, Views, is_open};

/// Limits that a run reaches often.
const POSITION_LIMIT_USDC: u64 = 500;
const GROSS_LIMIT_USDC: u64 = 900;
const OPEN_ORDERS_MAX: usize = 20;

/// The markets and their references, which stand still.
const BOOKS: [(&str, &str); 2] = [("SEI/USDC", "0.25"), ("ETH/USDC", "2500")];

/// So little at each level of the simulator's book that orders are filled in part.
const DEPTH_PER_LEVEL: u64 = 150;

/// Lines of the log that a failed run prints.
const LOG_LINES: usize = 25;

/// A run at one of its steps.
pub struct Run {
    pub(super) daemon: Daemon,
    pub(super) simulator: Simulator,
    /// Names of the clients, and their API keys.
    clients: Vec<String>,
    keys: Vec<String>,
    /// What clients were told.
    pub(super) ids: Ids,
    /// All ids in the order in which they were first sent.
    pub(super) sent: Vec<(usize, String)>,
    /// The halt in force, and those before.
    pub(super) halted: Option<Halted>,
    pub(super) halts: Vec<Halted>,
    /// The operators' pause.
    pub(super) paused: bool,
    /// Trading may not have opened since the start.
    pub(super) opening: bool,
    /// A fault plan is in place.
    pub(super) faulty: bool,
    /// What was done.
    log: Vec<String>,
}

/// What a run met, so that one that met nothing can be told.
#[derive(Debug, Default, Clone, Copy)]
pub struct Met {
    /// Orders that the venue accepted.
    pub accepted: usize,
    /// Fills.
    pub fills: usize,
    /// Orders that were in doubt at some time.
    pub in_doubt: usize,
    /// Halts that were lifted.
    pub halts: usize,
    /// Ids that clients sent.
    pub ids: usize,
    /// Faults that the simulator did.
    pub faults: u64,
}

impl Run {
    /// Starts a simulator and a service that trades there for three clients.
    pub fn start() -> Self {
        let limits = [
            ("GATE__POSITION_LIMIT_USDC", POSITION_LIMIT_USDC.to_string()),
            (
                "GATE__GROSS_EXPOSURE_MAX_USDC",
                GROSS_LIMIT_USDC.to_string(),
            ),
            ("GATE__OPEN_ORDERS_MAX", OPEN_ORDERS_MAX.to_string()),
            ("GATE__ORDER_NOTIONAL_MAX_USDC", "95".to_owned()),
            ("VENUE__TIMEOUT_MS", "400".to_owned()),
            // A run breaks the venue on purpose, and says itself when it halts.
            ("VENUE__HEALTH_CALLS_MIN", "1000000".to_owned()),
            ("VENUE__ORDER_SEND_TTL_MS", "800".to_owned()),
            ("EMERGENCY__ANSWER_WAIT_MS", "500".to_owned()),
        ];
        let limits: Vec<_> = limits
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let daemon = Daemon::initialised(&limits);
        let clients: Vec<_> = (0..CLIENTS).map(|n| format!("bot-{n}")).collect();
        let keys = clients
            .iter()
            .map(|client| key_of(&daemon, client))
            .collect();
        let simulator = Simulator::start_with_depth(&signer(&daemon), &[], DEPTH_PER_LEVEL);
        let (simulator, daemon) = trade_at(simulator, daemon);
        Self {
            daemon,
            simulator,
            clients,
            keys,
            ids: Ids::new(),
            sent: Vec::new(),
            halted: None,
            halts: Vec::new(),
            paused: false,
            opening: true,
            faulty: false,
            log: Vec::new(),
        }
    }

    /// Takes all steps, then compares, twice: the second time after a last `kill -9`.
    pub fn go(&mut self, steps: &[Step]) -> Met {
        for (n, step) in steps.iter().enumerate() {
            self.note(format!("step {n}: {step:?}"));
            self.take(step);
            self.look();
        }
        self.note("the end: no faults, no halt, no pause, then one truth".to_owned());
        self.come_to_rest();
        self.until_one_truth();
        self.note("the same after a restart".to_owned());
        self.restart();
        self.until_one_truth();
        self.note("everything is cancelled".to_owned());
        self.take(&Step::CancelAll(None));
        self.look();
        self.until_one_truth()
    }

    /// Says what was done, for a run that fails.
    pub fn note(&mut self, line: String) {
        self.log.push(line);
    }

    /// The last lines of what was done.
    pub fn last_lines(&self) -> String {
        let from = self.log.len().saturating_sub(LOG_LINES);
        self.log[from..].join("\n")
    }

    /// Leaves all files where they are: the service's, the simulator's.
    pub fn keep(&mut self) -> [PathBuf; 2] {
        self.simulator.keep();
        [self.daemon.keep(), self.simulator.directory().to_owned()]
    }

    /// A client's caller.
    pub fn bot(&self, client: usize) -> Caller {
        self.daemon.caller("system").bearing(&self.keys[client])
    }

    /// The name of a client.
    pub fn name(&self, client: usize) -> &str {
        &self.clients[client]
    }

    /// The states that trading may be in now.
    pub fn doors(&self) -> Doors {
        match (self.halted.is_some(), self.paused) {
            (true, _) => Doors {
                halted: true,
                ..Doors::default()
            },
            (false, true) => Doors {
                paused: true,
                ..Doors::default()
            },
            (false, false) => Doors {
                open: true,
                paused: self.opening,
                halted: false,
            },
        }
    }

    /// After each step: the state is the one that was led to, and the venue holds no more than the
    /// limits allow.
    fn look(&mut self) {
        let status = self.daemon.caller("admin").status();
        let doors = self.doors();
        let holds = match status["status"].as_str().unwrap() {
            "active" => {
                self.opening = false;
                doors.open
            }
            "paused" => doors.paused,
            "emergency_shutdown" => doors.halted,
            _ => false,
        };
        if !holds {
            let report = self.daemon.caller("admin").get("/admin/emergency").body;
            panic!("trading is {status}, and should be {doors:?}: {report}");
        }
        if let Some(halted) = &self.halted {
            assert_eq!(status["epoch"], halted.epoch, "the epoch of the halt");
        }
        self.look_at_exposure();
    }

    /// Position and open orders at the venue, read at one moment, as the gate counts them.
    fn look_at_exposure(&self) {
        let orders = truth::orders(&self.simulator);
        let books = BOOKS.map(|(symbol, reference)| Held::of(symbol, reference, &orders));
        let [position_limit, gross_limit] =
            [POSITION_LIMIT_USDC, GROSS_LIMIT_USDC].map(Decimal::from);
        for held in &books {
            let (buys, sells) = (held.long + held.buys, held.sells - held.long);
            let most = position_limit + held.sold_below;
            assert!(
                buys <= most && sells <= most,
                "over {position_limit}: {held:?}"
            );
        }
        let gross: Decimal = books.iter().map(Held::gross).sum();
        let sold_below: Decimal = books.iter().map(|held| held.sold_below).sum();
        assert!(
            gross <= gross_limit + sold_below,
            "{gross} over {gross_limit}: {books:?}"
        );
        // What only reduces a position passes the bound on open orders.
        let reduces = |order: &Value| {
            BOOKS.iter().zip(&books).any(|((symbol, _), held)| {
                let side = if held.long.is_sign_negative() {
                    "buy"
                } else {
                    "sell"
                };
                order["market_id"] == *symbol && order["side"] == side && !held.long.is_zero()
            })
        };
        let counts = |order: &&Value| is_open(order) && !reduces(order);
        let open = orders.values().filter(counts).count();
        assert!(open <= OPEN_ORDERS_MAX, "{open} orders rest");
    }

    /// Ends faults, halt and pause, and waits until trading is open.
    fn come_to_rest(&mut self) {
        self.take(&Step::NoFaults);
        if self.halted.is_some() {
            self.take(&Step::Lift { accept: false });
        }
        if self.paused {
            self.take(&Step::Resume);
        }
        self.until_open();
        let simulator = &self.simulator;
        until("nothing is on its way at the simulator", || {
            match simulator.read("/sim/calls")["under_way"].as_u64().unwrap() {
                0 => Ok(()),
                some => Err(format!("{some} calls")),
            }
        });
    }

    /// Waits until trading is active.
    pub fn until_open(&mut self) {
        let admin = self.daemon.caller("admin");
        until("trading is open", || {
            let status = admin.status();
            match status["status"].as_str() {
                Some("active") => Ok(()),
                _ => Err(status.to_string()),
            }
        });
        self.opening = false;
    }

    /// `kill -9`, `audit verify`, start.
    pub fn restart(&mut self) {
        self.daemon.kill();
        self.start_again();
    }

    /// `audit verify` and a start, after a kill.
    pub fn start_again(&mut self) {
        self.daemon.verify();
        self.daemon.start();
        self.opening = true;
        self.ids.values_mut().for_each(|known| known.killed = true);
    }

    /// Asks every client's ids again and compares all records, until they say the same.
    fn until_one_truth(&mut self) -> Met {
        let file = self.daemon.data().join("../export");
        let mut met = Met::default();
        until_quiet(|| {
            self.daemon.verify();
            let journal = Journal::read(&self.daemon, &file);
            self.ask_again(&journal);
            let records = Records {
                ids: &self.ids,
                clients: &self.clients,
                journal: Journal::read(&self.daemon, &file),
                views: Views::read(&self.daemon.caller("admin")),
                venue: AtVenue::read(&self.simulator),
            };
            met = self.met(&records);
            records.differences(&self.halts)
        });
        met
    }

    fn met(&self, records: &Records<'_>) -> Met {
        let counts = &self.simulator.read("/sim/calls")["faults"];
        let done = counts
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64);
        let stories = records.journal.stories.values();
        Met {
            accepted: records.venue.accepted.len(),
            fills: records.venue.fills.len(),
            in_doubt: stories.filter(|story| story.was_in_doubt()).count(),
            halts: self.halts.len(),
            ids: self.ids.len(),
            faults: done.sum(),
        }
    }

    /// Sends everything again that was ever sent under an id which the journal has: each is answered
    /// from what is known, and nothing is sent on.
    fn ask_again(&mut self, journal: &Journal) {
        let bound: BTreeSet<_> = journal
            .stories
            .values()
            .map(|story| (story.client.clone(), story.client_order_id.clone()))
            .collect();
        let before = truth::accepted(&self.simulator).len();
        let keys: Vec<_> = self.ids.keys().cloned().collect();
        for key in keys {
            if !bound.contains(&(self.clients[key.0].clone(), key.1.clone())) {
                continue;
            }
            let bot = self.bot(key.0);
            let doors = self.doors();
            let known = self.ids.get_mut(&key).unwrap();
            for wish in known.sent.clone() {
                let reply = bot.order(&wish.body());
                assert!(
                    matches!(reply.status, 200 | 409),
                    "a bound id was judged again: {wish:?}: {reply:?}"
                );
                let taken = known.take(&wish, &reply, doors);
                taken.unwrap_or_else(|why| panic!("{why}: {wish:?}: {reply:?}\n{known:?}"));
            }
        }
        assert_eq!(
            truth::accepted(&self.simulator).len(),
            before,
            "a repeat was sent"
        );
    }
}

/// Waits until nothing differs.
fn until_quiet(mut differences: impl FnMut() -> Vec<String>) {
    until(
        "clients, journal, views and simulator tell one truth",
        || {
            let found = differences();
            if found.is_empty() {
                Ok(())
            } else {
                Err(format!("{} differences\n{}", found.len(), found.join("\n")))
            }
        },
    );
}

/// An API key of a bot with that name.
fn key_of(daemon: &Daemon, client: &str) -> String {
    let made = daemon.cli([
        "apikeys", "create", "--role", "system", "--owner", "ann", "--client", client, "--json",
    ]);
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let key = text.split('"').find(|word| word.starts_with("fg_"));
    key.unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

/// One seed from its first step to the comparison.
pub fn run(seed: u64, count: usize) -> Met {
    let steps = steps::of_seed(seed, count);
    let mut run = Run::start();
    let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.go(&steps)));
    went.unwrap_or_else(|panic| {
        let [service, simulator] = run.keep();
        eprintln!(
            "-- the run of seed {seed} failed; its last steps:\n{}\n\
             files of the service: {}\nfiles of the simulator: {}\n\
             again: FLASHGUARD_MODEL_SEED={seed} FLASHGUARD_MODEL_STEPS={count} cargo test --test e2e model",
            run.last_lines(),
            service.display(),
            simulator.display(),
        );
        std::panic::resume_unwind(panic)
    })
}
