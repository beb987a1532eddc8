//! Signing as a whole: what comes out is the order that was recorded, and nothing else.

use std::sync::Arc;

use flashguard_latch::{Beat, Latch, State};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;
use crate::domain::clock::{SystemEntropy, UnixMicros};
use crate::domain::market::{Lots, Symbol, Ticks};
use crate::domain::order::{Order, OrderId, OrderType, Side};
use crate::domain::secret::Redacted;
use crate::journal::record::{Fact, Fold, Record};
use crate::ports::key_store::{KeyName, KeyStore, MemoryKeyStore};
use crate::ports::venue::memory::MemoryVenue;
use crate::ports::venue::{Query, SharedVenue};

/// The venue in memory: its framing shows the order, its signature and which credential was lent.
fn venue() -> SharedVenue {
    let beat = Beat::with_clock(std::time::Duration::from_secs(3_600), || 0);
    let latch = Arc::new(Latch::new(State::open(0), beat));
    Arc::new(MemoryVenue::new(latch, vec![]))
}

fn order() -> Order {
    Order {
        order_id: OrderId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        symbol: Symbol::parse("SEI/USDC").unwrap(),
        side: Side::Buy,
        order_type: OrderType::Limit,
        price_ticks: Ticks(2500),
        price: Decimal::from_str_exact("0.2500").unwrap(),
        size_lots: Lots(100),
        size: Decimal::from_str_exact("100").unwrap(),
        expires_at_ms: 1_795_519_533_123,
    }
}

fn recorded() -> crate::gate::Recorded {
    crate::gate::Recorded::for_tests(order(), 7)
}

fn text(text: &str) -> Redacted {
    Redacted::taken_from(text.as_bytes().to_vec()).unwrap()
}

const DEV_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn vault(store: Arc<dyn KeyStore>) -> Vault {
    let master = MasterKey::generate(&SystemEntropy).unwrap();
    Vault::new(store, master, Arc::new(SystemEntropy))
}

fn fold_of(facts: impl IntoIterator<Item = Fact>) -> KeysFold {
    let mut fold = KeysFold::default();
    for (seq, fact) in facts.into_iter().enumerate() {
        fold.apply(&Record {
            seq: seq as u64,
            time: UnixMicros(seq as u64),
            fact,
            private: None,
            actor: "key_manager".into(),
            principal: None,
            correlation: None,
        });
    }
    fold
}

fn both_keys(vault: &Vault) -> Vec<Fact> {
    let key = ChainKey::parse(&text(DEV_KEY), &SystemEntropy).unwrap();
    let credential = VenueCredential::new("key-1", "secret-1").unwrap();
    let chain = seal_chain_key(vault, &key).unwrap();
    let venue = seal_venue_credential(vault, &credential).unwrap();
    [chain.facts(), venue.facts()].concat()
}

fn key_manager() -> KeyManager {
    let vault = vault(MemoryKeyStore::new());
    let fold = fold_of(both_keys(&vault));
    let keys = HotKeys::open(&vault, &fold).unwrap();
    KeyManager::new(keys, CHAIN_ID_DEFAULT, Arc::new(SystemEntropy))
}

#[test]
fn a_recorded_order_is_signed_by_the_key_in_use_and_framed_whole() {
    let signed = key_manager()
        .sign(&recorded(), venue().framing(), UnixMicros(42))
        .unwrap();
    assert_eq!(signed.key_id(), "sei/1");
    assert_eq!(signed.credential_generation(), 1);
    assert_eq!(signed.signed_at(), UnixMicros(42));
    assert_eq!(signed.order(), &order());
    let signature = signed.signature();
    assert_eq!(
        signature.signer,
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    );
    assert_eq!(signed.framed().target, "/orders");
    assert_eq!(signed.framed().headers, [("x-api-key", "key-1".to_owned())]);
    let body = std::str::from_utf8(&signed.framed().body).unwrap();
    assert_eq!(
        body,
        format!("{} {}", order().order_id, signature.signature)
    );
    assert_eq!(
        recover(&signature.digest, &signature.signature),
        signature.signer
    );
}

