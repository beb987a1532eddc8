//! The order of the modules, and what none of them may do, read from the sources.
//!
//! Imports point one way. A module that is not in the list has to be given its place there first.
//! Comments, texts and test modules do not count. What the compiler can enforce is left to it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a source that cannot be read is a test that fails"
)]

use std::path::{Path, PathBuf};

/// A module imports from itself and from what stands before it.
const ORDER: [&str; 13] = [
    "domain",
    "ports",
    "supervision",
    "journal",
    "alerts",
    "auth",
    "gate",
    "key_manager",
    "trading",
    "rotation",
    "emergency",
    "monitor",
    "system",
];

/// Names that stand for an open socket. The latch's own crate cuts sockets that it was given.
const SOCKETS: [&str; 7] = [
    "TcpStream",
    "TcpListener",
    "TcpSocket",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
];

#[test]
fn imports_point_one_way() {
    check(|source| imports_against_the_order(&source.module_path, &source.code));
}

#[test]
fn only_the_key_manager_makes_what_is_signed() {
    check(|source| match source.top() {
        // Where the type is defined, and where it is made.
        "ports" | "key_manager" => Vec::new(),
        _ => constructions_of("Signed", &source.code),
    });
}

#[test]
fn no_actor_opens_a_socket() {
    check(|source| mentions(&SOCKETS, &source.code));
}

#[test]
fn nothing_uses_what_actix_does_badly() {
    check(|source| {
        let mut found = mentions(&["SyncArbiter"], &source.code);
        found.extend(continues_after_a_panic(&source.code));
        found
    });
}

#[test]
fn nothing_public_outside_supervision_holds_an_address() {
    check(|source| match source.top() {
        "supervision" => Vec::new(),
        _ => public_addresses(&source.code),
    });
}

#[test]
fn the_sources_are_found() {
    let sources = sources();
    assert!(sources.iter().any(|source| source.top() == "domain"));
    assert!(sources.iter().any(|source| source.top() == "supervision"));
}

/// One file without its comments, texts and test modules.
struct Source {
    path: PathBuf,
    /// `["journal", "record"]` for `src/journal/record.rs`.
    module_path: Vec<String>,
    code: String,
}

impl Source {
    /// The module under the crate's root; empty for the root itself.
    fn top(&self) -> &str {
        self.module_path.first().map_or("", String::as_str)
    }
}

/// Fails with every finding of `rule`, each with its file.
fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let mut found = Vec::new();
    for source in sources() {
        let path = source.path.display();
        found.extend(rule(&source).iter().map(|what| format!("{path}: {what}")));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&root).unwrap().with_extension("");
        let mut module_path: Vec<String> = relative
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module_path
            .last()
            .is_some_and(|last| last == "mod" || last == "lib")
        {
            module_path.pop();
        }
        let code = without_tests(&without_texts(&std::fs::read_to_string(&path).unwrap()));
        Source {
            path,
            module_path,
            code,
        }
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if stem == "tests" || stem.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

// ---- rules -------------------------------------------------------------------------------------

fn imports_against_the_order(module_path: &[String], code: &str) -> Vec<String> {
    let Some(own) = module_path.first() else {
        return Vec::new();
    };
    let place = |module: &str| ORDER.iter().position(|other| *other == module);
    let Some(own_place) = place(own) else {
        return vec![format!("`{own}` has no place in the order")];
    };
    let mut found = Vec::new();
    for import in imports_from_the_root(module_path.len(), code) {
        match place(&import) {
            Some(at) if at <= own_place => {}
            Some(_) => found.push(format!(
                "`{own}` imports from `{import}`, which comes later"
            )),
            None => found.push(format!("`{import}` has no place in the order")),
        }
    }
    found
}

/// The modules under the root that `code` names by `crate::`, or by as many `super::` as lead there.
fn imports_from_the_root(depth: usize, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let root = "super::".repeat(depth);
    for prefix in ["crate::", root.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code.get(..at).unwrap().chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let rest = code.get(at + prefix.len()..).unwrap().trim_start();
            match rest.strip_prefix('{') {
                Some(group) => found.extend(heads_of_group(group)),
                None => found.extend(word(rest)),
            }
        }
    }
    found
}

/// The first words of a group of imports: `a::{b, c}, d}` gives `a` and `d`.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut at_head) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.extend(word(group.get(at..).unwrap()));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

