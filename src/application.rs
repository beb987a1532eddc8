//! The application: a data directory turned into a running system, without HTTP.
//!
//! Settings → stores → keys → venue → system, in this order, and nothing is wired anywhere else.
//! The service puts listeners in front of it (`startup`); an embedder who wants the durable stores
//! uses it as it is (`docs/examples/embedded_bot.rs`).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::auth::{Access, AuthActor, AuthMeans};
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy};
use flashguard_actors::domain::identity::Principal;
use flashguard_actors::domain::market::{Market, Symbol};
use flashguard_actors::gate::Limits;
use flashguard_actors::journal::actor::JournalActor;
use flashguard_actors::journal::episodes::RecordBound;
use flashguard_actors::journal::fold::{self, Folding};
use flashguard_actors::journal::record::{Entry, Fact};
use flashguard_actors::journal::writer::WriterSettings;
use flashguard_actors::journal::{AppendError, Journal};
use flashguard_actors::key_manager::{
    HotKeys, Imported, KeyError, KeyManager, KeyManagerActor, KeyMeans, KeysFold, MasterKey,
    ServiceKeyError, Vault, import_once, open_journal_signer, open_token_key,
    open_venue_credential, open_verifiers,
};
use flashguard_actors::ports::journal::{JournalReader, JournalReaders, StoreError};
use flashguard_actors::ports::key_store::KeyStoreError;
use flashguard_actors::ports::sentinel::SharedSentinel;
use flashguard_actors::ports::venue::memory::MemoryVenue;
use flashguard_actors::ports::venue::{Quote, SharedVenue};
use flashguard_actors::supervision::{ActorName, Stable, StartError};
use flashguard_actors::system::{
    Handle, JournalAlarm, Parts, StartFailed, State, StopReport, System, SystemSettings, decide,
};
use flashguard_actors::trading::health::HealthLimits;
use flashguard_latch::{Beat, Latch};
use rust_decimal::Decimal;
use zeroize::Zeroizing;

use crate::control::{DataDirectory, Lock};
use crate::seed_variables::{Notice, SeedVariables};
use crate::settings::{Adapter, OnStop, Settings};
use crate::stores::keys::FileKeyStore;
use crate::stores::master_key::{self, MasterKeyError};
use crate::stores::sentinel::FileSentinel;
use crate::stores::sqlite::JOURNAL_FILE;
use crate::stores::sqlite::follower::Follower;
use crate::stores::sqlite::journal::{SqliteReader, SqliteReaders, SqliteStore};
use crate::venues::connected::{ConnectError, HttpVenue};
use crate::venues::paper::{
    Enrolment, PaperSettings, PaperVenue, PaperVenueParts, Scope, ServeError, serve,
};

/// Name of the system's fold in the journal's snapshots.
pub const STATE_FOLD: &str = "system";
/// The sealed keys' folder.
const KEYS: &str = "keys";
/// The views' file.
const VIEWS_FILE: &str = "views.db";
/// Longest that the first record is waited for.
const FIRST_RECORD_WAIT_MAX_MS: u64 = 5_000;
/// How far the clock may be behind the journal's last record (K4).
const CLOCK_BEHIND_MAX_MS: u64 = 5_000;
/// Longest that a thread may wait between two beats (K13).
const BEAT_LIMIT_MS: u64 = flashguard_actors::emergency::watch::BEAT_LIMIT_MS;

/// What an application is made of.
pub struct Options {
    /// An initialised data directory.
    pub directory: Arc<DataDirectory>,
    /// Held as long as the application runs.
    pub lock: Lock,
    /// All settings, valid.
    pub settings: Settings,
    /// Keys from outside: each is taken in once, when the journal knows no version of its name.
    pub seeds: SeedVariables,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
}