/// The address that an independent recovery finds behind a signature.
fn recover(digest: &str, signature: &str) -> String {
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
    let digest: [u8; 32] = hex::decode(&digest[2..]).unwrap().try_into().unwrap();
    let bytes = hex::decode(&signature[2..]).unwrap();
    assert_eq!(bytes.len(), 65);
    let id = RecoveryId::from_u8_masked(bytes[64] - 27);
    let point = RecoverableSignature::from_compact(&bytes[..64], id)
        .unwrap()
        .recover(secp256k1::Message::from_digest(digest))
        .unwrap();
    alloy_primitives::Address::from_raw_public_key(&point.serialize_uncompressed()[1..])
        .to_checksum(None)
}

#[test]
fn the_same_order_has_the_same_signature() {
    let keys = key_manager();
    let signature = || {
        keys.sign(&recorded(), venue().framing(), UnixMicros(1))
            .unwrap()
            .signature()
            .clone()
    };
    assert_eq!(signature(), signature());
}

#[test]
fn queries_are_framed_with_the_credential_in_use() {
    let framed = key_manager().frame_query(venue().framing(), &Query::CancelAll, UnixMicros(1));
    assert_eq!(framed.headers, [("x-api-key", "key-1".to_owned())]);
}

#[test]
fn a_key_that_the_journal_does_not_name_is_not_used() {
    let vault = vault(MemoryKeyStore::new());
    let facts = both_keys(&vault);
    for (without, name) in [(1, "sei"), (3, "venue")] {
        let mut some = facts.clone();
        some.remove(without);
        let opened = HotKeys::open(&vault, &fold_of(some)).err().unwrap();
        assert!(matches!(opened, KeyError::Missing { name: n } if n.as_str() == name));
    }
}

#[test]
fn a_lost_file_and_another_key_are_told_apart() {
    let store = MemoryKeyStore::new();
    let vault = vault(store.clone());
    let facts = both_keys(&vault);
    let current = |version| Fact::KeyCurrent {
        name: "sei".into(),
        version,
    };
    let lost = fold_of([facts.clone(), vec![current(9)]].concat());
    let opened = HotKeys::open(&vault, &lost).err().unwrap();
    assert!(matches!(opened, KeyError::Lost { version: 9, .. }));

    let mut other = facts;
    if let Fact::KeySealed { fingerprint, .. } = &mut other[0] {
        fingerprint.make_ascii_lowercase();
    }
    let opened = HotKeys::open(&vault, &fold_of(other)).err().unwrap();
    assert!(matches!(opened, KeyError::OtherKey { version: 1, .. }));
}

#[test]
fn names_of_this_program_are_names() {
    for name in [HotKeys::CHAIN, HotKeys::VENUE] {
        assert!(KeyName::parse(name).is_ok());
    }
}

#[test]
fn no_error_says_anything_of_a_key() {
    let canary = "canary0123456789canary0123456789canary0123456789canary0123456789";
    let parsed = ChainKey::parse(&text(canary), &SystemEntropy)
        .err()
        .unwrap();
    let credential = VenueCredential::parse(&text(canary)).err().unwrap();
    for said in [
        format!("{parsed} {parsed:?}"),
        format!("{credential} {credential:?}"),
    ] {
        assert!(!said.contains("canary"), "{said}");
    }
}

fn seeds(chain: Option<&str>, venue: Option<(&str, &str)>) -> Seeds {
    Seeds {
        chain: chain.map(|key| ChainKey::parse(&text(key), &SystemEntropy).unwrap()),
        venue: venue.map(|(key, secret)| VenueCredential::new(key, secret).unwrap()),
    }
}

#[test]
fn a_seed_is_taken_in_once_and_only_the_same_one_passes_in_silence() {
    let vault = vault(MemoryKeyStore::new());
    let both = seeds(Some(DEV_KEY), Some(("key-1", "secret-1")));
    let first = import_once(&vault, &KeysFold::default(), &both).unwrap();
    assert_eq!((first.sealed.len(), first.differing.len()), (2, 0));
    let fold = fold_of(first.sealed.iter().flat_map(Sealed::facts));
    assert!(HotKeys::open(&vault, &fold).is_ok());

    assert_eq!(
        import_once(&vault, &fold, &both).unwrap(),
        Imported::default()
    );
    assert_eq!(
        import_once(&vault, &fold, &seeds(None, None)).unwrap(),
        Imported::default()
    );
    let other_key = format!("{}1", "0".repeat(63));
    let other = seeds(Some(&other_key), Some(("key-1", "secret-2")));
    let refused = import_once(&vault, &fold, &other).unwrap();
    assert_eq!(
        (refused.sealed.len(), refused.differing),
        (0, vec!["sei", "venue"])
    );
    assert_eq!(vault.list().unwrap().len(), 2, "nothing new was written");
}

