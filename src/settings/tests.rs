//! The settings as a whole: sources, mistakes, and the documents made from the table.

use std::path::{Path, PathBuf};

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(k, v)| (OsString::from(k), OsString::from(v)))
        .collect()
}

fn from_variables(profile: Profile, pairs: &[(&str, &str)]) -> Result<Settings, Mistakes> {
    Settings::load(&Sources {
        profile,
        environment: environment(pairs),
        ..Sources::default()
    })
}

fn from_text(profile: Profile, text: &str) -> Result<Settings, Mistakes> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flashguard.toml");
    std::fs::write(&path, text).unwrap();
    Settings::load(&Sources {
        profile,
        file: Some(path),
        ..Sources::default()
    })
}

fn lines(mistakes: &Mistakes) -> Vec<String> {
    mistakes.0.iter().map(ToString::to_string).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn defaults() -> Settings {
    Settings::load(&Sources::default()).unwrap()
}

#[test]
fn every_default_is_valid_and_prints_as_it_is_written() {
    let printed = defaults().print();
    assert_eq!(printed.len(), settings().count());
    for (setting, text) in printed {
        assert_eq!(text, setting.default, "{}", setting.name);
    }
}

#[test]
fn names_are_unique_and_say_what_they_mean() {
    let mut names: Vec<_> = settings().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), settings().count());
    for row in settings() {
        assert!(row.meaning.trim().ends_with('.'), "{}", row.name);
    }
}

#[test]
fn a_file_wins_over_the_default_a_variable_over_the_file_an_option_over_both() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flashguard.toml");
    std::fs::write(
        &path,
        "server.listen = \"127.0.0.1:1\"\n[gate]\nopen_orders_max = 5\n",
    )
    .unwrap();
    let mut sources = Sources {
        file_if_present: Some(path),
        ..Sources::default()
    };
    let listen = |sources: &Sources| Settings::load(sources).unwrap().server.listen.port();
    assert_eq!(listen(&sources), 1);
    sources.environment = environment(&[("FLASHGUARD__SERVER__LISTEN", "127.0.0.1:2")]);
    assert_eq!(listen(&sources), 2);
    sources.options = vec![("server.listen", "--listen", "127.0.0.1:3".to_owned())];
    assert_eq!(listen(&sources), 3);
    assert_eq!(Settings::load(&sources).unwrap().gate.open_orders_max, 5);
}

#[test]
fn a_file_that_was_named_must_exist_and_one_that_was_not_need_not() {
    let path = PathBuf::from("/nonexistent/flashguard.toml");
    let optional = Sources {
        file_if_present: Some(path.clone()),
        ..Sources::default()
    };
    assert!(Settings::load(&optional).is_ok());
    let named = Sources {
        file: Some(path),
        ..Sources::default()
    };
    let mistakes = Settings::load(&named).unwrap_err();
    assert!(
        lines(&mistakes)[0].starts_with("/nonexistent/flashguard.toml: "),
        "{mistakes}"
    );
}

#[test]
fn all_mistakes_of_all_sources_are_told_at_once_with_place_key_and_what_would_be_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.toml");
    let text = "[gate]\norder_rate_per_s = 0\nposition_limit_usdc = 2000.5\nopen_order_max = 3\n\
                [serverr]\nlisten = \"x\"\n[log]\nlevel = \"loud\"\n";
    std::fs::write(&path, text).unwrap();
    let sources = Sources {
        file: Some(path.clone()),
        environment: environment(&[
            ("FLASHGUARD__VENUE__TIMEOUT_MS", "soon"),
            ("FLASHGUARD__GATE__SYMBOL", "SEI/USDC"),
            ("PATH", "/bin"),
            ("FLASHGUARD_URL", "http://127.0.0.1:1"),
        ]),
        ..Sources::default()
    };
    let mistakes = Settings::load(&sources).unwrap_err();
    let told = mistakes.to_string();
    let at = |place: &str| format!("{}:{place}: ", path.display());
    for expected in [
        format!("{}gate.order_rate_per_s: 0 is out of range; must be a whole number from 1 to 1,000,000 (orders/s)", at("2:20")),
        format!("{}gate.position_limit_usdc: a float is not exact; must be a decimal from 1 to 1000000000, in a file written as a string (USDC)", at("3:23")),
        format!("{}gate.open_order_max: there is no such setting; did you mean gate.open_orders_max?", at("4:1")),
        format!("{}serverr.listen: there is no such setting; did you mean server.listen?", at("6:1")),
        format!("{}log.level: \"loud\" is not known; must be one of error, warn, info, debug, trace", at("8:9")),
        "FLASHGUARD__VENUE__TIMEOUT_MS: venue.timeout_ms: \"soon\" is not a whole number; must be a whole number from 50 to 60,000 (ms)".to_owned(),
        "FLASHGUARD__GATE__SYMBOL: there is no such setting; did you mean FLASHGUARD__GATE__SYMBOLS?".to_owned(),
    ] {
        assert!(told.contains(&expected), "{expected}\nnot in\n{told}");
    }
    assert_eq!(mistakes.0.len(), 7, "{told}");
}

