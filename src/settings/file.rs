//! The settings file: TOML, one table per section.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Sources;
use super::mistake::{Mistake, Place, did_you_mean, shown};
use super::table::{Reader, Setting, Shape, find, settings};

/// Largest settings file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the file that `sources` name, if there is one to read.
pub(super) fn read(sources: &Sources, reader: &mut Reader) {
    let path = match (&sources.file, &sources.file_if_present) {
        (Some(path), _) => path,
        (None, Some(path)) if path.exists() => path,
        _ => return,
    };
    match load(path) {
        Ok(text) => text_of(path, &text, reader),
        Err(problem) => reader.mistake(Mistake {
            place: Place::File {
                path: path.clone(),
                line: 0,
                column: 0,
            },
            key: String::new(),
            problem,
            right: "must be a readable TOML file of at most 1 MiB in UTF-8".to_owned(),
        }),
    }
}

fn load(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("the file cannot be read ({})", error.kind());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err("the file is too large".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())
}

/// Reads the text of a settings file: every syntax error, then every key.
pub(super) fn text_of(path: &Path, text: &str, reader: &mut Reader) {
    let source = Source { path, text };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.mistake(Mistake {
            place: source.place(&error.span().unwrap_or(0..0)),
            key: String::new(),
            problem: error.message().trim().to_owned(),
            right: "must be TOML".to_owned(),
        });
    }
    if !errors.is_empty() {
        return;
    }
    for (section, value) in document.get_ref() {
        let name = section.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(table) if settings().any(|row| row.section == name) => {
                for (key, value) in table {
                    source.entry(
                        &format!("{name}.{}", key.get_ref()),
                        &key.span(),
                        value,
                        reader,
                    );
                }
            }
            DeValue::Table(table) if !table.is_empty() => {
                for key in table.keys() {
                    source.unknown(&format!("{name}.{}", key.get_ref()), &key.span(), reader);
                }
            }
            _ => source.unknown(name, &section.span(), reader),
        }
    }
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |rest| rest.chars().count())
            + 1;
        Place::File {
            path: self.path.to_owned(),
            line,
            column,
        }
    }

    fn unknown(&self, name: &str, span: &Range<usize>, reader: &mut Reader) {
        reader.mistake(Mistake {
            place: self.place(span),
            key: shown(name).trim_matches('"').to_owned(),
            problem: "there is no such setting".to_owned(),
            right: nearest(name),
        });
    }

    fn entry(
        &self,
        name: &str,
        key_span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
        reader: &mut Reader,
    ) {
        let Some(setting) = find(name) else {
            return self.unknown(name, key_span, reader);
        };
        let place = self.place(&value.span());
        match canonical(setting, value.get_ref()) {
            Ok(text) => reader.give(setting.name, text, place),
            Err(problem) => reader.mistake(Mistake {
                place,
                key: setting.name.to_owned(),
                problem,
                right: format!("must be {}", setting.range()),
            }),
        }
    }
}

/// The text that an environment variable would have for the same value.
fn canonical(setting: &Setting, value: &DeValue<'_>) -> Result<String, String> {
    match (&setting.shape, value) {
        (Shape::Integer { .. } | Shape::Decimal { .. }, DeValue::Integer(number))
            if number.radix() == 10 =>
        {
            Ok(number.as_str().to_owned())
        }
        (Shape::Decimal { .. }, DeValue::Float(_)) => Err("a float is not exact".to_owned()),
        (Shape::Integer { .. }, DeValue::String(_)) => {
            Err("this is a string, not a number".to_owned())
        }
        (Shape::Symbols, DeValue::Array(list)) => {
            let words: Option<Vec<&str>> =
                list.iter().map(|item| item.get_ref().as_str()).collect();
            let words = words.ok_or("the list holds something that is not a string")?;
            if words.iter().any(|word| word.contains(',')) {
                return Err("a market's name has no comma".to_owned());
            }
            Ok(words.join(","))
        }
        (Shape::Integer { .. } | Shape::Symbols, _) => Err(format!(
            "the value has the wrong type ({})",
            value.type_str()
        )),
        (_, DeValue::String(text)) => Ok(text.as_ref().to_owned()),
        _ => Err(format!(
            "the value has the wrong type ({})",
            value.type_str()
        )),
    }
}

/// What to write instead of an unknown name.
pub(super) fn nearest(name: &str) -> String {
    let key = name.rsplit('.').next().unwrap_or(name);
    let same_key = settings().find(|row| row.key == key).map(|row| row.name);
    match did_you_mean(name, settings().map(|row| row.name)).or(same_key) {
        Some(near) => format!("did you mean {near}?"),
        None => "docs/configuration.md lists every setting".to_owned(),
    }
}
