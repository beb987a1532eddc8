//! Changing limits while trading goes on: tightening by one person at once, loosening by two (K, G).
//!
//! A change is a journal record that wins over the settings until it is removed. The record is
//! queued before the new limits judge an order, so that the version in an order's record is always
//! explained by a record before it; what loosens is durable first.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use crate::auth::{AgreedAlready, Agreement, Counted};
use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Caller, Owner};
use crate::gate::{Adjustments, Limits, adjusted, loosened, values};
use crate::journal::record::{Entry, Fact, Fold, Private, Record};

/// Owners that must agree before a limit is loosened.
pub const LOOSEN_APPROVALS: usize = 2;
/// How long a proposal waits for the second owner: a day.
pub const PROPOSAL_KEPT_MS: u64 = 24 * 3_600 * 1_000;

/// What somebody wants the adjustments to be, from the version they saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsWish {
    /// The version that it replaces.
    pub from_v: u64,
    /// All adjustments that hold afterwards.
    pub adjustments: Adjustments,
}

/// Limits as the journal has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsFold {
    /// The version in force; 0 before the first start.
    pub v: u64,
    /// Every adjustable limit of that version.
    pub values: Adjustments,
    /// What people changed, over the settings.
    pub adjustments: Adjustments,
    /// Who changed it last; nobody when a start found other settings.
    pub owners: Vec<Owner>,
    /// When.
    pub since_us: UnixMicros,
    /// Who wants it looser, and since when.
    pub proposal: Option<(UnixMicros, Agreement<LimitsWish>)>,
}

impl LimitsFold {
    /// The proposal that holds at `now`: of this version and not too old.
    pub fn proposal(&self, now: UnixMicros) -> Option<&Agreement<LimitsWish>> {
        let (since, agreement) = self.proposal.as_ref()?;
        let young = now.millis_since(*since) <= PROPOSAL_KEPT_MS;
        (young && agreement.subject.from_v == self.v).then_some(agreement)
    }

    /// What a start must record before the first order: the settings' limits with the adjustments
    /// over them, when they are not those of the version in force.
    pub fn at_start(&self, settings: &Limits) -> Option<Fact> {
        let found = values(&adjusted(settings, &self.adjustments, 0));
        (self.v == 0 || found != self.values).then(|| Fact::LimitsChanged {
            v: self.v + 1,
            values: found,
            adjustments: self.adjustments.clone(),
            owners: vec![],
        })
    }

    /// The limits in force.
    pub fn limits(&self, settings: &Limits) -> Limits {
        adjusted(settings, &self.adjustments, self.v)
    }

    /// Takes in a fact of this process.
    pub fn take_in(&mut self, fact: &Fact, time: UnixMicros) {
        match fact {
            Fact::LimitsChanged {
                v,
                values,
                adjustments,
                owners,
            } => {
                self.v = *v;
                self.values.clone_from(values);
                self.adjustments.clone_from(adjustments);
                self.owners.clone_from(owners);
                self.since_us = time;
                self.proposal = None;
            }
            Fact::LimitsProposed {
                proposal_id,
                from_v,
                adjustments,
                owner,
            } => {
                let agreement = Agreement {
                    id: proposal_id.clone(),
                    subject: LimitsWish {
                        from_v: *from_v,
                        adjustments: adjustments.clone(),
                    },
                    owners: vec![owner.clone()],
                };
                self.proposal = Some((time, agreement));
            }
            _ => {}
        }
    }
}

impl Fold for LimitsFold {
    const VERSION: u32 = 1;