/// The identifier at the start of `text`.
fn word(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    Some(text.get(..end)?.to_owned()).filter(|word| !word.is_empty())
}

/// The positions at which `name` stands as a whole word.
fn words<'a>(name: &'a str, code: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = code.get(..*at).unwrap().chars().next_back();
            let after = code.get(at + name.len()..).unwrap().chars().next();
            !before.is_some_and(part) && !after.is_some_and(part)
        })
}

fn mentions(names: &[&str], code: &str) -> Vec<String> {
    let named = names
        .iter()
        .filter(|name| words(name, code).next().is_some());
    named.map(|name| format!("mentions `{name}`")).collect()
}

/// `Name::new(…)`, `Name { … }` as an expression, or another name for it.
fn constructions_of(name: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for at in words(name, code) {
        let before = code.get(..at).unwrap().trim_end();
        let after = code.get(at + name.len()..).unwrap().trim_start();
        let type_position = ["struct", "impl", "for", "->", "enum", ":", "&"];
        let is_type =
            type_position.iter().any(|word| before.ends_with(word)) && !before.ends_with("::");
        let made = after.starts_with("::")
            && after.contains("::new")
            && word(after.trim_start_matches(':').trim_start()).is_some_and(|next| next == "new");
        let literal = after.starts_with('{') && !is_type;
        let renamed = after.starts_with("as ");
        if made || literal || renamed {
            found.push(format!("makes a `{name}`"));
        }
    }
    found
}

/// `Running::Continue`, however the spaces stand.
fn continues_after_a_panic(code: &str) -> Vec<String> {
    let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if dense.contains("Running::Continue") {
        return vec!["answers `Running::Continue`".to_owned()];
    }
    Vec::new()
}

/// Public structs with an actix address inside.
fn public_addresses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for at in words("struct", code) {
        let before = code.get(..at).unwrap().trim_end();
        let declaration = code.get(at..).unwrap();
        let body = declaration.get(..end_of_item(declaration)).unwrap();
        if before.ends_with("pub") && words("Addr", body).next().is_some() {
            let name = word(body.trim_start_matches("struct").trim_start());
            found.push(format!("`{}` holds an address", name.unwrap_or_default()));
        }
    }
    found
}

// ---- reading -----------------------------------------------------------------------------------

/// Where the item at the start of `code` ends: after its `;` or its closing brace.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// `code` without the items that are only compiled for tests.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    loop {
        let starts = ["#[cfg(test)]", "#[cfg(all(test"];
        let Some(at) = starts.iter().filter_map(|start| rest.find(start)).min() else {
            kept.push_str(rest);
            return kept;
        };
        kept.push_str(rest.get(..at).unwrap());
        // Past the attributes, which may be several.
        let mut item = rest.get(at..).unwrap();
        while item.starts_with("#[") {
            let end = item.find(']').map_or(item.len(), |end| end + 1);
            item = item.get(end..).unwrap().trim_start();
        }
        rest = item.get(end_of_item(item)..).unwrap();
    }
}

/// `source` with comments and the contents of texts taken out.
fn without_texts(source: &str) -> String {
    let mut kept = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            end_of_block_comment(rest)
        } else if let Some(hashes) = raw_text(rest, &kept) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            let body = rest.get(open..).unwrap();
            open + body.find(&close).map_or(body.len(), |at| at + close.len())
        } else if c == '"' {
            end_of_text(rest)
        } else if c == '\'' {
            end_of_character(rest)
        } else {
            0
        };
        if skipped == 0 {
            kept.push(c);
            rest = rest.get(c.len_utf8()..).unwrap();
        } else {
            kept.push(' ');
            rest = rest.get(skipped..).unwrap();
        }
    }
    kept
}

/// The number of hashes when a raw text starts here.
fn raw_text(rest: &str, before: &str) -> Option<usize> {
    let part_of_word = |c: char| (c.is_alphanumeric() && c != 'b') || c == '_';
    if before.chars().next_back().is_some_and(part_of_word) {
        return None;
    }
    let hashes = rest.strip_prefix('r')?;
    let text = hashes.trim_start_matches('#');
    text.starts_with('"').then(|| hashes.len() - text.len())
}