#[test]
fn every_syntax_error_has_its_line() {
    let mistakes =
        from_text(Profile::Development, "[gate]\nx = \n\n[log\nlevel = 1\n").unwrap_err();
    let places: Vec<_> = mistakes
        .0
        .iter()
        .map(|mistake| match mistake.place {
            Place::File { line, .. } => line,
            _ => 0,
        })
        .collect();
    assert!(places.contains(&2) && places.contains(&4), "{mistakes}");
}

/// Settings of which the second must be at most the first.
const PAIRS: [(&str, &str); 2] = [
    ("gate.price_collar_hard_pct", "gate.price_collar_soft_pct"),
    ("venue.health_broken_pct", "venue.health_degraded_pct"),
];

#[test]
fn a_setting_that_another_must_not_pass_is_refused_beyond_it_and_not_at_it() {
    for (upper, lower) in PAIRS {
        let find = |name| settings().find(|row| row.name == name).unwrap();
        let (upper, lower) = (find(upper).variable(), find(lower).variable());
        let both =
            |low: &str| from_variables(Profile::Development, &[(&upper, "7"), (&lower, low)]);
        assert!(both("7").is_ok(), "{upper}");
        let told = both("8").unwrap_err();
        assert_eq!(told.0.len(), 1, "{upper}: {told}");
    }
}

#[test]
fn each_range_holds_at_both_ends_and_not_beyond() {
    let plus_one = |text: &str| {
        let number: rust_decimal::Decimal = text.parse().unwrap();
        (number + rust_decimal::Decimal::ONE).to_string()
    };
    for row in settings() {
        let (min, max) = match row.shape {
            Shape::Integer { min, max } => (min.to_string(), max.to_string()),
            Shape::Decimal { min, max } => (min.to_owned(), max.to_owned()),
            _ => continue,
        };
        // One that another must not pass is moved together with it.
        let partner = PAIRS.iter().find_map(|(one, other)| match row.name {
            name if name == *one => settings().find(|row| row.name == *other),
            name if name == *other => settings().find(|row| row.name == *one),
            _ => None,
        });
        let variables: Vec<_> = [Some(row), partner]
            .into_iter()
            .flatten()
            .map(Setting::variable)
            .collect();
        let good = |text: &str| {
            let given: Vec<_> = variables.iter().map(|name| (name.as_str(), text)).collect();
            from_variables(Profile::Development, &given)
        };
        assert!(good(&min).is_ok(), "{} = {min}", row.name);
        assert!(good(&max).is_ok(), "{} = {max}", row.name);
        assert!(good(&plus_one(&max)).is_err(), "{} above {max}", row.name);
        let below = if min == "0" { "-1" } else { "0" };
        assert!(good(below).is_err(), "{} below {min}", row.name);
        for nonsense in [
            "",
            " ",
            "1e3",
            "NaN",
            "0x10",
            "1.0000000000000000000000000000000000001",
        ] {
            assert!(good(nonsense).is_err(), "{} = {nonsense:?}", row.name);
        }
    }
}

