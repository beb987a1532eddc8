//! A data directory is made whole or not at all.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::aside::tests::FAULT_AFTER;
use super::aside::{Aside, PLACE};
use super::*;
use crate::stores::sqlite::journal::SqliteReader;
use flashguard_actors::auth::{Access, AuthFold};
use flashguard_actors::domain::clock::{Clock, SystemClock, SystemEntropy};
use flashguard_actors::journal::episodes::RecordBound;
use flashguard_actors::journal::fold::Folding;
use flashguard_actors::journal::fold::Running;
use flashguard_actors::journal::record::Record;
use flashguard_actors::key_manager::{
    HotKeys, open_journal_signer, open_token_key, open_verifiers,
};
use flashguard_actors::ports::journal::JournalReader;

fn parts() -> (SharedClock, SharedEntropy) {
    (Arc::new(SystemClock), Arc::new(SystemEntropy))
}

fn owner(name: &str) -> Owner {
    Owner::try_from(name.to_owned()).unwrap()
}

fn request(profile: Profile, owners: &[&str]) -> InitRequest {
    InitRequest {
        profile,
        owners: owners.iter().map(|name| owner(name)).collect(),
        master_key: None,
        seeds: Seeds::default(),
    }
}

fn development() -> InitRequest {
    request(Profile::Development, &[])
}

/// A data directory that does not exist yet, in a folder of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn init(&self, request: &InitRequest) -> Result<InitKeys, InitError> {
        let directory = make_directory(&self.path())?;
        let lock = Lock::take(&directory).unwrap();
        let (clock, entropy) = parts();
        init(&directory, &lock, request, &clock, &entropy)
    }

    fn standing(&self) -> Standing {
        standing(&DataDirectory::open(&self.path()).unwrap())
    }

    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != "lock");
        names.sort();
        names
    }

    fn records(&self) -> Vec<Record> {
        let reader = SqliteReader::open(&self.path().join(JOURNAL_FILE)).unwrap();
        let raw = reader.records(0, 1_000).unwrap();
        raw.iter()
            .map(|r| flashguard_actors::journal::encoding::decode(r).unwrap())
            .collect()
    }

    fn vault(&self) -> Vault {
        let store = FileKeyStore::open(&self.path().join(KEYS)).unwrap();
        assert_eq!(store.problems().unwrap(), []);
        let master = master_key::read(&self.path().join(master_key::FILE)).unwrap();
        Vault::new(Arc::new(store), master, Arc::new(SystemEntropy))
    }
}

fn text_of(key: &ApiKey) -> String {
    String::from_utf8(key.to_text().expose().to_vec()).unwrap()
}

const ENTRIES: [&str; 4] = ["halt.armed", "journal.db", "keys", "master.key"];

#[test]
fn a_development_directory_is_whole_and_only_its_owner_reads_it() {
    let place = Place::new();
    let keys = place
        .init(&development())
        .unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(place.entries(), ENTRIES);
    assert_eq!(place.standing(), Standing::Taken);
    let mode = |name: &str| {
        let metadata = std::fs::metadata(place.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode(""), mode("keys")), (0o700, 0o700));
    for file in ["halt.armed", "journal.db", "master.key"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert!(keys.admin2.is_none());
    assert!(keys.verifier_key.starts_with("flashguard.journal/"));
}

#[test]
fn what_was_made_opens_again_and_the_keys_come_in() {
    let place = Place::new();
    let made = place
        .init(&development())
        .unwrap_or_else(|e| panic!("{e:?}"));
    let (vault, records) = (place.vault(), place.records());
    let (mut keys, mut auth) = (
        Folding::<KeysFold>::new("keys"),
        Folding::<AuthFold>::new("auth"),
    );
    for record in &records {
        keys.take(record);
        auth.take(record);
    }
    assert!(
        matches!(&records[0].fact, Fact::SystemInitialised { profile } if profile == "development")
    );
    assert!(records.iter().all(|r| {
        r.principal
            .as_ref()
            .is_some_and(|p| p.as_str().starts_with("local:"))
    }));
    let hot = HotKeys::open(&vault, &keys.state);
    assert!(hot.is_ok());
    let origin = made.verifier_key.split('+').next().unwrap();
    let signer = open_journal_signer(&vault, origin).unwrap();
    assert_eq!(signer.key().to_string(), made.verifier_key);

    let (verifiers, problems) = open_verifiers(&vault, &keys.state);
    assert!(problems.is_empty());
    let token_key = open_token_key(&vault, &keys.state).unwrap();
    let access = Access::new(
        auth.state,
        verifiers,
        token_key,
        3_600,
        Arc::new(SystemEntropy),
        RecordBound::default(),
    );
    let now = SystemClock.now();
    for (key, role) in [
        (&made.admin, Role::Admin),
        (&made.readonly, Role::Readonly),
        (&made.system, Role::System),
    ] {
        let caller = access.caller(&text_of(key), now).unwrap();
        assert_eq!((caller.role, caller.key_made_locally), (role, true));
        assert_eq!(caller.owner, owner("operator"));
        assert_eq!(
            caller.client.as_str(),
            format!("{}-{}", role.as_str(), key.id())
        );
    }
}

#[test]
fn no_secret_is_in_the_journal_or_stands_open_in_a_file() {
    let place = Place::new();
    let made = place
        .init(&development())
        .unwrap_or_else(|e| panic!("{e:?}"));
    let keys = [&made.admin, &made.readonly, &made.system];
    let secrets: Vec<String> = keys
        .iter()
        .map(|key| text_of(key).split('_').nth(2).unwrap().to_owned())
        .collect();
    let mut files = Vec::new();
    collect(&place.path(), &mut files);
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let content = std::fs::read(&file).unwrap();
        for secret in &secrets {
            let raw = hex::decode(secret).unwrap();
            for form in [secret.as_bytes(), &raw] {
                assert!(!content.windows(form.len()).any(|w| w == form), "{file:?}");
            }
        }
    }
}

