//! Settings from the environment: `FLASHGUARD__SECTION__KEY`.

use std::ffi::OsString;

use super::mistake::{Mistake, Place, did_you_mean};
use super::table::{Reader, settings};

/// What the name of such a variable begins with.
pub(super) const PREFIX: &str = "FLASHGUARD__";

/// Takes every variable that begins with the prefix; an unknown one is a mistake.
pub(super) fn read(environment: &[(OsString, OsString)], reader: &mut Reader) {
    let mut ours: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.to_string_lossy(), value))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    for (name, value) in ours {
        let place = Place::Variable(name.clone().into_owned());
        let Some(setting) = settings().find(|row| row.variable() == name) else {
            let known: Vec<String> = settings().map(|row| row.variable()).collect();
            let near = did_you_mean(&name, known.iter().map(String::as_str));
            reader.mistake(Mistake {
                place,
                key: String::new(),
                problem: "there is no such setting".to_owned(),
                right: near.map_or_else(
                    || "docs/configuration.md lists every setting".to_owned(),
                    |near| format!("did you mean {near}?"),
                ),
            });
            continue;
        };
        match value.to_str() {
            Some(text) => reader.give(setting.name, text.to_owned(), place),
            None => reader.mistake(Mistake {
                place,
                key: setting.name.to_owned(),
                problem: "the value is not UTF-8".to_owned(),
                right: format!("must be {}", setting.range()),
            }),
        }
    }
}
