//! What a signed order costs beyond its signature: `KeyManager::sign` with the EIP-712 digest, the
//! last hop and the framing of the venue in memory, and the same behind the gate, beside the raw
//! recoverable signature of `key_manager::sign_raw`.
//!
//! `cargo bench -p flashguard-actors --bench sign -- --raw` prints one number instead: the CPU time
//! of a raw signature in microseconds, for scripts that compare with it.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod desk;
mod measure;

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::domain::clock::{SystemClock, SystemEntropy, UnixMicros};
use flashguard_actors::domain::order::ClientOrderId;
use flashguard_actors::domain::secret::Redacted;
use flashguard_actors::gate::Recorded;
use flashguard_actors::journal::Journal;
use flashguard_actors::journal::checkpoint::CheckpointSigner;
use flashguard_actors::journal::record::{Entry, Fact};
use flashguard_actors::journal::writer::{Hooks, WriterSettings};
use flashguard_actors::key_manager::sign_raw::sign_recoverable;
use flashguard_actors::key_manager::{
    CHAIN_ID_DEFAULT, ChainKey, HotKeys, KeyManager, VenueCredential,
};
use flashguard_actors::ports::journal::memory::MemoryJournal;
use flashguard_actors::ports::journal::{Identity, Meta};
use flashguard_actors::ports::venue::Venue as _;
use flashguard_actors::ports::venue::memory::MemoryVenue;
use flashguard_latch::{Beat, Latch, State};
use rustix::time::{ClockId, clock_gettime};

use desk::{Desk, buy};
use measure::{Figures, head, rounds};

const ROUNDS: usize = 20_000;
const ORIGIN: &str = "flashguard.bench/sign";
const NOW: UnixMicros = UnixMicros(1_795_519_528_123_000);
const BEAT_LIMIT: Duration = Duration::from_secs(5);
const RECORD_WAIT_MAX: Duration = Duration::from_secs(10);
/// A private key as good as any.
const SCALAR: [u8; 32] = [0x42; 32];

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == "--raw") {
        println!("{:.2}", raw_cpu_us()?);
        return Ok(());
    }
    let mut desk = Desk::new()?;
    let keys = key_manager()?;
    let recorded = recorded(&mut desk, &keys)?;
    let (gate, client, order) = (desk.gate.clone(), desk.client.clone(), buy(2_500, 100));
    let latch = Latch::new(State::open(0), Beat::new(BEAT_LIMIT));
    let venue = MemoryVenue::new(Arc::new(latch), Vec::new());
    let framing = venue.framing();

    let [mut raw, mut signed, mut whole] = [(); 3].map(|()| Figures::default());
    for round in 0..rounds(ROUNDS) {
        let digest = digest(round);
        raw.round(1, || sign_recoverable(&digest, &SCALAR, &SystemEntropy));
        signed.round(1, || keys.sign(black_box(&recorded), framing, NOW));
        whole.round(1, || {
            let admitted = gate.admit(&desk.asked(&client, black_box(&order)));
            (admitted, keys.sign(black_box(&recorded), framing, NOW))
        });
    }

    head("sign");
    raw.print("bare: raw recoverable signature", &raw);
    signed.print("KeyManager::sign: digest, last hop, framing", &raw);
    whole.print("Gate::admit, then KeyManager::sign", &raw);
    Ok(())
}

fn digest(round: usize) -> [u8; 32] {
    let mut digest = [0x17; 32];
    let (counter, _) = digest.split_at_mut(8);
    counter.copy_from_slice(&(round as u64).to_be_bytes());
    digest
}

/// CPU time of one raw signature, in microseconds: this thread's, so that others do not count.
fn raw_cpu_us() -> Result<f64, Box<dyn Error>> {
    let cpu_us = || {
        let at = clock_gettime(ClockId::ThreadCPUTime);
        at.tv_sec as f64 * 1e6 + at.tv_nsec as f64 / 1e3
    };
    let began = cpu_us();
    for round in 0..ROUNDS {
        black_box(sign_recoverable(&digest(round), &SCALAR, &SystemEntropy)?);
    }
    Ok((cpu_us() - began) / ROUNDS as f64)
}

fn key_manager() -> Result<KeyManager, Box<dyn Error>> {
    let key = Redacted::taken_from(
        SCALAR
            .map(|byte| format!("{byte:02x}"))
            .concat()
            .into_bytes(),
    )?;
    let key = ChainKey::parse(&key, &SystemEntropy)?;
    let credential = VenueCredential::new("bench-key", "bench-secret")?;
    let keys = HotKeys::new(key, 1, credential, 1);
    Ok(KeyManager::new(
        keys,
        CHAIN_ID_DEFAULT,
        Arc::new(SystemEntropy),
    ))
}

/// An order the way every order goes: through the gate and into a journal, here one in memory.
fn recorded(desk: &mut Desk, keys: &KeyManager) -> Result<Recorded, Box<dyn Error>> {
    let (gate, client, request) = (desk.gate.clone(), desk.client.clone(), buy(2_500, 100));
    let asked = desk.asked(&client, &request);
    let id = asked.order_id;
    let admitted = gate
        .admit(&asked)
        .map_err(|denials| format!("{denials:?}"))?;
    let identity = Identity {
        client: desk.client.clone(),
        client_order_id: ClientOrderId::try_from(id.to_string())?,
    };
    let intent = Fact::OrderIntent {
        order: admitted.order().clone(),
        client: identity.client.clone(),
        client_order_id: identity.client_order_id.clone(),
        content_hash: String::new(),
        reserved_usdc: admitted.reserved_usdc(),
        limits_v: admitted.judged().limits_v,
        reference: admitted.judged().reference,
        marks: vec![],
        at_market: false,
        epoch: 0,
        key_id: keys.identity().key_id.clone(),
        credential_generation: 1,
    };
    let journal = journal()?;
    let durable = journal
        .append_intent(Entry::of("gate", intent), identity)
        .wait(RECORD_WAIT_MAX)
        .ok_or("the journal did not answer")??;
    journal.close()?;
    Ok(admitted.recorded(durable))
}

fn journal() -> Result<Journal, Box<dyn Error>> {
    let signer = CheckpointSigner::from_seed(ORIGIN, &[7; 32])?;
    let memory = MemoryJournal::new(Meta {
        origin: ORIGIN.to_owned(),
        verifier_key: signer.key().to_string(),
    });
    let (journal, _) = Journal::open(
        Box::new(memory.store()),
        signer,
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
        WriterSettings::default(),
        Hooks::none(),
    )?;
    Ok(journal)
}
