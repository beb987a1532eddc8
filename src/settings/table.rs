//! The table of settings: what exists, what it means, what it may be.
//!
//! Each section's file adds its rows with [`section!`], which makes the typed struct from the same
//! words, so that a field, its documentation and its check cannot drift apart.

use std::collections::BTreeMap;

use super::mistake::{Mistake, Place};
use super::value::FromText;

/// One setting, as the table has it.
#[derive(Debug)]
pub struct Setting {
    /// Its section, such as `gate`.
    pub section: &'static str,
    /// Its name inside the section, such as `order_rate_per_s`.
    pub key: &'static str,
    /// Both, such as `gate.order_rate_per_s`.
    pub name: &'static str,
    /// What it does, and what happens when it is wrong.
    pub meaning: &'static str,
    /// The default, as text; empty = not set.
    pub default: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// The unit of its value; empty when it has none.
    pub unit: &'static str,
    /// Its value is never printed.
    pub secret: bool,
}

impl Setting {
    /// The environment variable that sets it, such as `FLASHGUARD__GATE__ORDER_RATE_PER_S`.
    pub fn variable(&self) -> String {
        format!(
            "{}{}__{}",
            super::environment::PREFIX,
            self.section.to_uppercase(),
            self.key.to_uppercase()
        )
    }

    /// What would be right, for people.
    pub fn range(&self) -> String {
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.unit)
        };
        format!("{}{unit}", self.shape.describe())
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An IP address and a port.
    Address,
    /// A whole number, bounds included.
    Integer {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// An exact decimal, bounds included.
    Decimal {
        /// Least.
        min: &'static str,
        /// Most.
        max: &'static str,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of markets.
    Symbols,
    /// The base address of an HTTP service.
    Url,
    /// A file that exists.
    File,
    /// The absolute path of a file, which may not exist yet.
    Path,
}

impl Shape {
    /// For people: completes "must be …".
    pub fn describe(&self) -> String {
        match self {
            Self::Address => {
                "an IP address and a port, such as 127.0.0.1:8000 (port 0 takes a free one)".into()
            }
            Self::Integer { min, max } => {
                format!("a whole number from {} to {}", grouped(*min), grouped(*max))
            }
            Self::Decimal { min, max } => {
                format!("a decimal from {min} to {max}, in a file written as a string")
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Symbols => format!(
                "a list of 1 to {} markets such as SEI/USDC, each once (in a variable separated by commas)",
                super::value::SYMBOLS_MAX
            ),
            Self::Url => {
                "https://HOST[:PORT][/PATH] without user, query and fragment; plain http only to loopback"
                    .into()
            }
            Self::File => "the path of an existing file".into(),
            Self::Path => "an absolute path of a file".into(),
        }
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Every setting, in the order in which they are documented.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    sections().into_iter().flat_map(|(_, rows)| rows)
}

/// Every section with what it is about and its settings.
pub(super) fn sections() -> [(&'static str, &'static [Setting]); 9] {
    use super::{Auth, Emergency, Gate, Journal, Keys, Log, Paper, Server, Venue};
    [
        (Server::ABOUT, Server::SETTINGS),
        (Log::ABOUT, Log::SETTINGS),
        (Gate::ABOUT, Gate::SETTINGS),
        (Venue::ABOUT, Venue::SETTINGS),
        (Paper::ABOUT, Paper::SETTINGS),
        (Auth::ABOUT, Auth::SETTINGS),
        (Keys::ABOUT, Keys::SETTINGS),
        (Emergency::ABOUT, Emergency::SETTINGS),
        (Journal::ABOUT, Journal::SETTINGS),
    ]
}

/// The setting of that name.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.name == name)
}

/// Collects what the sources give, turns it into values, and keeps every mistake.
#[derive(Default)]
pub(super) struct Reader {
    given: BTreeMap<&'static str, (String, Place)>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// A source gives `name` this text; it wins over what was given before.
    pub(super) fn give(&mut self, name: &'static str, text: String, place: Place) {
        self.given.insert(name, (text, place));
    }

    pub(super) fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub(super) fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// Where `name` got its value.
    pub(super) fn place(&self, name: &str) -> Place {
        self.given
            .get(name)
            .map_or(Place::Default, |(_, place)| place.clone())
    }

    /// The value of `name`; on a mistake `None`, and the mistake is kept.
    pub(super) fn value<T: FromText>(&mut self, name: &str) -> Option<T> {
        let setting = find(name)?;
        let (text, place) = match self.given.get(name) {
            Some((text, place)) => (text.as_str(), place.clone()),
            None => (setting.default, Place::Default),
        };
        match T::from_text(text, &setting.shape) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.mistakes.push(Mistake {
                    place,
                    key: setting.name.to_owned(),
                    problem,
                    right: format!("must be {}", setting.range()),
                });
                None
            }
        }
    }
}

/// Makes a section: the typed struct, its rows of the table, its reader and its printer.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:literal $section:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field:ident: $type:ty = $default:literal, $unit:literal, $shape:expr;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $section {
            $(
                $(#[doc = $meaning])+
                #[doc = ""]
                #[doc = concat!("Default: `", $default, "` ", $unit)]
                pub $field: $type,
            )+
        }

        impl $section {
            pub(super) const ABOUT: &'static str = concat!($($about),+);
            pub(super) const SETTINGS: &'static [$crate::settings::table::Setting] = &[$(
                $crate::settings::table::Setting {
                    section: $name,
                    key: stringify!($field),
                    name: concat!($name, ".", stringify!($field)),
                    meaning: concat!($($meaning),+),
                    default: $default,
                    shape: $shape,
                    unit: $unit,
                    secret: false,
                },
            )+];

            pub(super) fn read(reader: &mut $crate::settings::table::Reader) -> Option<Self> {
                $(let $field = reader.value(concat!($name, ".", stringify!($field)));)+
                Some(Self { $($field: $field?),+ })
            }

            pub(super) fn texts(&self) -> Vec<String> {
                vec![$($crate::settings::value::FromText::to_text(&self.$field)),+]
            }
        }
    };
}
pub(super) use section;
