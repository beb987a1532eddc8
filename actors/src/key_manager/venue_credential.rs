//! The credential at the venue: an API key and its secret, and whether it may do too much.

use sha2::{Digest, Sha256};

use crate::domain::clock::{Entropy, EntropyFailed};
use crate::domain::secret::{Redacted, SecretBytes};
use crate::ports::venue::{Account, CredentialView};

/// An API key at the venue with its secret. Its version in the store is its generation.
///
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::VenueCredential) { let _ = format!("{key:?}"); }
/// ```
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::VenueCredential) { let _ = format!("{key}"); }
/// ```
/// ```compile_fail,E0308
/// fn copy(key: &flashguard_actors::key_manager::VenueCredential) -> flashguard_actors::key_manager::VenueCredential { key.clone() }
/// ```
/// ```compile_fail,E0277
/// fn write(key: &flashguard_actors::key_manager::VenueCredential) { let _ = serde_json::to_string(key); }
/// ```
pub struct VenueCredential {
    /// Format (1) ‖ length of the API key (2, big-endian) ‖ API key ‖ secret: what is sealed.
    sealed_form: SecretBytes,
    /// Where the secret begins.
    secret_from: usize,
}

/// Why something is not a credential. Nothing of it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotACredential {
    /// The API key cannot stand in a header.
    #[error("a venue API key is 1 to 256 visible ASCII characters")]
    ApiKey,
    /// The secret is of another shape.
    #[error("a venue secret is 1 to 512 visible ASCII characters")]
    Secret,
    /// A text with both must have them on a line each.
    #[error("two lines are needed: the venue's API key, then its secret")]
    NotTwoLines,
    /// Corrupt: what was opened is not what was sealed.
    #[error("the stored venue credential has an unknown form")]
    UnknownForm,
}

const FORM: u8 = 1;
const API_KEY_MAX: usize = 256;
const SECRET_MAX: usize = 512;

impl VenueCredential {
    /// A credential of both parts.
    ///
    /// # Errors
    ///
    /// [`NotACredential`] when a part is empty, too long or not visible ASCII.
    pub fn new(api_key: &str, secret: &str) -> Result<Self, NotACredential> {
        let visible = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !visible(api_key, API_KEY_MAX) {
            return Err(NotACredential::ApiKey);
        }
        if !visible(secret, SECRET_MAX) {
            return Err(NotACredential::Secret);
        }
        let length = u16::try_from(api_key.len()).map_err(|_| NotACredential::ApiKey)?;
        let parts = [
            &[FORM][..],
            &length.to_be_bytes(),
            api_key.as_bytes(),
            secret.as_bytes(),
        ];
        let whole = parts.iter().map(|part| part.len()).sum();
        let sealed_form = SecretBytes::filled(whole, |memory| {
            let bytes = parts.iter().copied().flatten();
            memory
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
        });
        Ok(Self {
            sealed_form,
            secret_from: 3 + api_key.len(),
        })
    }

    /// Reads a text of two lines: the API key, then the secret.
    ///
    /// # Errors
    ///
    /// [`NotACredential`] when there are not two lines, or one of them is of another shape.
    pub fn parse(text: &Redacted) -> Result<Self, NotACredential> {
        let (api_key, secret) = text
            .expose()
            .split_once('\n')
            .ok_or(NotACredential::NotTwoLines)?;
        Self::new(api_key.trim_end_matches('\r'), secret)
    }

    /// A new one for the paper venue of the development profile: `paper-` and 16 hexadecimal digits,
    /// with a secret of 64.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] without randomness.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut id = [0; 8];
        entropy.fill(&mut id)?;
        let random = SecretBytes::random(32, entropy)?;
        let secret = zeroize::Zeroizing::new(hex::encode(random.expose()));
        Self::new(&format!("paper-{}", hex::encode(id)), &secret).map_err(|_| EntropyFailed)
    }

    /// Takes what was sealed.
    ///
    /// # Errors
    ///
    /// [`NotACredential::UnknownForm`] for anything else.
    pub fn from_sealed_form(sealed_form: SecretBytes) -> Result<Self, NotACredential> {
        let parts = |bytes: &[u8]| {
            let (head, rest) = bytes.split_first_chunk::<3>()?;
            let [FORM, high, low] = *head else {
                return None;
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (api_key, secret) = rest.split_at_checked(length)?;
            let text = std::str::from_utf8(api_key).is_ok() && !api_key.is_empty();
            (text && !secret.is_empty()).then_some(3 + length)
        };
        let secret_from = parts(sealed_form.expose()).ok_or(NotACredential::UnknownForm)?;
        Ok(Self {
            sealed_form,
            secret_from,
        })
    }

    /// What is sealed.
    pub(super) fn sealed_form(&self) -> &SecretBytes {
        &self.sealed_form
    }

    /// Both parts, for one framing call (and for the paper venue, which must know them to check).
    pub fn view(&self) -> CredentialView<'_> {
        let whole = self.sealed_form.expose();
        let (head, secret) = whole.split_at_checked(self.secret_from).unwrap_or_default();
        let api_key = head.get(3..).unwrap_or_default();
        CredentialView {
            api_key: std::str::from_utf8(api_key).unwrap_or_default(),
            secret,
        }
    }

    /// Which credential it is, made of its public part alone: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new_with_prefix(b"flashguard/1/venue-credential\0");
        hash.update(self.view().api_key);
        hex::encode(hash.finalize().get(..8).unwrap_or_default())
    }
}