#[test]
fn a_venue_address_is_https_or_loopback_and_holds_no_password() {
    for good in [
        "https://venue.example.org",
        "http://127.0.0.1:9000/base/",
        "http://[::1]:1",
    ] {
        let url = BaseUrl::parse(good).unwrap();
        assert_eq!(url.as_str(), good.trim_end_matches('/'));
    }
    assert_eq!(BaseUrl::parse("https://v.example").unwrap().port(), 443);
    assert_eq!(
        BaseUrl::parse("http://127.0.0.1:9000/base/")
            .unwrap()
            .path(),
        "/base"
    );
    for bad in [
        "http://venue.example.org",
        "http://127.0.0.1.example.org",
        "https://user:hunter2@venue.example.org",
        "https://venue.example.org/?key=hunter2",
        "https://venue.example.org/#x",
        "ftp://127.0.0.1",
        "venue.example.org",
        "",
    ] {
        let problem = BaseUrl::parse(bad).unwrap_err();
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn an_address_without_the_http_adapter_is_refused_and_the_adapter_without_an_address_too() {
    let url = ("FLASHGUARD__VENUE__URL", "https://venue.example.org");
    let http = ("FLASHGUARD__VENUE__ADAPTER", "http");
    assert!(from_variables(Profile::Development, &[url, http]).is_ok());
    assert!(from_variables(Profile::Development, &[url]).is_err());
    let mistakes = from_variables(Profile::Development, &[http]).unwrap_err();
    assert!(
        mistakes
            .to_string()
            .contains("venue.url: venue.adapter is http"),
        "{mistakes}"
    );
}

#[test]
fn production_refuses_plain_http_beyond_this_machine_unless_a_proxy_stands_in_front() {
    let venue = [
        ("FLASHGUARD__VENUE__URL", "https://venue.example.org"),
        ("FLASHGUARD__VENUE__ADAPTER", "http"),
    ];
    let with = |more: &[(&str, &str)]| {
        from_variables(Profile::Production, &[venue.as_slice(), more].concat())
    };
    let listen = ("FLASHGUARD__SERVER__LISTEN", "0.0.0.0:8000");
    let control = ("FLASHGUARD__SERVER__CONTROL_LISTEN", "192.0.2.1:8001");
    let proxy = ("FLASHGUARD__SERVER__PLAIN_HTTP", "behind-proxy");
    assert!(with(&[]).is_ok());
    assert_eq!(with(&[listen, control]).unwrap_err().0.len(), 2);
    assert!(with(&[listen, control, proxy]).is_ok());
    assert!(from_variables(Profile::Development, &[listen, control]).is_ok());
}

#[test]
fn production_trades_at_a_venue_or_not_at_all() {
    for adapter in ["paper", "memory"] {
        let given = [("FLASHGUARD__VENUE__ADAPTER", adapter)];
        assert!(from_variables(Profile::Development, &given).is_ok());
        let mistakes = from_variables(Profile::Production, &given).unwrap_err();
        assert!(mistakes.to_string().contains("venue.adapter"), "{mistakes}");
    }
    assert!(from_variables(Profile::Production, &[]).is_err());
}

#[test]
fn the_paper_venue_stays_on_this_machine() {
    let given = [("FLASHGUARD__PAPER__LISTEN", "0.0.0.0:9000")];
    assert!(from_variables(Profile::Development, &given).is_err());
}

#[test]
fn the_two_profile_files_load_and_hold_only_what_differs() {
    for (name, profile) in [
        ("development.toml", Profile::Development),
        ("production.toml", Profile::Production),
    ] {
        let path = root().join("config").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let file = Some(path);
        let loaded = Settings::load(&Sources {
            profile,
            file,
            ..Sources::default()
        })
        .unwrap();
        let differing = loaded
            .print()
            .into_iter()
            .filter(|(row, text)| row.default != text)
            .count();
        let written = text
            .lines()
            .filter(|l| l.contains(" = ") && !l.starts_with('#'))
            .count();
        assert_eq!(differing, written, "{name}");
    }
}

/// Compares a generated document with the one in the tree; with `BLESS=1` writes it first.
fn is_current(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        found,
        text,
        "{} is not current: run the tests with BLESS=1",
        path.display()
    );
}

#[test]
fn the_reference_file_is_made_from_the_table_and_changes_nothing() {
    let path = root().join("config/flashguard.toml");
    is_current(&path, &reference_file());
    let loaded = Settings::load(&Sources {
        file: Some(path),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(loaded, defaults());
}

#[test]
fn the_configuration_page_is_made_from_the_table() {
    is_current(&root().join("docs/configuration.md"), &configuration_page());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_file_makes_it_panic_and_every_mistake_has_a_place(text in "(?s).{0,200}") {
            let mut reader = Reader::default();
            file::text_of(Path::new("f.toml"), &text, &mut reader);
            for mistake in reader.mistakes() {
                let placed = matches!(mistake.place, Place::File { line: 1.., column: 1.., .. });
                prop_assert!(placed);
            }
        }

        #[test]
        fn no_value_of_any_setting_makes_it_panic(at in 0_usize..64, text in "(?s).{0,80}") {
            let row = settings().nth(at % settings().count()).unwrap();
            let _ = from_variables(Profile::Development, &[(&row.variable(), &text)]);
            let quoted = toml::Value::String(text).to_string();
            let mut reader = Reader::default();
            let line = format!("{} = {quoted}", row.name);
            file::text_of(Path::new("f.toml"), &line, &mut reader);
        }

        #[test]
        fn no_address_makes_the_parser_panic(text in "(?s)(https?://)?.{0,60}") {
            let _ = BaseUrl::parse(&text);
        }
    }
}

#[test]
fn a_limit_that_can_be_changed_has_the_range_and_unit_of_its_setting() {
    for one in flashguard_actors::gate::ADJUSTABLE {
        let setting = settings().find(|setting| setting.name == one.name).unwrap();
        let range = match setting.shape {
            Shape::Integer { min, max } => (min.to_string(), max.to_string(), true),
            Shape::Decimal { min, max } => (min.to_owned(), max.to_owned(), false),
            ref other => panic!("{}: {other:?}", one.name),
        };
        let (least, most) = one.range;
        let here = (least.to_owned(), most.to_owned(), one.whole);
        assert_eq!((here, one.unit), (range, setting.unit), "{}", one.name);
    }
}
