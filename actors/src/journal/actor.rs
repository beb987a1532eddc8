//! The journal's actor: answers about the writer, under supervision.
//!
//! The writer is a thread of its own and outlives every incarnation of this actor; what is to be
//! recorded never goes through its mailbox but through [`Journal`], from any thread.

use actix::prelude::{Actor, Context, Handler, MessageResult, ResponseFuture};

use super::messages::{ReadStatus, SignCheckpoint};
use super::writer::{AppendError, Journal};
use crate::ports::journal::RawCheckpoint;

/// The actor.
pub struct JournalActor {
    /// The journal that it speaks of.
    journal: Journal,
}

impl JournalActor {
    /// One that speaks of `journal`.
    pub fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;
}

impl Handler<ReadStatus> for JournalActor {
    type Result = MessageResult<ReadStatus>;

    fn handle(&mut self, _: ReadStatus, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.journal.status())
    }
}

impl Handler<SignCheckpoint> for JournalActor {
    type Result = ResponseFuture<Result<RawCheckpoint, AppendError>>;

    fn handle(&mut self, _: SignCheckpoint, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.journal.checkpoint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, SeededEntropy, UnixMicros};
    use crate::journal::checkpoint::CheckpointSigner;
    use crate::journal::record::{Entry, Fact};
    use crate::journal::writer::{Hooks, WriterSettings};
    use crate::ports::journal::Meta;
    use crate::ports::journal::memory::MemoryJournal;

    #[test]
    fn the_actor_tells_of_the_writer_and_signs_and_a_new_one_speaks_of_the_same_journal() {
        let signer = CheckpointSigner::from_seed("flashguard.test/actor", &[1; 32]).unwrap();
        let key = signer.key().clone();
        let memory = MemoryJournal::new(Meta {
            origin: "flashguard.test/actor".into(),
            verifier_key: key.to_string(),
        });
        let clock = ManualClock::at(UnixMicros(5));
        let opened = Journal::open(
            Box::new(memory.store()),
            signer,
            clock,
            SeededEntropy::new(1),
            WriterSettings::default(),
            Hooks::none(),
        );
        let (journal, _) = opened.unwrap();
        actix::System::new().block_on(async {
            let first = JournalActor::new(journal.clone()).start();
            journal
                .append(Entry::of("test", Fact::SystemStopped))
                .await
                .unwrap();
            let signed = first.send(SignCheckpoint).await.unwrap().unwrap();
            assert_eq!(key.verify(&signed.note).unwrap().size, 1);
            drop(first);
            let second = JournalActor::new(journal.clone()).start();
            let status = second.send(ReadStatus).await.unwrap();
            assert_eq!((status.head.size, status.checkpoint_size), (1, 1));
            assert_eq!(status.dead, None);
        });
    }
}