/// Why a credential is not used although the venue accepts it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountProblem {
    /// It can move money away: refused, whatever else it can (seed flaw 8).
    #[error("the venue credential can withdraw: make one that can only trade and read")]
    CanWithdraw,
    /// It can do more than trading needs.
    #[error("the venue credential has more rights than needed: {}", scopes.join(", "))]
    TooWide {
        /// The venue's words for what is too much, at most 8 of 32 characters.
        scopes: Vec<String>,
    },
    /// It cannot place orders.
    #[error("the venue credential cannot trade")]
    CannotTrade,
}

/// Whether a credential has the rights that trading needs and no other: `trade`, and `read` beside
/// it. What the venue answered to [`Query::Account`](crate::ports::venue::Query::Account) decides;
/// that it rejected the credential or could not be reached is the
/// [`VenueError`](crate::ports::venue::VenueError) of that call.
///
/// # Errors
///
/// [`AccountProblem`] with the most dangerous right first.
pub fn judge_account(account: &Account) -> Result<(), AccountProblem> {
    const NEEDED: &str = "trade";
    const HARMLESS: [&str; 2] = [NEEDED, "read"];
    let scopes = || {
        account
            .scopes
            .iter()
            .map(|scope| scope.trim().to_ascii_lowercase())
    };
    if scopes().any(|scope| scope.contains("withdraw") || scope.contains("transfer")) {
        return Err(AccountProblem::CanWithdraw);
    }
    let wide: Vec<String> = scopes()
        .filter(|scope| !HARMLESS.contains(&scope.as_str()))
        .map(|scope| scope.chars().take(32).collect())
        .take(8)
        .collect();
    if !wide.is_empty() {
        return Err(AccountProblem::TooWide { scopes: wide });
    }
    if !scopes().any(|scope| scope == NEEDED) {
        return Err(AccountProblem::CannotTrade);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemEntropy;

    #[test]
    fn both_parts_survive_their_sealed_form() {
        let one = VenueCredential::new("key-1", "s3cr3t").unwrap();
        let bytes = SecretBytes::copied_from(one.sealed_form().expose());
        let two = VenueCredential::from_sealed_form(bytes).unwrap();
        assert_eq!(two.view().api_key, "key-1");
        assert_eq!(two.view().secret, b"s3cr3t");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused() {
        let new = |key: &str, secret: &str| VenueCredential::new(key, secret).err();
        assert_eq!(new("k", "s"), None);
        assert_eq!(new(&"k".repeat(256), &"s".repeat(512)), None);
        for key in ["", "a b", "a\r\nX-Evil: 1", "ä", &"k".repeat(257)] {
            assert_eq!(new(key, "s"), Some(NotACredential::ApiKey), "{key:?}");
        }
        for secret in ["", "a\n", &"s".repeat(513)] {
            assert_eq!(new("k", secret), Some(NotACredential::Secret), "{secret:?}");
        }
    }

    #[test]
    fn a_text_has_the_key_on_one_line_and_the_secret_on_the_next() {
        let parse = |text: &str| {
            let text = Redacted::taken_from(text.as_bytes().to_vec()).unwrap();
            VenueCredential::parse(&text).map(|c| {
                (
                    c.view().api_key.to_owned(),
                    String::from_utf8(c.view().secret.to_vec()).unwrap(),
                )
            })
        };
        let both = ("key".to_owned(), "secret".to_owned());
        assert_eq!(parse("key\nsecret\n"), Ok(both.clone()));
        assert_eq!(parse("key\r\nsecret\r\n"), Ok(both));
        assert_eq!(parse("key"), Err(NotACredential::NotTwoLines));
        assert_eq!(parse("key\nsecret\nmore"), Err(NotACredential::Secret));
    }

    #[test]
    fn garbage_is_not_a_sealed_credential() {
        for bytes in [
            &b""[..],
            b"\x01",
            b"\x01\0\x05key",
            b"\x02\0\x01ks",
            b"\x01\0\0s",
        ] {
            let bytes = SecretBytes::copied_from(bytes);
            assert!(VenueCredential::from_sealed_form(bytes).is_err());
        }
    }

    #[test]
    fn a_fingerprint_says_which_key_and_nothing_of_the_secret() {
        let print =
            |key: &str, secret: &str| VenueCredential::new(key, secret).unwrap().fingerprint();
        assert_eq!(print("a", "1"), print("a", "2"));
        assert_ne!(print("a", "1"), print("b", "1"));
        let one = VenueCredential::generate(&SystemEntropy).unwrap();
        let two = VenueCredential::generate(&SystemEntropy).unwrap();
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(one.view().secret.len(), 64);
    }

    #[test]
    fn only_a_credential_that_trades_and_reads_is_used() {
        let judge = |scopes: &[&str]| {
            judge_account(&Account {
                account: "paper".into(),
                scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            })
        };
        assert_eq!(judge(&["trade"]), Ok(()));
        assert_eq!(judge(&["read", "trade"]), Ok(()));
        assert_eq!(judge(&["read"]), Err(AccountProblem::CannotTrade));
        assert_eq!(judge(&[]), Err(AccountProblem::CannotTrade));
        for wide in ["withdraw", "WITHDRAW ", "withdrawals", "transfer"] {
            assert_eq!(
                judge(&["trade", "manage_keys", wide]),
                Err(AccountProblem::CanWithdraw)
            );
        }
        assert_eq!(
            judge(&["trade", "manage_keys"]),
            Err(AccountProblem::TooWide {
                scopes: vec!["manage_keys".into()]
            })
        );
        assert!(matches!(
            judge(&["trade", "something"]),
            Err(AccountProblem::TooWide { .. })
        ));
    }
}