    fn apply(&mut self, record: &Record) {
        self.take_in(&record.fact, record.time);
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitsChange {
    /// It is in force.
    Changed {
        /// As this version.
        v: u64,
    },
    /// It is what holds already.
    Unchanged {
        /// The version in force.
        v: u64,
    },
    /// Another owner must agree.
    Waiting {
        /// The proposal.
        agreement: Agreement<LimitsWish>,
        /// The limits that it would loosen.
        loosened: Vec<&'static str>,
    },
}

/// Why a wish was not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsRefused {
    /// The limits changed since.
    #[error("the limits in force are version {v}")]
    OtherVersion {
        /// The one in force.
        v: u64,
    },
    /// The journal does not write.
    #[error("the journal cannot be written")]
    Journal,
}

/// Changes what `patch` names: a value adjusts, `None` takes the adjustment away. `from_v`, when it
/// is given, must be the version in force. Every value was checked by
/// [`Adjustable::check`](crate::gate::Adjustable::check).
///
/// # Errors
///
/// [`LimitsRefused`]; the limits are as before.
pub async fn change(
    floor: &Floor,
    caller: &Caller,
    patch: &[(String, Option<rust_decimal::Decimal>)],
    from_v: Option<u64>,
    reason: String,
) -> Result<LimitsChange, LimitsRefused> {
    let mut fold = floor.limits.lock().await;
    let v = fold.v;
    if from_v.is_some_and(|seen| seen != v) {
        return Err(LimitsRefused::OtherVersion { v });
    }
    let mut adjustments = fold.adjustments.clone();
    for (name, value) in patch {
        match value {
            Some(value) => adjustments.insert(name.clone(), value.normalize()),
            None => adjustments.remove(name),
        };
    }
    let next = adjusted(&floor.settings_limits, &adjustments, v + 1);
    let now = floor.gate.limits();
    if values(&next) == values(&now) && adjustments == fold.adjustments {
        return Ok(LimitsChange::Unchanged { v });
    }
    let loosened = loosened(&now, &next);
    let mut owners = vec![caller.owner.clone()];
    if !loosened.is_empty() {
        let wish = LimitsWish {
            from_v: v,
            adjustments: adjustments.clone(),
        };
        let agreement = agree(floor, &mut fold, caller, &wish, &reason).await?;
        if agreement.missing(LOOSEN_APPROVALS) > 0 {
            return Ok(LimitsChange::Waiting {
                agreement,
                loosened,
            });
        }
        owners = agreement.owners;
    }
    let fact = Fact::LimitsChanged {
        v: v + 1,
        values: values(&next),
        adjustments,
        owners,
    };
    let written = floor.journal.append(entry(&fact, caller, reason));
    // SAFETY-ORDER: its record is queued, so that no order's record can come before it; what
    // tightens holds from here, what loosens only when the record is durable.
    if loosened.is_empty() {
        floor.gate.change_limits(next.clone());
    }
    let committed = written.await.map_err(|_| LimitsRefused::Journal)?;
    floor.gate.change_limits(next);
    fold.take_in(&fact, committed.time());
    Ok(LimitsChange::Changed { v: v + 1 })
}

/// Counts the caller's word. A first word is journaled; the last one is part of the change's record.
async fn agree(
    floor: &Floor,
    fold: &mut LimitsFold,
    caller: &Caller,
    wish: &LimitsWish,
    reason: &str,
) -> Result<Agreement<LimitsWish>, LimitsRefused> {
    let now = floor.clock.now();
    let id = crate::domain::order::OrderId::make(now, &*floor.entropy);
    let id = id.map_or_else(|_| format!("limits-{}", now.0), |id| id.to_string());
    match Agreement::count(fold.proposal(now), wish, &caller.owner, &id) {
        Err(AgreedAlready) => fold.proposal(now).cloned().ok_or(LimitsRefused::Journal),
        Ok(Counted::Approved(agreement)) => Ok(agreement),
        Ok(Counted::Proposed(agreement)) => {
            let fact = Fact::LimitsProposed {
                proposal_id: agreement.id.clone(),
                from_v: wish.from_v,
                adjustments: wish.adjustments.clone(),
                owner: caller.owner.clone(),
            };
            let written = floor
                .journal
                .append(entry(&fact, caller, reason.to_owned()));
            let committed = written.await.map_err(|_| LimitsRefused::Journal)?;
            fold.take_in(&fact, committed.time());
            Ok(agreement)
        }
    }
}

fn entry(fact: &Fact, caller: &Caller, reason: String) -> Entry {
    let private = Private {
        reason: Some(reason),
        ..Private::default()
    };
    let entry = Entry::of("gate", fact.clone()).by(caller.principal.clone());
    entry.with(private)
}
