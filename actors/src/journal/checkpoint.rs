//! Signed checkpoints: the tree's size and root as C2SP notes (tlog-checkpoint over signed-note,
//! Ed25519).
//!
//! Whoever holds one can tell whether a journal still begins with the records it covers (J4). The
//! secret key is not here: signing is a function that is handed in.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::VerifyingKey;
use signed_note::{Note, Signature, StandardVerifier, Verifier as _, VerifierList};

use crate::ports::journal::Hash;

/// Signs a note's text with Ed25519. The key stays with whoever made it.
pub type SignNote = Arc<dyn Fn(&[u8]) -> [u8; 64] + Send + Sync>;

/// Why a note is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not a verifier key `<name>+<id>+<base64>` for Ed25519.
    #[error("not a C2SP verifier key")]
    BadKey,
    /// Not an origin: it must not be empty nor hold space or `+`.
    #[error("not an origin: {0:?}")]
    BadOrigin(String),
    /// Not a signed note, or not the text of a checkpoint.
    #[error("not a signed checkpoint: {0}")]
    Malformed(&'static str),
    /// The signature is not by this key over this text.
    #[error("the checkpoint is not signed by {0}")]
    NotSigned(String),
    /// Signed, but of another log.
    #[error("the checkpoint is of another log: {0:?}")]
    OtherOrigin(String),
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Records it covers.
    pub size: u64,
    /// The tree's root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: origin, size, root in base64, each on a line.
    pub fn text(&self) -> String {
        let root = BASE64_STANDARD.encode(self.root);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Reads a checkpoint's text. Lines after the third are allowed by the format and ignored.
    ///
    /// # Errors
    ///
    /// [`NoteError::Malformed`] when it has another shape.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let text = text.strip_suffix('\n');
        let mut lines = text
            .ok_or(NoteError::Malformed("no final newline"))?
            .split('\n');
        let mut line = |what| {
            lines
                .next()
                .filter(|l| !l.is_empty())
                .ok_or(NoteError::Malformed(what))
        };
        let origin = line("no origin")?.to_owned();
        let digits = line("no size")?;
        let plain = digits == "0" || !digits.starts_with('0');
        let size = digits.parse().ok();
        let size = size.filter(|_| plain && digits.bytes().all(|b| b.is_ascii_digit()));
        let root = BASE64_STANDARD.decode(line("no root")?);
        let root = root.ok().and_then(|root| root.try_into().ok());
        Ok(Self {
            origin,
            size: size.ok_or(NoteError::Malformed("bad size"))?,
            root: root.ok_or(NoteError::Malformed("bad root"))?,
        })
    }
}

/// The public half of the key that signs checkpoints. Its name is the log's origin.
#[derive(Clone)]
pub struct VerifierKey {
    origin: String,
    text: String,
    verifier: StandardVerifier,
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl VerifierKey {
    /// The verifier key of `origin` with this public key (32 bytes, Ed25519).
    ///
    /// # Errors
    ///
    /// [`NoteError`] when the origin holds space or `+`, or the bytes are not a point.
    pub fn new(origin: &str, public: &[u8; 32]) -> Result<Self, NoteError> {
        let key = VerifyingKey::from_bytes(public).map_err(|_| NoteError::BadKey)?;
        if !signed_note::is_key_name_valid(origin) || origin.chars().any(char::is_control) {
            return Err(NoteError::BadOrigin(origin.to_owned()));
        }
        Self::parse(&signed_note::new_ed25519_verifier_key(origin, &key))
    }

    /// Reads `<name>+<id>+<base64>`, as `audit key` prints it.
    ///
    /// # Errors
    ///
    /// [`NoteError::BadKey`] when it is not one.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let verifier = StandardVerifier::new(text).map_err(|_| NoteError::BadKey)?;
        Ok(Self {
            origin: verifier.name().to_owned(),
            text: text.to_owned(),
            verifier,
        })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Reads a signed note and takes it only if this key signed it and its origin is this log's.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when it is not.
    pub fn verify(&self, note: &[u8]) -> Result<Checkpoint, NoteError> {
        let note = Note::from_bytes(note).map_err(|_| NoteError::Malformed("not a note"))?;
        let known = VerifierList::new(vec![Box::new(self.verifier.clone())]);
        note.verify(&known)
            .map_err(|_| NoteError::NotSigned(self.origin.clone()))?;
        let text = std::str::from_utf8(note.text());
        let text = text.map_err(|_| NoteError::Malformed("not UTF-8"))?;
        let checkpoint = Checkpoint::parse(text)?;
        if checkpoint.origin != self.origin {
            return Err(NoteError::OtherOrigin(checkpoint.origin));
        }
        Ok(checkpoint)
    }
}

/// Makes signed checkpoints of one log.
#[derive(Clone)]
pub struct CheckpointSigner {
    key: VerifierKey,
    sign: SignNote,
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointSigner({})", self.key)
    }
}