fn end_of_block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let here = rest.get(at..).unwrap();
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else if let Some(c) = here.chars().next() {
            at += c.len_utf8();
        }
        if depth == 0 || at >= rest.len() {
            return at;
        }
    }
}

fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; 0 when this is a lifetime.
fn end_of_character(rest: &str) -> usize {
    let mut inner = rest.char_indices().skip(1);
    match inner.next() {
        Some((_, '\\')) => {
            inner.next();
            inner
                .find(|(_, c)| *c == '\'')
                .map_or(rest.len(), |(at, _)| at + 1)
        }
        Some(_) => match inner.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

// ---- the rules are able to fail ----------------------------------------------------------------

mod red {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn an_import_from_a_later_module_is_found_however_it_is_written() {
        let against = |own: &str, code: &str| imports_against_the_order(&path(own), code).len();
        assert_eq!(against("gate/rules", "use crate::domain::Order;"), 0);
        assert_eq!(against("gate/rules", "use crate::gate::Denials;"), 0);
        assert_eq!(against("gate/rules", "use crate::trading::Engine;"), 1);
        assert_eq!(against("gate/rules", "let x = crate::system::start();"), 1);
        let group = "use crate::{domain::{Order, trading}, system, trading::Engine};";
        assert_eq!(against("gate/rules", group), 2);
        assert_eq!(against("gate/rules", "use super::super::system::X;"), 1);
        assert_eq!(against("gate/rules", "use super::system::X;"), 0);
        assert_eq!(against("gate", "use super::system::X;"), 1);
        assert_eq!(against("gate", "use super::{domain, monitor};"), 1);
        assert_eq!(against("alerts", "use crate::journal::X;"), 0);
        assert_eq!(against("alerts", "use crate::auth::X;"), 1);
        assert_eq!(against("gate", "use crate::surprise::X;"), 1);
        assert_eq!(against("surprise", ""), 1);
    }

    #[test]
    fn a_construction_is_told_from_a_mention() {
        let made = |code: &str| constructions_of("Signed", code).len();
        assert_eq!(made("Signed::new(bytes)"), 1);
        assert_eq!(made("let s = Signed { bytes };"), 1);
        assert_eq!(made("use venue::Signed as Framed;"), 1);
        assert_eq!(made("ports::Signed { bytes }"), 1);
        assert_eq!(made("fn send(order: &Signed) -> Signed { order }"), 0);
        assert_eq!(made("impl From<Signed> for Signed { }"), 0);
        assert_eq!(made("SignedNote::new(x); Signed::bytes(&s)"), 0);
    }

    #[test]
    fn an_address_is_found_in_public_structs_only() {
        let held = |code: &str| public_addresses(code).len();
        assert_eq!(held("pub struct Handle { addr: Addr<Engine> }"), 1);
        assert_eq!(held("pub struct Handle(actix::Addr<Engine>);"), 1);
        assert_eq!(held("pub struct A { x: u8 } struct B(Addr<C>);"), 0);
        assert_eq!(held("pub struct A { at: SocketAddr }"), 0);
    }

    #[test]
    fn other_forbidden_words_are_found() {
        assert_eq!(
            mentions(&SOCKETS, "let s = TcpStream::connect(a);").len(),
            1
        );
        assert_eq!(mentions(&SOCKETS, "struct MyTcpStreamLike;").len(), 0);
        assert_eq!(
            mentions(&["SyncArbiter"], "SyncArbiter::start(2, f)").len(),
            1
        );
        assert_eq!(continues_after_a_panic("Running ::\n Continue").len(), 1);
        assert_eq!(continues_after_a_panic("Running::Stop").len(), 0);
    }

    #[test]
    fn comments_texts_and_test_modules_do_not_count() {
        let read = |source: &str| without_tests(&without_texts(source));
        let source = r##"
            //! See `crate::system`.
            /* crate::a /* crate::b */ crate::c */
            fn f<'a>(x: &'a str) { g("crate::d \" crate::e", r#"crate::f " "#, '"', b'\''); }
            #[cfg(test)]
            #[allow(dead_code)]
            mod tests { use crate::g; fn h() { [1; 2]; } }
            #[cfg(test)]
            use crate::h;
            use crate::kept;
        "##;
        assert_eq!(imports_from_the_root(2, &read(source)), ["kept"]);
        assert!(read(source).contains("fn f<'a>(x: &'a str)"));
    }
}