fn collect(at: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn production_needs_two_different_owners_and_gives_each_an_admin_key() {
    for owners in [&[][..], &["ann"], &["ann", "ann"]] {
        let place = Place::new();
        let refused = place.init(&request(Profile::Production, owners));
        assert!(matches!(refused, Err(InitError::TwoOwners)), "{owners:?}");
        assert_eq!(place.entries(), [""; 0]);
    }
    let three = Place::new().init(&request(Profile::Production, &["a", "b", "c"]));
    assert!(matches!(three, Err(InitError::TooManyOwners)));
    let place = Place::new();
    let made = place.init(&request(Profile::Production, &["ann", "bob"]));
    let made = made.unwrap_or_else(|e| panic!("{e:?}"));
    let owner_of = |key: &ApiKey| {
        place.records().into_iter().find_map(|r| match r.fact {
            Fact::ApiKeyCreated {
                id, owner, role, ..
            } if id == key.id().as_str() => Some((owner.as_str().to_owned(), role)),
            _ => None,
        })
    };
    assert_eq!(owner_of(&made.admin), Some(("ann".into(), Role::Admin)));
    assert_eq!(
        owner_of(&made.admin2.unwrap()),
        Some(("bob".into(), Role::Admin))
    );
    let venue = made.sealed.iter().any(|s| s.name.as_str() == "venue");
    assert!(
        !venue,
        "production gets no credential that a venue does not know"
    );
}

#[test]
fn an_initialised_directory_is_refused_and_left_alone() {
    for taken in [JOURNAL_FILE, KEYS] {
        let place = Place::new();
        make_directory(&place.path()).unwrap_or_else(|e| panic!("{e:?}"));
        std::fs::write(place.path().join(taken), b"precious").unwrap();
        let refused = place.init(&development());
        assert!(matches!(refused, Err(InitError::Taken { what }) if what == taken));
        assert_eq!(
            std::fs::read(place.path().join(taken)).unwrap(),
            b"precious"
        );
        assert_eq!(place.entries(), [taken]);
    }
}

#[test]
fn a_directory_with_other_things_in_it_is_taken_and_they_stay() {
    let place = Place::new();
    std::fs::create_dir(place.path()).unwrap();
    std::fs::write(place.path().join("flashguard.toml"), b"").unwrap();
    std::fs::write(place.path().join("halt"), b"").unwrap();
    place
        .init(&development())
        .unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(
        place.entries(),
        [
            "flashguard.toml",
            "halt",
            "journal.db",
            "keys",
            "master.key"
        ]
    );
}

#[test]
fn a_master_key_that_is_there_is_used_and_one_elsewhere_is_made_there() {
    let place = Place::new();
    let elsewhere = place.0.path().join("mounted.key");
    let mut request = development();
    request.master_key = Some(elsewhere.clone());
    place.init(&request).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(place.entries(), ["halt.armed", "journal.db", "keys"]);
    let made = master_key::read(&elsewhere).unwrap().id();

    let second = Place::new();
    request.master_key = Some(elsewhere.clone());
    second.init(&request).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(master_key::read(&elsewhere).unwrap().id(), made);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&elsewhere, open).unwrap();
    let third = Place::new();
    let refused = third.init(&request);
    assert!(matches!(
        refused,
        Err(InitError::MasterKey(MasterKeyError::TooOpen { .. }))
    ));
    assert_eq!(third.entries(), [""; 0]);
}

