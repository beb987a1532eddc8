//! What needs more than one person: a wish, and who agrees to exactly that (K10).
//!
//! Pure. One mechanism for everything that two people must want: the end of a halt, a looser limit.
//! An agreement is bound to its subject; whoever wants something else begins a new one. A person is
//! an owner of keys: two keys of one owner count once.

use serde::{Deserialize, Serialize};

use crate::domain::identity::Owner;

/// A wish, and the owners that agree to it, the first of them first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement<S> {
    /// Names it.
    pub id: String,
    /// What is wanted, whole: agreeing to a part is not possible.
    pub subject: S,
    /// Who agrees.
    pub owners: Vec<Owner>,
}

/// What one person's word leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted<S> {
    /// It is the first, or replaces one that asked for something else.
    Proposed(Agreement<S>),
    /// It agrees with what stands.
    Approved(Agreement<S>),
}

/// This owner is counted already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this owner has agreed already; another owner must")]
pub struct AgreedAlready;

impl<S> Counted<S> {
    /// The agreement with this word counted.
    pub fn agreement(&self) -> &Agreement<S> {
        match self {
            Self::Proposed(agreement) | Self::Approved(agreement) => agreement,
        }
    }
}

impl<S: Clone + PartialEq> Agreement<S> {
    /// Counts `owner`'s word for `subject` on top of what stands. `id` names it if it is a new one.
    ///
    /// # Errors
    ///
    /// [`AgreedAlready`] when they are counted for this very subject.
    pub fn count(
        standing: Option<&Self>,
        subject: &S,
        owner: &Owner,
        id: &str,
    ) -> Result<Counted<S>, AgreedAlready> {
        let Some(standing) = standing.filter(|standing| standing.subject == *subject) else {
            return Ok(Counted::Proposed(Self {
                id: id.to_owned(),
                subject: subject.clone(),
                owners: vec![owner.clone()],
            }));
        };
        let mut agreement = standing.clone();
        if !agreement.agrees(owner) {
            return Err(AgreedAlready);
        }
        Ok(Counted::Approved(agreement))
    }
}

impl<S> Agreement<S> {
    /// Adds an owner; `false` when they are counted already.
    pub fn agrees(&mut self, owner: &Owner) -> bool {
        let new = !self.owners.contains(owner);
        if new {
            self.owners.push(owner.clone());
        }
        new
    }

    /// How many other owners must agree before `needed` do.
    pub fn missing(&self, needed: usize) -> usize {
        needed.saturating_sub(self.owners.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn two_owners_are_needed_and_one_person_counts_once() {
        let first = Agreement::count(None, &"open", &owner("ann"), "p").unwrap();
        let standing = first.agreement().clone();
        assert_eq!((standing.missing(2), standing.id.as_str()), (1, "p"));
        let again = Agreement::count(Some(&standing), &"open", &owner("ann"), "q");
        assert_eq!(again, Err(AgreedAlready));
        let second = Agreement::count(Some(&standing), &"open", &owner("ben"), "q").unwrap();
        assert!(matches!(second, Counted::Approved(_)));
        let agreed = second.agreement();
        assert_eq!((agreed.missing(2), agreed.id.as_str()), (0, "p"));
    }

    #[test]
    fn another_wish_begins_anew_and_takes_no_agreement_along() {
        let first = Agreement::count(None, &"open", &owner("ann"), "p").unwrap();
        let other = Agreement::count(Some(first.agreement()), &"wider", &owner("ben"), "q");
        let Ok(Counted::Proposed(agreement)) = other else {
            panic!("{other:?}")
        };
        assert_eq!(agreement.owners, [owner("ben")]);
        assert_eq!((agreement.id.as_str(), agreement.missing(2)), ("q", 1));
    }
}
