//! How a text becomes a value: exact, bounded, and saying what is wrong with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flashguard_actors::domain::market::Symbol;
use rust_decimal::Decimal;

use super::mistake::shown;
use super::table::Shape;

/// Most markets in one list.
pub(super) const SYMBOLS_MAX: usize = 64;

/// Longest decimal, in characters: more digits than a `Decimal` holds.
const DECIMAL_CHARS_MAX: usize = 32;

/// A type that a setting can have.
pub(super) trait FromText: Sized {
    /// Reads the canonical text. The error says what is wrong, not what would be right.
    fn from_text(text: &str, shape: &Shape) -> Result<Self, String>;
    /// The canonical text again.
    fn to_text(&self) -> String;
}

impl FromText for SocketAddr {
    fn from_text(text: &str, _: &Shape) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{} is not an IP address with a port", shown(text)))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

fn integer(text: &str, shape: &Shape) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits {
        text.parse::<u64>().ok()
    } else {
        None
    };
    let number = number.ok_or_else(|| format!("{} is not a whole number", shown(text)))?;
    match shape {
        Shape::Integer { min, max } if !(*min..=*max).contains(&number) => {
            Err(format!("{number} is out of range"))
        }
        _ => Ok(number),
    }
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl FromText for $type {
            fn from_text(text: &str, shape: &Shape) -> Result<Self, String> {
                let number = integer(text, shape)?;
                number.try_into().map_err(|_| format!("{number} is out of range"))
            }
            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
integers!(u32, u64, usize);

impl FromText for Decimal {
    fn from_text(text: &str, shape: &Shape) -> Result<Self, String> {
        let wrong = || format!("{} is not a plain decimal", shown(text));
        let plain = text.len() <= DECIMAL_CHARS_MAX
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && text.ends_with(|c: char| c.is_ascii_digit());
        if !plain {
            return Err(wrong());
        }
        let number = Decimal::from_str_exact(text).map_err(|_| wrong())?;
        if let Shape::Decimal { min, max } = shape {
            let bound = |text: &str| Decimal::from_str_exact(text).map_err(|_| wrong());
            if number < bound(min)? || number > bound(max)? {
                return Err(format!("{number} is out of range"));
            }
        }
        Ok(number)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for Vec<Symbol> {
    fn from_text(text: &str, _: &Shape) -> Result<Self, String> {
        let mut symbols = Vec::new();
        for part in text.split(',').map(str::trim) {
            let symbol = Symbol::parse(part).map_err(|e| format!("{}: {e}", shown(part)))?;
            if symbols.contains(&symbol) {
                return Err(format!("{symbol} is there twice"));
            }
            if symbols.len() == SYMBOLS_MAX {
                return Err("there are too many".to_owned());
            }
            symbols.push(symbol);
        }
        Ok(symbols)
    }

    fn to_text(&self) -> String {
        self.iter()
            .map(Symbol::as_str)
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl FromText for PathBuf {
    fn from_text(text: &str, _: &Shape) -> Result<Self, String> {
        match Path::new(text).metadata() {
            Ok(found) if found.is_file() => Ok(text.into()),
            Ok(_) => Err(format!("{} is not a file", shown(text))),
            Err(error) => Err(format!("{} cannot be read ({})", shown(text), error.kind())),
        }
    }

    fn to_text(&self) -> String {
        self.display().to_string()
    }
}

/// A path that does not depend on where the program was started; nothing need be there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsolutePath(PathBuf);

impl AsRef<Path> for AbsolutePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl FromText for AbsolutePath {
    fn from_text(text: &str, _: &Shape) -> Result<Self, String> {
        let path = Path::new(text);
        if path.is_absolute() && path.file_name().is_some() {
            Ok(Self(path.to_owned()))
        } else {
            Err(format!("{} is not an absolute path of a file", shown(text)))
        }
    }

    fn to_text(&self) -> String {
        self.0.display().to_string()
    }
}

/// Not set when empty.
impl<T: FromText> FromText for Option<T> {
    fn from_text(text: &str, shape: &Shape) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::from_text(text, shape).map(Some)
        }
    }

    fn to_text(&self) -> String {
        self.as_ref().map(T::to_text).unwrap_or_default()
    }
}

/// The base address of an HTTP service: scheme, host, port and a path that requests are put under.
/// `https`, or `http` to a loopback address; no user, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the text itself is not repeated, it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        /// Longest address, in characters.
        const LENGTH_MAX: usize = 512;
        if text.len() > LENGTH_MAX || text.contains('#') {
            return Err("the address is too long or has a fragment".to_owned());
        }
        let uri: http::Uri = text
            .parse()
            .map_err(|_| "this is not an address".to_owned())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("the scheme or the host is missing".to_owned());
        };
        if authority.as_str().contains('@') {
            return Err("the address holds a user or password".to_owned());
        }
        if uri.query().is_some() {
            return Err("the address has a query".to_owned());
        }
        let https = match scheme {
            "https" => true,
            "http" if is_loopback(authority.host()) => false,
            "http" => return Err("plain http leaves this machine".to_owned()),
            _ => return Err("the scheme is neither https nor http".to_owned()),
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = authority.host().to_owned();
        Ok(Self {
            text: format!("{scheme}://{authority}{path}"),
            https,
            host,
            port,
            path,
        })
    }

    /// The whole address without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own when none is written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path that requests are put under: empty, or with a slash at its start and none at its end.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Whether `host` is this machine by its own name: an address of the loopback net, or `localhost`.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

impl FromText for BaseUrl {
    fn from_text(text: &str, _: &Shape) -> Result<Self, String> {
        Self::parse(text)
    }

    fn to_text(&self) -> String {
        self.text.clone()
    }
}

/// Makes an enum of words that a setting chooses from.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $meaning:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $meaning])+ $variant, )+ }

        impl $name {
            /// The words, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::settings::value::FromText for $name {
            fn from_text(text: &str, _: &$crate::settings::table::Shape) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{} is not known", $crate::settings::mistake::shown(text))),
                }
            }
            fn to_text(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}
pub(super) use choice;