#[test]
fn a_seed_whose_record_never_became_durable_is_taken_in_again() {
    let vault = vault(MemoryKeyStore::new());
    let seeds = seeds(Some(DEV_KEY), None);
    let lost = import_once(&vault, &KeysFold::default(), &seeds).unwrap();
    assert_eq!(lost.sealed[0].version, 1);
    let again = import_once(&vault, &KeysFold::default(), &seeds).unwrap();
    assert_eq!(again.sealed[0].version, 2);
    let fold = fold_of(again.sealed.iter().flat_map(Sealed::facts));
    assert!(
        HotKeys::open(&vault, &fold).is_err(),
        "no venue credential yet"
    );
    assert_eq!(
        fold.current(&KeyName::parse("sei").unwrap())
            .map(|(v, _)| v),
        Some(2)
    );
}

#[test]
fn a_rotated_out_seed_does_not_come_back() {
    let vault = vault(MemoryKeyStore::new());
    let old = seeds(None, Some(("old", "leaked")));
    let first = import_once(&vault, &KeysFold::default(), &old).unwrap();
    let new = VenueCredential::new("new", "fresh").unwrap();
    let second = seal_venue_credential(&vault, &new).unwrap();
    let facts = first
        .sealed
        .iter()
        .flat_map(Sealed::facts)
        .chain(second.facts());
    let again = import_once(&vault, &fold_of(facts), &old).unwrap();
    assert_eq!((again.sealed.len(), again.differing), (0, vec!["venue"]));
}

#[test]
fn the_services_own_secrets_open_as_they_were_sealed() {
    let vault = vault(MemoryKeyStore::new());
    let key = crate::auth::ApiKey::generate(&SystemEntropy).unwrap();
    let verifier = seal_verifier(&vault, key.id(), &key.verifier()).unwrap();
    let token = generate_token_secret(&vault).unwrap();
    let (journal, signer) = generate_journal_key(&vault, "test/journal").unwrap();
    let fold = fold_of([verifier, token, journal].iter().flat_map(Sealed::facts));

    let (verifiers, problems) = open_verifiers(&vault, &fold);
    assert!(problems.is_empty());
    assert_eq!(verifiers[key.id().as_str()].bytes(), key.verifier().bytes());
    assert!(open_token_key(&vault, &fold).is_ok());
    let opened = open_journal_signer(&vault, "test/journal").unwrap();
    assert_eq!(opened.key().to_string(), signer.key().to_string());
}

#[test]
fn a_damaged_verifier_is_told_of_and_the_others_go_on() {
    let store = MemoryKeyStore::new();
    let vault = vault(store.clone());
    let (one, two) = (
        crate::auth::ApiKey::generate(&SystemEntropy).unwrap(),
        crate::auth::ApiKey::generate(&SystemEntropy).unwrap(),
    );
    let sealed = [&one, &two].map(|key| seal_verifier(&vault, key.id(), &key.verifier()).unwrap());
    store.tamper(&sealed[0].name, 1, b"garbage".to_vec());
    let (verifiers, problems) =
        open_verifiers(&vault, &fold_of(sealed.iter().flat_map(Sealed::facts)));
    assert_eq!((verifiers.len(), problems.len()), (1, 1));
    assert!(verifiers.contains_key(two.id().as_str()));
}

#[test]
fn what_was_never_sealed_is_missing() {
    let vault = vault(MemoryKeyStore::new());
    let token = open_token_key(&vault, &KeysFold::default());
    assert!(matches!(
        token,
        Err(ServiceKeyError::Missing { name: "jwt" })
    ));
    let journal = open_journal_signer(&vault, "test/journal");
    assert!(matches!(
        journal,
        Err(ServiceKeyError::Missing { name: "journal" })
    ));
}

