//! Secrets in memory: types that cannot be printed, copied or serialised by accident (S1).
//!
//! A secret has no `Debug`, `Display`, `Serialize` or `Clone`; its bytes lie between guard pages,
//! outside core dumps, locked against swapping where the kernel allows it, and are overwritten when
//! it is dropped. Seeing them takes a call of `expose`, which is easy to find in a review. What this
//! module does not do: it cannot erase copies that somebody makes of the exposed bytes.

mod locked;

use std::io::Read;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::clock::{Entropy, EntropyFailed};
use locked::Locked;

/// Secret bytes of any length, such as a private key.
///
/// ```
/// let secret = flashguard_actors::domain::secret::SecretBytes::copied_from(b"hunter2");
/// assert_eq!(secret.expose(), b"hunter2");
/// ```
///
/// It cannot be printed, for people or for debugging:
/// ```compile_fail,E0277
/// let secret = flashguard_actors::domain::secret::SecretBytes::copied_from(b"hunter2");
/// let _ = format!("{secret:?}");
/// ```
/// ```compile_fail,E0277
/// let secret = flashguard_actors::domain::secret::SecretBytes::copied_from(b"hunter2");
/// let _ = format!("{secret}");
/// ```
/// nor copied:
/// ```compile_fail,E0599
/// let secret = flashguard_actors::domain::secret::SecretBytes::copied_from(b"hunter2");
/// let _ = secret.clone();
/// ```
/// nor serialised:
/// ```compile_fail,E0277
/// let secret = flashguard_actors::domain::secret::SecretBytes::copied_from(b"hunter2");
/// let _ = serde_json::to_string(&secret);
/// ```
pub struct SecretBytes(Locked);

impl SecretBytes {
    /// A secret with the content of `bytes`. The caller erases its own copy.
    pub fn copied_from(bytes: &[u8]) -> Self {
        Self::filled(bytes.len(), |memory| memory.copy_from_slice(bytes))
    }

    /// A secret of `length` bytes written in place by `fill`, which is given zeros.
    pub fn filled(length: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut memory = Locked::zeroed(length);
        fill(memory.bytes_mut());
        Self(memory)
    }

