//! Local verbs: through the control socket of a running service, or, with none, on the store under
//! its lock.

use std::time::Duration;

use flashguard_actors::domain::identity::Principal;
use serde_json::Value;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::init::{system, take_lock};
use crate::administration::Administration;
use crate::control::service::{administer, failure};
use crate::control::{ControlClient, DialError, Reply, Request};
use crate::init::{Standing, standing};

/// How long a running service may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long it may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Asks the running service, or does it on the store.
///
/// # Errors
///
/// What the service or the store said; refused with the pid when somebody else has the lock.
pub fn ask(context: &Context, request: &Request) -> Result<Value, Failure> {
    let directory = context.data_directory()?;
    if standing(&directory) != Standing::Taken {
        let message = format!("{} is not initialised", directory.path().display());
        return Err(Failure::new(Exit::Usage, "NOT_INITIALISED", message)
            .next("make it with `flashguard init`, or name another with --data-dir"));
    }
    let reply = match ControlClient::dial(&directory) {
        Ok(mut client) => client
            .ask(request, SILENCE_MAX, ANSWER_WAIT_MAX)
            .map_err(|error| {
                Failure::new(Exit::Unreachable, "SILENT", error.to_string())
                    .next("`flashguard doctor` looks; it may have been done all the same")
            })?,
        Err(DialError::NobodyThere) => {
            let lock = take_lock(&directory)?;
            let (clock, entropy) = system();
            let by = Principal::local(rustix::process::geteuid().as_raw());
            let settings = context.settings(Vec::new())?;
            let store = Administration::of_store(&directory, &settings, &clock, &entropy)
                .map_err(|error| Failure::from(failure(&error)))?;
            let reply = administer(&store, request.clone(), &by);
            let closed = store.close();
            drop(lock);
            closed.map_err(|error| Failure::from(failure(&error)))?;
            reply
        }
        Err(error) => {
            return Err(Failure::new(
                Exit::Refused,
                "CONTROL_SOCKET",
                error.to_string(),
            ));
        }
    };
    match reply {
        Reply::Done(value) => Ok(value),
        Reply::Failed(failure) => Err(failure.into()),
    }
}
