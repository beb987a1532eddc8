//! The table of settings as documents: the reference file and the page for people. A test keeps both
//! equal to what lies in `config/` and `docs/`.

use std::fmt::Write as _;

use super::table::{Setting, Shape, sections};

/// `config/flashguard.toml`: every key with its meaning, unit, default and range. Loading it changes
/// nothing.
pub fn reference_file() -> String {
    let mut out = String::from(
        "# Every setting of FlashGuard with its default. Loading this file changes nothing.\n\
         # Each can also be given as an environment variable, which wins: FLASHGUARD__SECTION__KEY.\n\
         # Unknown names are errors. Made from the table in src/settings; do not edit by hand.\n",
    );
    for (about, rows) in sections() {
        let Some(first) = rows.first() else { continue };
        let _ = write!(out, "\n{}[{}]\n", comment(about), first.section);
        for row in rows {
            let _ = write!(
                out,
                "\n{}# {}: {}.\n",
                comment(row.meaning),
                kind(row),
                row.range()
            );
            let unset = if row.default.is_empty() { "# " } else { "" };
            let _ = writeln!(out, "{unset}{} = {}", row.key, toml_default(row));
        }
    }
    out
}

fn kind(row: &Setting) -> &'static str {
    if row.secret { "Secret" } else { "Range" }
}

fn comment(text: &str) -> String {
    wrapped(text)
        .iter()
        .map(|line| format!("# {line}\n"))
        .collect()
}

/// The words of a doc comment in lines of at most 98 characters.
fn wrapped(text: &str) -> Vec<String> {
    const LINE_CHARS_MAX: usize = 98;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= LINE_CHARS_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn toml_default(row: &Setting) -> String {
    match row.shape {
        Shape::Integer { .. } => row.default.to_owned(),
        Shape::Symbols => {
            let quoted: Vec<String> = row
                .default
                .split(',')
                .map(|symbol| format!("\"{symbol}\""))
                .collect();
            format!("[{}]", quoted.join(", "))
        }
        _ => format!("\"{}\"", row.default),
    }
}

/// `docs/configuration.md`: the same for people.
pub fn configuration_page() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Made from the table in `src/settings`; a test keeps it so. The reference file is \
         [`config/flashguard.toml`](../config/flashguard.toml).\n\n\
         A setting is taken from, the later wins: its default, the file (`--config FILE`, or \
         `flashguard.toml` in the data directory when it exists), the environment variable, an option of \
         the command line (`serve --listen`). Decimals are strings in the file, since a float is not exact. \
         An unknown key or an unknown `FLASHGUARD__…` variable is an error. All mistakes are told at once, \
         each with file and line or variable, key, and what would be right; the program then ends with \
         exit code 2.\n",
    );
    for (about, rows) in sections() {
        let Some(first) = rows.first() else { continue };
        let _ = write!(
            out,
            "\n## `{}`\n\n{}\n",
            first.section,
            wrapped(about).join(" ")
        );
        for row in rows {
            let default = if row.default.is_empty() {
                "not set".to_owned()
            } else {
                format!("`{}`", row.default)
            };
            let secret = if row.secret {
                " Secret: its value is never shown."
            } else {
                ""
            };
            let _ = write!(
                out,
                "\n### `{}`\n\n{}{secret}\n\n- Default: {default}\n- Range: {}\n- Variable: `{}`\n",
                row.name,
                wrapped(row.meaning).join(" "),
                row.range(),
                row.variable(),
            );
        }
    }
    out.push_str(PROFILES);
    out
}

/// What the profile changes.
const PROFILES: &str = "
## Profiles

`--profile development` (the default) or `--profile production`. A profile changes no default; it decides what \
is refused. Production refuses, on top of what is always refused:

- a listener (`server.listen`, `server.control_listen`) that is not loopback, unless `server.plain_http` is \
`behind-proxy`: it would offer plain HTTP to others;
- any `venue.adapter` but `http`: `paper` and `memory` do not trade. To rehearse production, run \
`flashguard venue-sim` and point `venue.url` at it.

Always refused: `venue.url` without `venue.adapter = \"http\"` (orders would not go where the file says), `http` \
without `venue.url`, plain `http` to anything but loopback, a user or password in an address, a paper venue that \
listens beyond loopback.

[`config/development.toml`](../config/development.toml) and \
[`config/production.toml`](../config/production.toml) hold what usually differs.
";