/// The supervised actors that do not trade.
#[derive(Clone)]
pub struct Staff {
    /// Answers about the journal's writer.
    pub journal: Stable<JournalActor>,
    /// Lists keys and takes them in.
    pub keys: Stable<KeyManagerActor>,
    /// Makes API keys and takes them away; counts failed logins.
    pub auth: Stable<AuthActor>,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The master key cannot be used.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The key store cannot be read.
    #[error("the key store cannot be read")]
    KeyStore(#[from] KeyStoreError),
    /// A hot key is missing, lost or damaged.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// One of the service's own secrets is missing, lost or damaged.
    #[error(transparent)]
    ServiceKey(#[from] ServiceKeyError),
    /// The journal is missing, damaged or of a later version.
    #[error(transparent)]
    Journal(#[from] StoreError),
    /// The journal does not write.
    #[error("the journal does not take its first record")]
    Append(#[from] AppendError),
    /// The disk was silent for too long.
    #[error("the journal's first record was not durable in time")]
    TooSlow,
    /// The sentinel's directory cannot be opened.
    #[error("the data directory cannot be opened")]
    Directory(#[source] std::io::Error),
    /// The venue cannot be talked to at all.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The paper venue cannot run.
    #[error(transparent)]
    Paper(#[from] ServeError),
    /// `paper.listen` cannot be bound.
    #[error("the paper venue cannot listen on {address}")]
    PaperListen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// `venue.url` is missing for `venue.adapter = "http"`.
    #[error("venue.url is not set; venue.adapter = \"http\" needs it")]
    NoVenueUrl,
    /// Tokens cannot be signed.
    #[error("tokens cannot be signed on this system")]
    Tokens,
    /// The system did not start.
    #[error(transparent)]
    Start(#[from] StartFailed),
}

/// The running application. [`Application::stop`] ends it in order.
pub struct Application {
    system: System,
    access: Arc<Access>,
    vault: Arc<Vault>,
    paper: Option<PaperVenue>,
    follower: Follower,
    staff: Staff,
    settings: Settings,
    clock: SharedClock,
    entropy: SharedEntropy,
    directory: Arc<DataDirectory>,
    _lock: Lock,
}

impl Application {
    /// Starts everything but HTTP. When it returns the kill switch works and the state is known;
    /// orders come in once the venue was read.
    ///
    /// # Errors
    ///
    /// [`OpenError`] names what is missing or does not fit; nothing runs then.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let Options {
            directory,
            lock,
            settings,
            seeds,
            clock,
            entropy,
        } = options;
        flashguard_actors::auth::install_provider().map_err(|_| OpenError::Tokens)?;
        let vault = Arc::new(open_vault(&directory, &settings, &entropy)?);
        let path = directory.path().join(JOURNAL_FILE);
        let mut state = read_state(&path)?;
        state.read_reasons(&SqliteReader::open(&path)?)?;
        let alarm = JournalAlarm::default();
        let journal = open_journal(&path, &vault, &settings, &clock, &entropy, &alarm)?;
        let sentinel: SharedSentinel =
            Arc::new(FileSentinel::open(directory.path()).map_err(OpenError::Directory)?);
        let decision = decide(&state.halts, &sentinel.look());
        let beat = Beat::new(Duration::from_millis(BEAT_LIMIT_MS));
        let latch = Arc::new(Latch::new(decision.latch, beat));
        take_in_seeds(&seeds, &vault, &mut state.keys, &journal)?;
        let hot = HotKeys::open(&vault, &state.keys)?;
        let keys = KeyManager::new(hot, settings.venue.chain_id, entropy.clone());
        let keys = Arc::new(keys);
        let (venue, paper) = open_venue(
            &directory, &settings, &vault, &state, &keys, &latch, &clock, &entropy,
        )?;
        let record_bound = RecordBound::default();
        let access = Arc::new(open_access(
            &vault,
            &state,
            &settings,
            &record_bound,
            &entropy,
        )?);
        let behind_ms = journal.head().last_time.millis_since(clock.now());
        let behind = (behind_ms > CLOCK_BEHIND_MAX_MS)
            .then(|| format!("the clock is {behind_ms} ms behind the journal's last record"));
        let halt_because = decision.halt_because.or(behind);
        announce(&journal, &state, halt_because.clone())?;
        let readers: Arc<dyn JournalReaders> = Arc::new(SqliteReaders::new(path));
        let (follower, views) = Follower::start(
            &directory.path().join(VIEWS_FILE),
            readers.clone(),
            journal.clone(),
            vec![Box::new(Folding::<State>::new(STATE_FOLD))],
        )?;
        let key_means = KeyMeans {
            keys: keys.clone(),
            vault: vault.clone(),
            journal: journal.clone(),
            readers: readers.clone(),
        };
        let auth_means = AuthMeans {
            access: access.clone(),
            verifiers: vault.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let system = System::start(Parts {
            clock: clock.clone(),
            entropy: entropy.clone(),
            latch,
            journal,
            readers,
            views: Arc::new(views),
            keys,
            venue,
            sentinel,
            state,
            halt_because,
            alarm,
            record_bound,
            settings: system_settings(&settings),
        })
        .await?;
        let staff = hire(&system.handle(), key_means, auth_means).await?;
        Ok(Self {
            system,
            staff,
            access,
            vault,
            paper,
            follower,
            settings,
            clock,
            entropy,
            directory,
            _lock: lock,
        })
    }

    /// The running system.
    pub fn handle(&self) -> Handle {
        self.system.handle()
    }

    /// Who may come in.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The actors that do not trade.
    pub fn staff(&self) -> &Staff {
        &self.staff
    }

    /// The sealed secrets.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The data directory.
    pub fn directory(&self) -> &Arc<DataDirectory> {
        &self.directory
    }

    /// Time.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Randomness.
    pub fn entropy(&self) -> &SharedEntropy {
        &self.entropy
    }

    /// Where the paper venue listens, when it runs in this process.
    pub fn paper_address(&self) -> Option<SocketAddr> {
        self.paper.as_ref().map(PaperVenue::address)
    }

    /// Ends in order: no order comes in, answers are waited for, resting orders are cancelled or
    /// left as `server.on_stop` says, the journal is closed, then the paper venue.
    pub async fn stop(self) -> StopReport {
        let cancel = self.settings.server.on_stop == OnStop::Cancel;
        let follower = self.follower;
        let report = self.system.stop(cancel, move || follower.stop()).await;
        if let Some(paper) = self.paper {
            paper.stop();
        }
        report
    }
}

/// Hires the actors that do not trade.
async fn hire(system: &Handle, keys: KeyMeans, auth: AuthMeans) -> Result<Staff, StartFailed> {
    let journal = keys.journal.clone();
    Ok(Staff {
        journal: system
            .supervise(ActorName::new("journal")?, move |_| {
                Ok(JournalActor::new(journal.clone()))
            })
            .await?,
        keys: system
            .supervise(ActorName::new("key-manager")?, move |_| {
                let actor = KeyManagerActor::new(keys.clone());
                actor.map_err(|error| StartError::new(error.internal()))
            })
            .await?,
        auth: system
            .supervise(ActorName::new("auth")?, move |_| {
                Ok(AuthActor::new(auth.clone()))
            })
            .await?,
    })
}

/// The sealed secrets of a data directory.
///
/// # Errors
///
/// [`OpenError`] when the master key or the store cannot be used, or production is not to use it
/// where it lies.
pub fn open_vault(
    directory: &DataDirectory,
    settings: &Settings,
    entropy: &SharedEntropy,
) -> Result<Vault, OpenError> {
    let place = master_key::place(directory.path(), settings)?;
    let master: MasterKey = master_key::read(&place)?;
    let store = FileKeyStore::open(&directory.path().join(KEYS))?;
    Ok(Vault::new(Arc::new(store), master, entropy.clone()))
}

/// What the journal says everything is.
///
/// # Errors
///
/// [`StoreError`] when it cannot be read or holds what this program does not know.
pub fn read_state(journal: &Path) -> Result<State, StoreError> {
    let reader = SqliteReader::open(journal)?;
    let mut folding = Folding::<State>::new(STATE_FOLD);
    for name in fold::load(&mut [&mut folding], &reader)? {
        tracing::warn!(
            fold = name,
            "a snapshot did not fit: read again from the first record"
        );
    }
    Ok(folding.state)
}

fn open_journal(
    path: &Path,
    vault: &Vault,
    settings: &Settings,
    clock: &SharedClock,
    entropy: &SharedEntropy,
    alarm: &JournalAlarm,
) -> Result<Journal, OpenError> {
    let meta = SqliteReader::open(path)?.meta()?;
    let signer = open_journal_signer(vault, &meta.origin)?;
    let writer = WriterSettings {
        reserve_bytes: settings.journal.reserve_mib.saturating_mul(1 << 20),
        ..WriterSettings::default()
    };
    let store = Box::new(SqliteStore::open(path)?);
    let hooks = alarm.hooks();
    let (journal, _) = Journal::open(store, signer, clock.clone(), entropy.clone(), writer, hooks)?;
    Ok(journal)
}

/// Takes in the keys from outside that the journal has no version of; tells of those that differ from
/// the one in use, and uses none of them.
fn take_in_seeds(
    seeds: &SeedVariables,
    vault: &Vault,
    keys: &mut KeysFold,
    journal: &Journal,
) -> Result<(), OpenError> {
    let Imported { sealed, differing } = import_once(vault, keys, &seeds.seeds)?;
    for key in differing {
        let variables = seeds.variables_of(key).to_owned();
        let notice = Notice::Differs { variables, key };
        tracing::warn!("{notice}: {}", notice.mend());
    }
    let by = Principal::local(rustix::process::geteuid().as_raw());
    for sealed in sealed {
        // SAFETY-ORDER: the file is durable and proved; now its records, then it is used.
        for fact in sealed.facts() {
            let entry = Entry::of("key_manager", fact.clone()).by(by.clone());
            let written = journal.append(entry);
            let committed = written
                .wait(Duration::from_millis(FIRST_RECORD_WAIT_MAX_MS))
                .ok_or(OpenError::TooSlow)??;
            keys.take_in(&fact, committed.time());
        }
        tracing::info!(
            key.name = %sealed.name,
            key.version = sealed.version,
            key.fingerprint = sealed.fingerprint,
            "a key from the seed's variables was taken in"
        );
    }
    Ok(())
}

/// The first records of this process; a journal that does not take them refuses to start.
fn announce(journal: &Journal, state: &State, halted_by: Option<String>) -> Result<(), OpenError> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut facts = vec![Fact::SystemStarted { version, halted_by }];
    if state.run.is_running() {
        let orders_in_doubt = state.ledger.orders.unanswered() as u64;
        facts.push(Fact::SystemRecovered { orders_in_doubt });
    }
    for fact in facts {
        let written = journal.append(Entry::of("system", fact));
        written
            .wait(Duration::from_millis(FIRST_RECORD_WAIT_MAX_MS))
            .ok_or(OpenError::TooSlow)??;
    }
    Ok(())
}

fn open_access(
    vault: &Vault,
    state: &State,
    settings: &Settings,
    bound: &RecordBound,
    entropy: &SharedEntropy,
) -> Result<Access, OpenError> {
    let (verifiers, problems) = open_verifiers(vault, &state.keys);
    for problem in problems {
        tracing::error!(%problem, "an API key cannot be proven: it lets nobody in");
    }
    let token_key = open_token_key(vault, &state.keys)?;
    let lifetime_s = settings.auth.token_lifetime_s.into();
    Ok(Access::new(
        state.auth.clone(),
        verifiers,
        token_key,
        lifetime_s,
        entropy.clone(),
        bound.clone(),
    ))
}

#[expect(
    clippy::too_many_arguments,
    reason = "wiring: each is used once, for one of the venues"
)]
fn open_venue(
    directory: &DataDirectory,
    settings: &Settings,
    vault: &Vault,
    state: &State,
    keys: &KeyManager,
    latch: &Arc<Latch>,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<(SharedVenue, Option<PaperVenue>), OpenError> {
    let timeout = Duration::from_millis(settings.venue.timeout_ms);
    let ca_file = settings.venue.ca_file.as_deref();
    match settings.venue.adapter {
        Adapter::Memory => Ok((
            Arc::new(MemoryVenue::new(latch.clone(), still_books())),
            None,
        )),
        Adapter::Http => {
            let url = settings.venue.url.as_ref().ok_or(OpenError::NoVenueUrl)?;
            let venue = HttpVenue::new("http", url.as_str(), ca_file, timeout, latch.clone())?;
            Ok((Arc::new(venue), None))
        }
        Adapter::Paper => {
            let address = settings.paper.listen;
            let listener = TcpListener::bind(address)
                .map_err(|source| OpenError::PaperListen { address, source })?;
            let paper = serve(PaperVenueParts {
                listener,
                tls: None,
                directory: directory.path().to_owned(),
                settings: PaperSettings {
                    volatility_bps_per_s: settings.paper.volatility_bps_per_s,
                    depth_per_level: settings.paper.depth_per_level,
                    chain_id: settings.venue.chain_id,
                },
                enrolments: vec![enrolment(vault, state, keys)?],
                clock: clock.clone(),
                entropy: entropy.clone(),
            })?;
            let url = format!("http://{}", paper.address());
            let venue = HttpVenue::new("paper", &url, None, timeout, latch.clone())?;
            Ok((Arc::new(venue), Some(paper)))
        }
    }
}

/// How the paper venue comes to know this service: as an account that was opened there with this
/// credential and this signer. It may trade and read, never withdraw.
fn enrolment(vault: &Vault, state: &State, keys: &KeyManager) -> Result<Enrolment, OpenError> {
    let credential = open_venue_credential(vault, &state.keys)?;
    let view = credential.view();
    let mut signer = [0; 20];
    let address = keys.identity().signer.clone();
    let hex = address.strip_prefix("0x").unwrap_or(&address);
    hex::decode_to_slice(hex, &mut signer).map_err(|_| OpenError::Tokens)?;
    Ok(Enrolment {
        account: "flashguard".to_owned(),
        api_key: view.api_key.to_owned(),
        secret: Zeroizing::new(String::from_utf8_lossy(view.secret).into_owned()),
        signers: vec![signer],
        scopes: vec![Scope::Read, Scope::Trade],
    })
}

/// The seed's two markets with the paper venue's references, standing still.
fn still_books() -> Vec<(Market, Quote)> {
    let market = |symbol: &str, tick: i64, tick_scale, lot_scale, mid: i64| {
        let tick = Decimal::new(tick, tick_scale);
        let market = Market {
            symbol: Symbol::parse(symbol).ok()?,
            tick,
            lot: Decimal::new(1, lot_scale),
            least_notional: Decimal::ONE,
        };
        let mid = Decimal::new(mid, tick_scale);
        Some((
            market,
            Quote {
                bid: mid - tick,
                ask: mid + tick,
            },
        ))
    };
    [
        market("SEI/USDC", 1, 4, 0, 2_500),
        market("ETH/USDC", 1, 2, 3, 250_000),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn system_settings(settings: &Settings) -> SystemSettings {
    let gate = &settings.gate;
    SystemSettings {
        limits: Limits {
            symbols: gate.symbols.clone(),
            price_collar_hard_pct: gate.price_collar_hard_pct,
            order_notional_max_usdc: gate.order_notional_max_usdc,
            position_limit_usdc: gate.position_limit_usdc,
            gross_exposure_max_usdc: gate.gross_exposure_max_usdc,
            open_orders_max: gate.open_orders_max,
            orders_in_doubt_max: gate.orders_in_doubt_max,
            price_collar_soft_pct: gate.price_collar_soft_pct,
            reference_max_age_ms: gate.reference_max_age_ms,
            order_rate_per_s: gate.order_rate_per_s,
            order_rate_burst: gate.order_rate_burst,
            ..Limits::default()
        },
        health: HealthLimits {
            window_ms: settings.venue.health_window_s.saturating_mul(1_000),
            calls_min: settings.venue.health_calls_min,
            degraded_pct: settings.venue.health_degraded_pct,
            broken_pct: settings.venue.health_broken_pct,
        },
        order_send_ttl_ms: settings.venue.order_send_ttl_ms,
        lift_approvals: settings.emergency.lift_approvals,
        answer_wait_ms: settings.emergency.answer_wait_ms,
    }
}