    /// A secret of `length` unpredictable bytes.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] when there is no randomness: no secret exists then.
    pub fn random(length: usize, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut memory = Locked::zeroed(length);
        entropy.fill(memory.bytes_mut())?;
        Ok(Self(memory))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The bytes as an array, or `None` when there are not exactly `N`.
    pub fn expose_array<const N: usize>(&self) -> Option<&[u8; N]> {
        self.expose().try_into().ok()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.expose().len()
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `other` has the same content, in a time that does not depend on where they differ.
    pub fn equals(&self, other: &[u8]) -> bool {
        self.expose().ct_eq(other).into()
    }

    /// Whether the kernel keeps it out of swap; it refuses past `RLIMIT_MEMLOCK`.
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

/// A secret that came as text from standard input, a file or a variable.
///
/// ```
/// let text = flashguard_actors::domain::secret::Redacted::read(&b"hunter2\n"[..]).ok();
/// assert_eq!(text.map(|t| t.expose().to_owned()).as_deref(), Some("hunter2"));
/// ```
///
/// It cannot be printed, copied or serialised:
/// ```compile_fail,E0277
/// fn show(text: &flashguard_actors::domain::secret::Redacted) { let _ = format!("{text:?}"); }
/// ```
/// ```compile_fail,E0277
/// fn show(text: &flashguard_actors::domain::secret::Redacted) { let _ = format!("{text}"); }
/// ```
/// ```compile_fail,E0599
/// fn copy(text: flashguard_actors::domain::secret::Redacted) { let _ = text.clone().expose(); }
/// ```
/// ```compile_fail,E0277
/// fn write(text: &flashguard_actors::domain::secret::Redacted) { let _ = serde_json::to_string(text); }
/// ```
pub struct Redacted(SecretBytes);

/// Why a text is not taken as a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotASecretText {
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// Far more than any secret needs.
    #[error("the secret is longer than {max_bytes} bytes")]
    TooLong {
        /// [`Redacted::BYTES_MAX`].
        max_bytes: usize,
    },
    /// It has bytes that are not UTF-8.
    #[error("the secret is not text")]
    NotText,
    /// Reading it failed.
    #[error("the secret cannot be read")]
    Unreadable(#[source] std::io::Error),
}

impl Redacted {
    /// Longest text taken, in bytes.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// Takes a text over and erases the original; one newline at its end does not belong to it.
    ///
    /// # Errors
    ///
    /// [`NotASecretText`] when it is empty, too long or not UTF-8.
    pub fn taken_from(mut text: Vec<u8>) -> Result<Self, NotASecretText> {
        let taken = Self::from_slice(&text);
        text.zeroize();
        taken
    }

    /// Reads a text to the end of `source`; one newline at its end does not belong to it.
    ///
    /// # Errors
    ///
    /// [`NotASecretText`] when it cannot be read, is empty, too long or not UTF-8.
    pub fn read(mut source: impl Read) -> Result<Self, NotASecretText> {
        let mut buffer = Locked::zeroed(Self::BYTES_MAX + 3);
        let mut length = 0;
        while let Some(free) = buffer
            .bytes_mut()
            .get_mut(length..)
            .filter(|f| !f.is_empty())
        {
            match source.read(free) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NotASecretText::Unreadable(error)),
            }
        }
        Self::from_slice(buffer.bytes().get(..length).unwrap_or_default())
    }

    fn from_slice(text: &[u8]) -> Result<Self, NotASecretText> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return Err(NotASecretText::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(NotASecretText::TooLong {
                max_bytes: Self::BYTES_MAX,
            });
        }
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self(SecretBytes::copied_from(text))),
            Err(_) => Err(NotASecretText::NotText),
        }
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        // It was checked when it was taken; an empty text is never one.
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{SeededEntropy, SystemEntropy};
    use std::os::unix::fs::FileExt;

    #[test]
    fn one_newline_at_the_end_of_a_text_does_not_belong_to_it() {
        let read = |bytes: &[u8]| Redacted::read(bytes).map(|text| text.expose().to_owned());
        assert_eq!(read(b"abc").unwrap(), "abc");
        assert_eq!(read(b"abc\n").unwrap(), "abc");
        assert_eq!(read(b"abc\r\n").unwrap(), "abc");
        assert_eq!(read(b"abc\n\n").unwrap(), "abc\n");
        assert_eq!(read(b" abc ").unwrap(), " abc ");
    }

    #[test]
    fn an_empty_a_long_and_a_binary_text_are_told_apart() {
        assert!(matches!(
            Redacted::read(&b""[..]),
            Err(NotASecretText::Empty)
        ));
        assert!(matches!(
            Redacted::read(&b"\n"[..]),
            Err(NotASecretText::Empty)
        ));
        assert!(matches!(
            Redacted::read(&[0xff, 0xfe][..]),
            Err(NotASecretText::NotText)
        ));
        let full = vec![b'x'; Redacted::BYTES_MAX];
        assert!(Redacted::read(&full[..]).is_ok());
        assert!(Redacted::read(&[&full[..], b"\n"].concat()[..]).is_ok());
        assert!(Redacted::read(&[&full[..], b"\r\n"].concat()[..]).is_ok());
        let long = [&full[..], b"x"].concat();
        assert!(matches!(
            Redacted::read(&long[..]),
            Err(NotASecretText::TooLong { .. })
        ));
        assert!(matches!(
            Redacted::taken_from(long),
            Err(NotASecretText::TooLong { .. })
        ));
    }

    #[test]
    fn equality_looks_at_content_and_length() {
        let secret = SecretBytes::copied_from(b"abc");
        assert!(secret.equals(b"abc"));
        assert!(!secret.equals(b"abd"));
        assert!(!secret.equals(b"ab"));
        assert!(!secret.equals(b""));
        assert!(SecretBytes::copied_from(b"").is_empty());
        assert!(secret.expose_array::<3>().is_some());
        assert!(secret.expose_array::<4>().is_none());
    }

    #[test]
    fn random_secrets_differ() {
        let entropy = SeededEntropy::new(3);
        let one = SecretBytes::random(32, entropy.as_ref()).unwrap();
        let two = SecretBytes::random(32, entropy.as_ref()).unwrap();
        assert!(!one.equals(two.expose()));
    }

    /// Invariant: once dropped, the place where the secret lay does not hold it. Read through the
    /// kernel, so that no freed memory is touched by this program.
    #[test]
    fn a_dropped_secret_is_no_longer_where_it_was() {
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let secret = SecretBytes::random(32, &SystemEntropy).unwrap();
        let (address, copy) = (secret.expose().as_ptr() as u64, secret.expose().to_vec());
        let mut seen = vec![0; 32];
        memory.read_exact_at(&mut seen, address).unwrap();
        assert!(seen == copy, "the test reads the right place");
        drop(secret);
        let still_mapped = memory.read_exact_at(&mut seen, address).is_ok();
        assert!(!still_mapped || seen != copy);
    }

    /// As far as `RLIMIT_MEMLOCK` allows it, which a container may set to nothing.
    #[test]
    fn a_secret_is_locked_in_memory_where_the_kernel_allows_it() {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
        let secret = SecretBytes::copied_from(b"abc");
        if allowed.is_none_or(|bytes| bytes >= 1 << 20) {
            assert!(secret.is_locked());
        }
    }
}
