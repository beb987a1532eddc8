//! Who may end a halt, and what must be true first: pure (K10).

use serde::Serialize;

use super::state::{HaltState, LiftTerms};
use crate::auth::{AgreedAlready, Agreement, Counted};
use crate::domain::identity::Caller;
use crate::domain::status::TradingState;

/// One person's wish to end a halt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiftRequest {
    /// The halt that they saw: another one is not meant.
    pub epoch: u64,
    /// In their words.
    pub reason: String,
    /// Where trading goes.
    pub to: TradingState,
    /// Open orders that may stay, each by our id or the venue's.
    pub accept_open_orders: Vec<String>,
}

/// Why a wish does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiftRefused {
    /// Nothing is halted.
    #[error("trading is not halted")]
    NotHalted,
    /// They saw another halt.
    #[error("the halt in force has epoch {epoch}")]
    OtherEpoch {
        /// The one that holds.
        epoch: u64,
    },
    /// Their key was made after the halt, over the network.
    #[error("a key made after the halt, and not on this machine, does not count")]
    KeyTooYoung,
    /// They are counted already.
    #[error("this owner has agreed already; another owner must")]
    SameOwner,
    /// Something is not as it must be first.
    #[error("not everything is as it must be before trading goes on")]
    Unready(Vec<Unready>),
    /// It could not be made durable: still halted.
    #[error("the lift could not be made durable; trading stays halted")]
    NotDurable,
    /// Enough people agreed, and before it was done somebody halted again or asked for something
    /// else.
    #[error("the agreement does not hold any more")]
    Withdrawn,
    /// Somebody halted again while it was being lifted.
    #[error("trading was halted again; approvals given before are void")]
    HaltedAgain,
}

/// Something on the checklist that is not true yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum Unready {
    /// Orders rest or are in doubt, and nobody accepted them.
    OpenOrders {
        /// Their ids.
        ids: Vec<String>,
    },
    /// The venue could not be read, so nobody knows what rests.
    VenueUnread,
    /// The journal does not write.
    Journal,
    /// The clock is behind the journal's last record.
    Clock {
        /// How far.
        behind_ms: u64,
    },
}

/// Counts one wish. The agreement is bound to exactly what was asked for: another target or other
/// open orders begin a new one.
///
/// # Errors
///
/// [`LiftRefused`] when it does not count.
pub fn count(
    state: &HaltState,
    caller: &Caller,
    request: &LiftRequest,
    proposal_id: &str,
) -> Result<Counted<LiftTerms>, LiftRefused> {
    let Some(halt) = &state.halt else {
        return Err(LiftRefused::NotHalted);
    };
    if request.epoch != state.epoch {
        return Err(LiftRefused::OtherEpoch { epoch: state.epoch });
    }
    if caller.key_created_us >= halt.since_us && !caller.key_made_locally {
        return Err(LiftRefused::KeyTooYoung);
    }
    let terms = LiftTerms {
        to: request.to,
        accept_open_orders: request.accept_open_orders.clone(),
    };
    let counted = Agreement::count(halt.proposal.as_ref(), &terms, &caller.owner, proposal_id);
    counted.map_err(|AgreedAlready| LiftRefused::SameOwner)
}

#[cfg(test)]
mod tests {
    use super::super::state::HaltInfo;
    use super::*;
    use crate::domain::clock::UnixMicros;
    use crate::domain::identity::{Client, Owner, Principal, Role};

    fn caller(owner: &str, created: u64, local: bool) -> Caller {
        Caller {
            principal: Principal::api_key("k"),
            owner: Owner::try_from(owner.to_owned()).unwrap(),
            client: Client::try_from("console".to_owned()).unwrap(),
            role: Role::Admin,
            key_created_us: UnixMicros(created),
            key_made_locally: local,
        }
    }

    fn request(epoch: u64) -> LiftRequest {
        LiftRequest {
            epoch,
            reason: "checked".into(),
            to: TradingState::Active,
            accept_open_orders: vec![],
        }
    }

    fn halted(proposal: Option<Agreement<LiftTerms>>) -> HaltState {
        let info = HaltInfo {
            incident_id: "i".into(),
            since_us: UnixMicros(100),
            reasons: vec![],
            proposal,
        };
        HaltState {
            epoch: 3,
            halt: Some(info),
        }
    }

    fn standing(owner: &str) -> Agreement<LiftTerms> {
        Agreement {
            id: "p".into(),
            subject: LiftTerms {
                to: TradingState::Active,
                accept_open_orders: vec![],
            },
            owners: vec![Owner::try_from(owner.to_owned()).unwrap()],
        }
    }

    #[test]
    fn two_owners_are_needed_and_one_person_counts_once() {
        let ann = caller("ann", 1, true);
        let first = count(&halted(None), &ann, &request(3), "p").unwrap();
        let Counted::Proposed(proposal) = first else {
            panic!("{first:?}")
        };
        assert_eq!(proposal.missing(2), 1);
        let again = count(&halted(Some(proposal.clone())), &ann, &request(3), "q");
        assert_eq!(again, Err(LiftRefused::SameOwner));
        let bob = count(
            &halted(Some(proposal)),
            &caller("bob", 1, true),
            &request(3),
            "q",
        );
        assert_eq!(bob.unwrap().agreement().missing(2), 0);
    }

    #[test]
    fn another_epoch_is_refused_and_so_is_nothing_to_lift() {
        let ann = caller("ann", 1, true);
        let other = count(&halted(None), &ann, &request(2), "p");
        assert_eq!(other, Err(LiftRefused::OtherEpoch { epoch: 3 }));
        let open = HaltState {
            epoch: 3,
            halt: None,
        };
        assert_eq!(
            count(&open, &ann, &request(3), "p"),
            Err(LiftRefused::NotHalted)
        );
    }

    #[test]
    fn a_key_made_after_the_halt_counts_only_when_it_was_made_on_this_machine() {
        let lift = |created, local| {
            count(
                &halted(None),
                &caller("ann", created, local),
                &request(3),
                "p",
            )
            .is_ok()
        };
        assert!(lift(99, false));
        assert!(!lift(100, false));
        assert!(lift(100, true));
    }

    #[test]
    fn another_wish_begins_a_new_proposal() {
        let wish = LiftRequest {
            accept_open_orders: vec!["x".into()],
            ..request(3)
        };
        let counted = count(
            &halted(Some(standing("ann"))),
            &caller("bob", 1, true),
            &wish,
            "q",
        );
        let Ok(Counted::Proposed(proposal)) = counted else {
            panic!("{counted:?}")
        };
        assert_eq!((proposal.owners.len(), proposal.id.as_str()), (1, "q"));
    }
}