#[cfg(feature = "runtime")]
mod with_a_journal {
    use super::*;
    use crate::domain::clock::SystemClock;
    use crate::domain::identity::Principal;
    use crate::journal::Journal;
    use crate::journal::checkpoint::CheckpointSigner;
    use crate::journal::writer::{Hooks, WriterSettings};
    use crate::ports::journal::Meta;
    use crate::ports::journal::memory::{Faults, MemoryJournal};
    use actix::Actor as _;

    fn means() -> (MemoryJournal, KeyMeans) {
        let signer = CheckpointSigner::from_seed("test", &[1; 32]).unwrap();
        let memory = MemoryJournal::new(Meta {
            origin: "test".into(),
            verifier_key: signer.key().to_string(),
        });
        let (journal, _) = Journal::open(
            Box::new(memory.store()),
            signer,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            WriterSettings {
                reserve_bytes: 0,
                ..WriterSettings::default()
            },
            Hooks::none(),
        )
        .unwrap();
        let vault = vault(MemoryKeyStore::new());
        for fact in both_keys(&vault) {
            let entry = crate::journal::record::Entry::of("key_manager", fact);
            journal
                .append(entry)
                .wait(std::time::Duration::from_secs(10))
                .unwrap()
                .unwrap();
        }
        let mut fold = crate::journal::fold::Folding::<KeysFold>::new("keys");
        crate::journal::fold::load(&mut [&mut fold], &memory.store()).unwrap();
        let hot = HotKeys::open(&vault, &fold.state).unwrap();
        let means = KeyMeans {
            keys: Arc::new(KeyManager::new(
                hot,
                CHAIN_ID_DEFAULT,
                Arc::new(SystemEntropy),
            )),
            vault: Arc::new(vault),
            journal,
            readers: Arc::new(memory.clone()),
        };
        (memory, means)
    }

    fn chain_key(fill: char) -> HotKey {
        HotKey::Chain(ChainKey::parse(&text(&fill.to_string().repeat(64)), &SystemEntropy).unwrap())
    }

    #[test]
    fn a_key_taken_in_is_current_at_once_and_used_from_the_next_start() {
        actix_rt::System::new().block_on(async {
            let (_memory, means) = means();
            let actor = KeyManagerActor::new(means.clone()).unwrap().start();
            let by = Principal::local(0);
            let key = chain_key('1');
            let sealed = actor
                .send(ImportKey {
                    key,
                    by: by.clone(),
                })
                .await
                .unwrap();
            assert_eq!(sealed.unwrap_or_else(|e| panic!("{e}")).version, 2);
            let listed = actor.send(ListKeys).await.unwrap().unwrap();
            let seen: Vec<_> = listed
                .iter()
                .map(|k| (k.id.as_str(), k.class, k.in_use))
                .collect();
            assert_eq!(
                seen,
                [
                    ("sei/2", "hot", Some(false)),
                    ("venue/1", "hot", Some(true))
                ]
            );
            assert_eq!(means.keys.identity().key_id, "sei/1");

            let made = actor.send(GenerateChainKey { by }).await.unwrap();
            let made = made.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(made.version, 3);
            let again = KeyManagerActor::new(means).unwrap();
            let name = KeyName::parse("sei").unwrap();
            assert_eq!(
                again.known.state.current(&name),
                Some((3, made.fingerprint.as_str())),
                "a new incarnation reads the journal"
            );
        });
    }

    #[test]
    fn a_key_that_cannot_be_recorded_is_not_current() {
        actix_rt::System::new().block_on(async {
            let (memory, means) = means();
            memory.fail(Faults {
                commits_left: Some(0),
                ..Faults::default()
            });
            let by = Principal::local(0);
            let taken = take_in(&chain_key('2'), &by, &means.vault, &means.journal).await;
            assert!(matches!(taken, Err(IntakeError::NotRecorded(_))));
            let actor = KeyManagerActor::new(means).unwrap();
            let name = KeyName::parse("sei").unwrap();
            assert_eq!(actor.known.state.current(&name).map(|(v, _)| v), Some(1));
        });
    }

    #[test]
    fn descriptions_say_nothing_of_a_key() {
        let vault = vault(MemoryKeyStore::new());
        let described = describe(&fold_of(both_keys(&vault)), None);
        let written = serde_json::to_string(&described).unwrap();
        assert!(
            !written.contains("secret-1") && !written.contains(DEV_KEY),
            "{written}"
        );
        assert!(written.contains("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    }
}
