//! The auth actor: makes and takes away API keys, and records failed logins and
//! forbidden requests, bounded.
//!
//! Requests are not checked here but by [`Access`], which every thread reads; an actor that restarts
//! keeps nobody out.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, AsyncContext, Context, Handler, MessageResult, ResponseFuture};

use super::access::Access;
use super::issue::{self, CreatedApiKey, IssueError, VerifierStore};
use super::messages::{CreateApiKey, ListApiKeys, RevokeApiKey};
use crate::domain::clock::{SharedClock, SharedEntropy};
use crate::journal::Journal;
use crate::journal::record::Entry;

/// How often it looks whether counts of refusals are due.
const LOOK_EVERY_MS: u64 = 1_000;

/// What the actor works with. All of it outlives the actor.
#[derive(Clone)]
pub struct AuthMeans {
    /// The door that every request passes.
    pub access: Arc<Access>,
    /// Where verifiers are sealed.
    pub verifiers: Arc<dyn VerifierStore>,
    /// The journal.
    pub journal: Journal,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
}

/// The actor.
pub struct AuthActor {
    means: AuthMeans,
}

impl AuthActor {
    /// One that works with `means`.
    pub fn new(means: AuthMeans) -> Self {
        Self { means }
    }

    fn record_refusals(&mut self, _: &mut Context<Self>) {
        self.write(self.means.access.refusals().due(self.means.clock.now()));
    }

    fn write(&self, refusals: Vec<Entry>) {
        for entry in refusals {
            if let Err(error) = self.means.journal.append_quietly(entry) {
                tracing::warn!(%error, "a count of refusals is not in the journal");
            }
        }
    }
}

impl Actor for AuthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let every = Duration::from_millis(LOOK_EVERY_MS);
        ctx.run_interval(every, Self::record_refusals);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.write(self.means.access.refusals().left());
    }
}

impl Handler<CreateApiKey> for AuthActor {
    type Result = ResponseFuture<Result<CreatedApiKey, IssueError>>;

    fn handle(&mut self, msg: CreateApiKey, _: &mut Self::Context) -> Self::Result {
        let means = self.means.clone();
        Box::pin(async move {
            issue::create_api_key(
                msg.new,
                msg.by,
                &*means.verifiers,
                &means.journal,
                Some(&means.access),
                &*means.entropy,
            )
            .await
        })
    }
}

impl Handler<RevokeApiKey> for AuthActor {
    type Result = ResponseFuture<Result<(), IssueError>>;

    fn handle(&mut self, msg: RevokeApiKey, _: &mut Self::Context) -> Self::Result {
        let means = self.means.clone();
        Box::pin(async move {
            let known = means.access.api_key(&msg.id);
            let access = Some(&*means.access);
            issue::revoke_api_key(&msg.id, known.as_ref(), msg.by, &means.journal, access).await
        })
    }
}

impl Handler<ListApiKeys> for AuthActor {
    type Result = MessageResult<ListApiKeys>;

    fn handle(&mut self, _: ListApiKeys, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.means.access.api_keys())
    }
}