#[test]
fn keys_from_outside_are_taken_in() {
    let place = Place::new();
    let text = b"ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".to_vec();
    let text = flashguard_actors::domain::secret::Redacted::taken_from(text).unwrap();
    let mut request = request(Profile::Production, &["ann", "bob"]);
    request.seeds = Seeds {
        chain: ChainKey::parse(&text, &SystemEntropy).ok(),
        venue: VenueCredential::new("k", "s").ok(),
    };
    let made = place.init(&request).unwrap_or_else(|e| panic!("{e:?}"));
    let fingerprint = |name: &str| {
        let found = made.sealed.iter().filter(|s| s.name.as_str() == name);
        found.map(|s| s.fingerprint.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        fingerprint("sei"),
        ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]
    );
    assert_eq!(fingerprint("venue").len(), 1);
}

/// A crash after each entry has moved: the process is gone, nothing was tidied up.
#[test]
fn a_crash_at_any_step_leaves_nothing_half() {
    for after in ENTRIES.into_iter().chain(["manifest"]) {
        let place = Place::new();
        let directory = make_directory(&place.path()).unwrap_or_else(|e| panic!("{e:?}"));
        std::fs::write(place.path().join("flashguard.toml"), b"kept").unwrap();
        let (clock, entropy) = parts();
        let owners = [owner("ann")];
        let aside = Aside::begin(&directory).unwrap();
        build(
            &directory,
            &aside,
            &development(),
            &owners,
            &clock,
            &entropy,
        )
        .unwrap_or_else(|e| panic!("{e:?}"));
        FAULT_AFTER.set(Some(after.to_owned()));
        assert!(aside.move_into_place().is_err(), "{after}");
        FAULT_AFTER.set(None);

        assert_eq!(place.standing(), Standing::Interrupted, "{after}");
        undo(&directory).unwrap();
        let whole = after == "manifest";
        let expected = if whole {
            Standing::Taken
        } else {
            Standing::Free
        };
        assert_eq!(place.standing(), expected, "{after}");
        assert_eq!(
            std::fs::read(place.path().join("flashguard.toml")).unwrap(),
            b"kept"
        );
        assert!(!place.path().join(PLACE).exists());
        if whole {
            assert_eq!(place.records().len(), 18, "all records, {after}");
        } else {
            assert_eq!(place.entries(), ["flashguard.toml"], "{after}");
            place
                .init(&development())
                .unwrap_or_else(|e| panic!("{after}: {e:?}"));
        }
    }
}

#[test]
fn an_interrupted_undoing_can_be_undone() {
    let place = Place::new();
    let directory = make_directory(&place.path()).unwrap_or_else(|e| panic!("{e:?}"));
    let (clock, entropy) = parts();
    let aside = Aside::begin(&directory).unwrap();
    build(
        &directory,
        &aside,
        &development(),
        &[owner("ann")],
        &clock,
        &entropy,
    )
    .unwrap_or_else(|e| panic!("{e:?}"));
    FAULT_AFTER.set(Some("keys".to_owned()));
    assert!(aside.move_into_place().is_err());
    FAULT_AFTER.set(None);
    // As far as the first removal got.
    std::fs::remove_file(place.path().join("journal.db")).unwrap();
    undo(&directory).unwrap();
    assert_eq!(place.entries(), [""; 0]);
    undo(&directory).unwrap();
}

#[test]
fn a_failing_init_tidies_up_after_itself() {
    let place = Place::new();
    FAULT_AFTER.set(Some("keys".to_owned()));
    let failed = place.init(&development());
    FAULT_AFTER.set(None);
    assert!(matches!(
        failed,
        Err(InitError::Directory {
            done: "written",
            ..
        })
    ));
    assert_eq!(place.entries(), [""; 0]);
    assert_eq!(place.standing(), Standing::Free);
}