impl CheckpointSigner {
    /// A signer for the log that `key` names.
    pub fn new(key: VerifierKey, sign: SignNote) -> Self {
        Self { key, sign }
    }

    /// A signer from an Ed25519 seed. The caller's copy is the caller's to erase; the one made here
    /// is erased when the last clone is dropped.
    ///
    /// # Errors
    ///
    /// [`NoteError::BadOrigin`] when the origin holds space or `+`.
    pub fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let key = VerifierKey::new(origin, secret.verifying_key().as_bytes())?;
        let sign = move |text: &[u8]| ed25519_dalek::Signer::sign(&secret, text).to_bytes();
        Ok(Self::new(key, Arc::new(sign)))
    }

    /// The public half.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// A signed note over the tree's size and root.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when what came back does not verify with the public half: the key is another.
    pub fn sign(&self, size: u64, root: Hash) -> Result<Vec<u8>, NoteError> {
        let origin = self.key.origin.clone();
        let text = Checkpoint { origin, size, root }.text();
        let signature = (self.sign)(text.as_bytes());
        let name = self.key.origin.clone();
        let signature = Signature::new(name, self.key.verifier.key_id(), signature.to_vec());
        let signature = signature.map_err(|_| NoteError::Malformed("name"))?;
        let note = Note::new(text.as_bytes(), &[signature]);
        let note = note.map_err(|_| NoteError::Malformed("text"))?.to_bytes();
        self.key.verify(&note)?;
        Ok(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "flashguard.test/journal";

    fn signer(seed: u8) -> CheckpointSigner {
        CheckpointSigner::from_seed(ORIGIN, &[seed; 32]).unwrap()
    }

    #[test]
    fn a_note_says_origin_size_and_root_and_verifies_with_the_printed_key() {
        let signer = signer(1);
        let note = signer.sign(42, [9; 32]).unwrap();
        let text = String::from_utf8(note.clone()).unwrap();
        let root = BASE64_STANDARD.encode([9; 32]);
        assert!(
            text.starts_with(&format!("{ORIGIN}\n42\n{root}\n\n— {ORIGIN} ")),
            "{text}"
        );
        let key = VerifierKey::parse(&signer.key().to_string()).unwrap();
        let read = key.verify(&note).unwrap();
        assert_eq!((read.size, read.root), (42, [9; 32]));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_noticed() {
        let signer = signer(1);
        let note = signer.sign(1_234, [7; 32]).unwrap();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut changed = note.clone();
                changed[at] ^= 1 << bit;
                assert!(
                    signer.key().verify(&changed).is_err(),
                    "byte {at} bit {bit}"
                );
            }
        }
    }

    #[test]
    fn a_note_by_another_key_or_of_another_log_is_refused() {
        let note = signer(1).sign(1, [0; 32]).unwrap();
        assert!(matches!(
            signer(2).key().verify(&note),
            Err(NoteError::NotSigned(_))
        ));
        let other = CheckpointSigner::from_seed("other", &[1; 32]).unwrap();
        assert!(other.key().verify(&note).is_err());
    }

    #[test]
    fn a_signing_function_with_another_key_is_noticed_at_once() {
        let wrong = CheckpointSigner::new(signer(1).key().clone(), signer(2).sign.clone());
        assert!(matches!(
            wrong.sign(1, [0; 32]),
            Err(NoteError::NotSigned(_))
        ));
    }

    #[test]
    fn origins_and_texts_of_another_shape_are_refused() {
        for bad in ["", "a b", "a+b", "a\nb"] {
            assert!(
                CheckpointSigner::from_seed(bad, &[1; 32]).is_err(),
                "{bad:?}"
            );
        }
        let root = BASE64_STANDARD.encode([0; 32]);
        let read = |text: String| Checkpoint::parse(&text);
        assert!(read(format!("o\n0\n{root}\n")).is_ok());
        assert!(read(format!("o\n10\n{root}\nextension\n")).is_ok());
        for bad in ["-1", "+1", "01", "", "18446744073709551616", "x"] {
            assert!(read(format!("o\n{bad}\n{root}\n")).is_err(), "{bad:?}");
        }
        assert!(read(format!("o\n1\n{root}")).is_err());
        assert!(read("o\n1\nAAAA\n".to_owned()).is_err());
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn no_bytes_make_the_reader_panic(note in prop::collection::vec(any::<u8>(), 0..300), text in ".*") {
                prop_assert!(signer(1).key().verify(&note).is_err());
                let _ = Checkpoint::parse(&text);
                let _ = VerifierKey::parse(&text);
            }
        }
    }
}
