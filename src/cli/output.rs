//! What is written: for programs one JSON value on stdout, for people short aligned lines.
//!
//! Text that came from elsewhere (reasons, ids, a server's message) is shown without its control
//! characters, so that it cannot steer a terminal.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use super::exit::Failure;

/// Where and how a verb writes.
#[derive(Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    colour: bool,
}

impl Output {
    /// Colour only on a terminal, and not where `NO_COLOR` is set.
    pub fn new(json: bool, quiet: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            quiet,
            colour: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// Writes the result: `value` for programs, or what `page` makes of it for people.
    pub fn result(&self, value: &Value, page: impl FnOnce(&mut Page)) {
        if self.json {
            write_stdout(&format!("{value}\n"));
        } else if !self.quiet {
            let mut lines = Page {
                text: String::new(),
                colour: self.colour,
            };
            page(&mut lines);
            write_stdout(&lines.text);
        }
    }

    /// Writes why it was not done.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let error = json!({
                "code": failure.code,
                "message": failure.message,
                "details": failure.details,
            });
            write_stdout(&format!("{}\n", json!({ "error": error })));
        }
        let mut text = format!("flashguard: {}\n", plain_lines(&failure.message));
        if let Some(next) = &failure.next {
            text.push_str(&format!("  {}\n", plain_lines(next)));
        }
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Writes a line for people who wait, on stderr.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{}", plain(text));
        }
    }
}

/// A reader that has gone away is not an error of ours.
fn write_stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Lines for people.
pub struct Page {
    text: String,
    colour: bool,
}

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// Somebody must do something.
    Bad,
}

impl Page {
    /// One line.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(&plain(text));
        self.text.push('\n');
    }

    /// One line whose first word has a tone.
    pub fn toned(&mut self, tone: Tone, word: &str, rest: &str) {
        let (on, off) = match (self.colour, tone) {
            (false, _) => ("", ""),
            (true, Tone::Good) => ("\x1b[32m", "\x1b[0m"),
            (true, Tone::Warn) => ("\x1b[33m", "\x1b[0m"),
            (true, Tone::Bad) => ("\x1b[1;31m", "\x1b[0m"),
        };
        let gap = if rest.is_empty() { "" } else { " " };
        self.text
            .push_str(&format!("{on}{}{off}{gap}{}\n", plain(word), plain(rest)));
    }

    /// Names and values, aligned; empty values are left out.
    pub fn pairs(&mut self, pairs: &[(&str, String)]) {
        let shown = || pairs.iter().filter(|(_, value)| !value.is_empty());
        let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in shown() {
            self.text
                .push_str(&format!("{name:width$}  {}\n", plain(value)));
        }
    }

    /// A table with a heading; the last column is not padded.
    pub fn table<const N: usize>(&mut self, heading: [&str; N], rows: &[[String; N]]) {
        let rows: Vec<Vec<String>> = std::iter::once(heading.map(str::to_owned).to_vec())
            .chain(
                rows.iter()
                    .map(|row| row.iter().map(|cell| plain(cell)).collect()),
            )
            .collect();
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..N).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

/// `text` on one line, its control characters written out.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let kept = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}

/// The same, line by line.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// The field of an answer as text: strings as they are, nothing for `null`, else JSON.
pub fn show(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(colour: bool) -> Page {
        Page {
            text: String::new(),
            colour,
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let mut page = page(false);
        page.table(
            ["id", "status", "price"],
            &[["1", "open", "0.25"], ["1000", "partially_filled", ""]]
                .map(|r| r.map(str::to_owned)),
        );
        page.pairs(&[
            ("a", "1".into()),
            ("empty", String::new()),
            ("long", "2".into()),
        ]);
        let expected = "id    status            price\n1     open              0.25\n\
                        1000  partially_filled\na     1\nlong  2\n";
        assert_eq!(page.text, expected);
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        let mut page = page(false);
        page.line("a\x1b[2Jb\r\nc\u{9b}d");
        assert_eq!(page.text, "a\\u{1b}[2Jb\\r\\nc\\u{9b}d\n");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let mut with = page(true);
        with.toned(Tone::Bad, "halted", "x");
        assert_eq!(with.text, "\x1b[1;31mhalted\x1b[0m x\n");
        let mut without = page(false);
        without.toned(Tone::Bad, "halted", "x");
        assert_eq!(without.text, "halted x\n");
    }
}
