//! The key manager's actor: lists keys and takes them in.
//!
//! Its state is the journal's: each question reads on from where the last one ended, and a new
//! incarnation reads from the beginning.

use std::sync::Arc;

use actix::prelude::{Actor, Context, Handler, MessageResult, ResponseFuture};

use super::chain_key::ChainKey;
use super::describe::describe;
use super::fold::KeysFold;
use super::hot_keys::KeyError;
use super::intake::{HotKey, IntakeError, take_in};
use super::messages::{GenerateChainKey, ImportKey, ListKeys};
use super::signer::KeyManager;
use super::vault::{Sealed, Vault};
use crate::journal::Journal;
use crate::journal::fold::{Folding, catch_up, load};
use crate::ports::journal::{JournalReader, JournalReaders, StoreError};

/// The fold's name in snapshots.
const FOLD: &str = "keys";

/// What the actor works with. All of it outlives the actor.
#[derive(Clone)]
pub struct KeyMeans {
    /// The keys in use.
    pub keys: Arc<KeyManager>,
    /// Where keys are sealed.
    pub vault: Arc<Vault>,
    /// The journal.
    pub journal: Journal,
    /// Readers of it.
    pub readers: Arc<dyn JournalReaders>,
}

/// The actor.
pub struct KeyManagerActor {
    means: KeyMeans,
    reader: Box<dyn JournalReader>,
    pub(super) known: Folding<KeysFold>,
}

impl KeyManagerActor {
    /// One that knows what the journal says.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the journal cannot be read.
    pub fn new(means: KeyMeans) -> Result<Self, StoreError> {
        let reader = means.readers.open()?;
        let mut known = Folding::new(FOLD);
        load(&mut [&mut known], &*reader)?;
        Ok(Self {
            means,
            reader,
            known,
        })
    }

    fn take(&self, key: HotKey, by: crate::domain::identity::Principal) -> Taking {
        let (vault, journal) = (self.means.vault.clone(), self.means.journal.clone());
        Box::pin(async move { take_in(&key, &by, &vault, &journal).await })
    }
}

type Taking = ResponseFuture<Result<Sealed, IntakeError>>;

impl Actor for KeyManagerActor {
    type Context = Context<Self>;
}

impl Handler<ListKeys> for KeyManagerActor {
    type Result = MessageResult<ListKeys>;

    fn handle(&mut self, _: ListKeys, _: &mut Self::Context) -> Self::Result {
        let read = catch_up(&mut [&mut self.known], &*self.reader);
        let running = self.means.keys.identity();
        MessageResult(read.map(|_| describe(&self.known.state, Some(&running))))
    }
}

impl Handler<ImportKey> for KeyManagerActor {
    type Result = Taking;

    fn handle(&mut self, msg: ImportKey, _: &mut Self::Context) -> Self::Result {
        self.take(msg.key, msg.by)
    }
}

impl Handler<GenerateChainKey> for KeyManagerActor {
    type Result = Taking;

    fn handle(&mut self, msg: GenerateChainKey, _: &mut Self::Context) -> Self::Result {
        match ChainKey::generate(&**self.means.vault.entropy()) {
            Ok(key) => self.take(HotKey::Chain(key), msg.by),
            Err(error) => {
                let error = IntakeError::from(KeyError::from(error));
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }
}
