//! What the running service does for people on this machine.

use flashguard_actors::auth::{IssueError, NewApiKey};
use flashguard_actors::domain::identity::Principal;
use flashguard_actors::domain::secret::Redacted;
use flashguard_actors::emergency::halt::{HaltOrder, Trigger};
use flashguard_actors::key_manager::IntakeError;
use flashguard_actors::ports::journal::StoreError;
use flashguard_actors::system::Handle;
use serde_json::{Value, json};

use super::protocol::{Blame, Failure, Progress, Reply, Request};
use super::socket::Control;
use crate::administration::{Administration, AdministrationError};
use crate::application::OpenError;
use crate::web::{admin, status};

/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;

/// The running service, for its control socket.
pub struct ServiceControl {
    system: Handle,
    administration: Administration,
}

impl ServiceControl {
    /// A control of `system`.
    pub fn new(system: Handle, administration: Administration) -> Self {
        Self {
            system,
            administration,
        }
    }

    fn halt(&self, reason: &str, by: Principal) -> Value {
        // A halt never fails on its reason: what is too long is cut.
        let reason = reason
            .chars()
            .filter(|c| !c.is_control())
            .take(REASON_CHARS_MAX)
            .collect();
        let order = HaltOrder {
            trigger: Trigger::ControlSocket,
            by,
            reason,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let report = match runtime {
            Ok(runtime) => runtime.block_on(self.system.halt(&order, true)),
            Err(error) => {
                tracing::error!(%error, "no runtime to wait with: halting without a wait");
                self.system.halt_now(&order);
                self.system.emergency().report()
            }
        };
        admin::stopped(report.as_ref())
    }
}

impl Control for ServiceControl {
    fn handle(&self, request: Request, by: Principal, _: &mut dyn FnMut(Progress)) -> Reply {
        match request {
            Request::Status {} => Reply::Done(status::of(&self.system)),
            Request::Halt { reason } => Reply::Done(self.halt(&reason, by)),
            other => administer(&self.administration, other, &by),
        }
    }
}

/// Does what is asked of keys, beside a service or on the store.
pub fn administer(administration: &Administration, request: Request, by: &Principal) -> Reply {
    let done = match request {
        Request::KeysList {} => administration.keys().map(|keys| json!({"keys": keys})),
        Request::KeysImport { name, secret } => match Redacted::taken_from(secret.into_bytes()) {
            Ok(secret) => administration.import(&name, &secret, by),
            Err(error) => return misuse(error.to_string()),
        },
        Request::ApikeysList {} => Ok(list(administration)),
        Request::ApikeysCreate {
            role,
            owner,
            client,
            expires_us,
        } => {
            let new = NewApiKey {
                owner,
                client,
                role,
                local: true,
                expires: expires_us,
            };
            administration
                .create_api_key(new, by)
                .map(|(mut described, key)| {
                    if let Some(fields) = described.as_object_mut() {
                        let text = String::from_utf8_lossy(key.expose()).into_owned();
                        fields.insert("api_key".to_owned(), text.into());
                    }
                    described
                })
        }
        Request::ApikeysRevoke { id } => administration.revoke_api_key(&id, by),
        Request::Status {} | Request::Halt { .. } => {
            return misuse("no service runs on this data directory".to_owned());
        }
    };
    done.map_or_else(|error| Reply::Failed(failure(&error)), Reply::Done)
}

fn list(administration: &Administration) -> Value {
    let keys: Vec<Value> = administration
        .api_keys()
        .iter()
        .map(|key| {
            json!({
                "id": key.id,
                "owner": key.owner,
                "client": key.client,
                "role": key.role,
                "created_at": key.created.to_rfc3339(),
                "made_locally": key.local,
                "expires_at": key.expires.map(|at| at.to_rfc3339()),
                "revoked_at": key.revoked.map(|at| at.to_rfc3339()),
            })
        })
        .collect();
    json!({"keys": keys})
}

fn misuse(message: String) -> Reply {
    Reply::Failed(Failure {
        blame: Blame::Misuse,
        code: "INVALID_REQUEST".to_owned(),
        message,
    })
}

/// Who is to blame for an error, and its code.
pub fn failure(error: &AdministrationError) -> Failure {
    use AdministrationError as E;
    let (blame, code) = match error {
        E::Issue(IssueError::Unknown { .. }) | E::NoSuchName { .. } => (Blame::Misuse, "NOT_FOUND"),
        E::ChainKey(_) | E::Credential(_) => (Blame::Misuse, "NOT_A_KEY"),
        E::Open(OpenError::MasterKey(_)) => (Blame::Misuse, "MASTER_KEY"),
        E::TooMany => (Blame::Refused, "TOO_MANY_KEYS"),
        E::Issue(IssueError::NotRecorded(_)) | E::Intake(IntakeError::NotRecorded(_)) => {
            (Blame::Internal, "JOURNAL_UNAVAILABLE")
        }
        E::Store(StoreError::Corrupt { .. } | StoreError::Newer { .. }) => {
            (Blame::Corrupt, "INTEGRITY")
        }
        _ => (Blame::Internal, "INTERNAL"),
    };
    tracing::debug!(error = ?error, "a request of the control socket was not done");
    Failure {
        blame,
        code: code.to_owned(),
        message: error.to_string(),
    }
}
