use super::*;

fn plan(text: &str) -> Plan {
    Plan::read(text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = Plan::read(text.as_bytes()) else {
        panic!("read: {text}")
    };
    mistakes.0.iter().map(ToString::to_string).collect()
}

/// A plan of one rule with these fields beside its calls.
fn rule(fields: &str) -> String {
    format!(r#"{{"seed":1,"rules":[{{"calls":["*"],{fields}}}]}}"#)
}

/// What the plan does to these calls, in order.
fn done(plan: &Plan, calls: &[CallName]) -> Vec<Option<&'static str>> {
    let mut running = Running::new(plan.clone());
    let met = |call: &CallName| running.meet(Met::Call(*call)).map(Fault::word);
    calls.iter().map(met).collect()
}

/// The least and the most that a kind's number may be; one 0 for a kind without.
fn numbers(kind: &Kind) -> Vec<u64> {
    kind.number
        .map_or(vec![0], |(_, least, most)| vec![least, most])
}

/// A rule of a kind as JSON.
fn rule_of(kind: &Kind, number: u64) -> Value {
    let calls = match kind.on {
        On::Only(calls) => calls.iter().map(|call| call.word()).collect(),
        On::Calls | On::Connections | On::Feed => vec!["*"],
    };
    let mut rule = json!({ "calls": calls, "fault": kind.word });
    if let Some((name, ..)) = kind.number {
        rule[name] = number.into();
    }
    rule
}

#[test]
fn every_kind_is_read_at_its_bounds_and_written_as_it_was_read() {
    for kind in &KINDS {
        for number in numbers(kind) {
            let text = json!({ "seed": 7, "rules": [rule_of(kind, number)] });
            let plan = plan(&text.to_string());
            assert_eq!(plan.rules[0].fault.word(), kind.word);
            assert_eq!(plan.to_json(), text);
        }
    }
}

#[test]
fn the_page_lists_every_kind_with_its_number_and_calls_and_every_call() {
    let page = include_str!("../../../../docs/venue-sim.md");
    for kind in &KINDS {
        let number = kind.number.map_or(" ".to_owned(), |(name, least, most)| {
            format!(" `{name}` {least} to {most} ")
        });
        let quoted = |call: &CallName| format!("`{}`", call.word());
        let calls = match kind.on {
            On::Calls => "any".to_owned(),
            On::Only(calls) => calls.iter().map(quoted).collect::<Vec<_>>().join(", "),
            On::Connections => "`*`".to_owned(),
            On::Feed => "any of the feed".to_owned(),
        };
        let row = format!("\n| `{}` |{number}| {calls} |", kind.word);
        assert!(page.contains(&row), "no row {row:?}");
    }
    for call in CallName::ALL {
        let word = format!("`{}`", call.word());
        assert!(page.contains(&word), "no word {word}");
    }
}

#[test]
fn a_number_past_its_bounds_or_missing_is_named() {
    for kind in &KINDS {
        let Some((name, least, most)) = kind.number else {
            continue;
        };
        let right = format!("a whole number, {least} to {most}");
        for number in least.checked_sub(1).into_iter().chain([most + 1]) {
            let text = json!({ "seed": 7, "rules": [rule_of(kind, number)] }).to_string();
            let said = format!("rules[0].{name}: {number} is not allowed; {right}");
            assert_eq!(mistakes(&text), [said]);
        }
        let mut rule = rule_of(kind, least);
        rule.as_object_mut().unwrap().remove(name);
        let text = json!({ "seed": 7, "rules": [rule] }).to_string();
        let said = format!("rules[0].{name}: missing or no number; {right}");
        assert_eq!(mistakes(&text), [said]);
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_rule_and_field() {
    let text = r#"{"sede":1,"seed":-1,"rules":[
        {"calls":["orders.place"],"fault":"hang"},
        {"calls":["orders.plaice","book","book"],"fault":"latency","ms":0,"code":500,
         "probability":1.5,"times":0},
        {"fault":"lag","calls":[],"skip":"1","ms":5},
        {"calls":["fills","orders.cancel"],"fault":"partial_cancel","fraction_pct":50,
         "fraction_pct":60},
        {"calls":["book"],"fault":"down"},
        {"calls":["*"],"fault":"late","ms":1},
        {"calls":["feed.fill"],"fault":"hang"},
        {"calls":["fills"],"fault":"feed.gap"}
    ]}"#;
    let starts = [
        "sede: unknown field; known here: seed, rules",
        "seed: -1 is not allowed; a whole number, 0 to",
        "rules[1].code: unknown field; known here: calls, fault, ms, probability, skip, times",
        "rules[1].calls: \"orders.plaice\" is not known; [\"*\"], or a list of orders.place,",
        "rules[1].calls: \"book\" is given twice;",
        "rules[1].ms: 0 is not allowed; a whole number, 1 to 600000",
        "rules[1].probability: 1.5 is not allowed; a number from 0 to 1 with at most six decimals",
        "rules[1].times: 0 is not allowed; a whole number, 1 to 1000000000",
        "rules[2].fault: \"lag\" is not known; one of latency, throttle,",
        "rules[2].calls: missing, empty or no list;",
        "rules[2].skip: \"1\" is not allowed; a whole number, 0 to 1000000000",
        "rules[3].fraction_pct: given twice; once",
        "rules[3].calls: partial_cancel cannot strike \"fills\"; only orders.cancel_all",
        "rules[3].calls: partial_cancel cannot strike \"orders.cancel\"; only orders.cancel_all",
        "rules[4].calls: down cannot strike \"book\"; only [\"*\"]: it counts connections",
        "rules[5].calls: late cannot strike \"*\"; only orders.place",
        "rules[6].calls: hang cannot strike \"feed.fill\"; only [\"*\"], orders.place,",
        "rules[7].calls: feed.gap cannot strike \"fills\"; only [\"*\"], feed.book, feed.trade,",
    ];
    let told = mistakes(text);
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told:?} instead of {start:?}");
    }
}

#[test]
fn what_is_no_plan_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        "{}",
        r#"{"rules":{}}"#,
        r#"{"rules":[1]}"#,
        r#"{"seed":[],"rules":[]}"#,
    ] {
        assert_eq!(mistakes(text).len(), 1, "{text:?}");
    }
    let long = format!("{{\"rules\":[{}]}}", " ".repeat(PLAN_BYTES_MAX));
    assert_eq!(
        mistakes(&long),
        ["the plan is too long; at most 65536 bytes"]
    );
    let rules = |n| vec![r#"{"calls":["*"],"fault":"hang"}"#; n].join(",");
    let of = |n| format!("{{\"rules\":[{}]}}", rules(n));
    assert_eq!(plan(&of(RULES_MAX)).rules.len(), RULES_MAX);
    assert_eq!(
        mistakes(&of(RULES_MAX + 1)),
        ["rules: too many rules; at most 64 of them"]
    );
}

#[test]
fn the_same_seed_and_calls_give_the_same_faults_and_another_seed_others() {
    let text = rule(r#""fault":"drop_after","probability":0.5"#);
    let calls = [CallName::Place; 200];
    let first = done(&plan(&text), &calls);
    assert_eq!(done(&plan(&text), &calls), first);
    let other = text.replace("\"seed\":1", "\"seed\":2");
    assert_ne!(done(&plan(&other), &calls), first);
}

#[test]
fn these_faults_never_change_since_failing_seeds_are_kept() {
    let text = rule(r#""fault":"hang","probability":0.5"#);
    let struck = done(&plan(&text), &[CallName::Place; 16]);
    let struck = struck
        .iter()
        .map(|fault| if fault.is_some() { 'x' } else { '.' });
    assert_eq!(struck.collect::<String>(), ".xxxxx...xx.x.xx");
}

#[test]
fn other_calls_in_between_change_nothing() {
    let text = r#"{"seed":9,"rules":[
        {"calls":["orders.place"],"fault":"drop_after","probability":0.3},
        {"calls":["fills"],"fault":"hang","probability":0.7}]}"#;
    let alone = done(&plan(text), &[CallName::Place; 100]);
    let mixed = [CallName::Fills, CallName::Place, CallName::Book].repeat(100);
    let among = done(&plan(text), &mixed);
    let of_place = among.chunks(3).map(|chunk| chunk[1]).collect::<Vec<_>>();
    assert_eq!(of_place, alone);
}

#[test]
fn a_rule_counts_also_the_calls_that_a_rule_before_it_took() {
    let both = r#"{"seed":9,"rules":[
        {"calls":["*"],"fault":"hang","times":2},
        {"calls":["*"],"fault":"drop_after","skip":1,"times":2}]}"#;
    let hang = Some("hang");
    assert_eq!(
        done(&plan(both), &[CallName::Book; 4]),
        [hang, hang, Some("drop_after"), None]
    );
    let mut running = Running::new(plan(both));
    for _ in 0..4 {
        running.meet(Met::Call(CallName::Account));
    }
    let tallies = running.tallies().iter().map(|t| (t.met, t.applied));
    assert_eq!(tallies.collect::<Vec<_>>(), [(4, 2), (4, 1)]);
}

#[test]
fn skip_and_times_hold_at_their_edges() {
    let text = rule(r#""fault":"hang","skip":2,"times":3"#);
    let struck = done(&plan(&text), &[CallName::Place; 7]);
    let struck = struck.iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(struck, [false, false, true, true, true, false, false]);
}

#[test]
fn a_probability_of_none_all_and_some_strikes_none_all_and_about_some() {
    let share = |p: &str| {
        let text = rule(&format!(r#""fault":"hang","probability":{p}"#));
        let struck = done(&plan(&text), &[CallName::Place; 10_000]);
        struck.iter().flatten().count()
    };
    assert_eq!((share("0"), share("1")), (0, 10_000));
    let some = share("0.2");
    assert!((1_800..2_200).contains(&some), "{some}");
}

#[test]
fn a_probability_is_exact_to_six_decimals_and_has_no_more() {
    for (text, ppm) in [
        ("0.000001", 1),
        ("0.1", 100_000),
        ("0.999999", 999_999),
        ("1", PPM),
    ] {
        let plan = plan(&rule(&format!(r#""fault":"hang","probability":{text}"#)));
        assert_eq!(plan.rules[0].probability_ppm, Some(ppm));
    }
    for text in ["0.0000001", "0.1234567", "1.000001", "-0.1", "\"1\""] {
        let told = mistakes(&rule(&format!(r#""fault":"hang","probability":{text}"#)));
        assert!(told[0].starts_with("rules[0].probability: "), "{told:?}");
    }
}

#[test]
fn down_counts_connections_and_nothing_else_does() {
    let text = r#"{"rules":[{"calls":["*"],"fault":"hang"},
        {"calls":["*"],"fault":"down","skip":1}]}"#;
    let mut running = Running::new(plan(text));
    assert_eq!(running.meet(Met::Connection), None);
    assert_eq!(
        running.meet(Met::Call(CallName::Place)).map(Fault::word),
        Some("hang")
    );
    assert_eq!(running.meet(Met::Connection), Some(Fault::Down));
    assert!(running.plan().takes_down());
}

#[test]
fn a_call_is_struck_only_by_rules_that_name_it() {
    let fault_of = |call: CallName| if call.is_feed() { "feed.cut" } else { "hang" };
    for call in CallName::ALL {
        let (name, fault) = (call.word(), fault_of(call));
        let text = format!(r#"{{"rules":[{{"calls":["{name}"],"fault":"{fault}"}}]}}"#);
        let struck = done(&plan(&text), &CallName::ALL);
        let expected = CallName::ALL.map(|other| (other == call).then_some(fault));
        assert_eq!(struck, expected);
    }
}

#[test]
fn a_star_takes_calls_or_messages_as_its_fault_does() {
    let text = r#"{"rules":[{"calls":["*"],"fault":"hang"},{"calls":["*"],"fault":"feed.cut"}]}"#;
    let struck = done(&plan(text), &CallName::ALL);
    let expected = CallName::ALL.map(|call| Some(if call.is_feed() { "feed.cut" } else { "hang" }));
    assert_eq!(struck, expected);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Plan::read(&text);
        }

        #[test]
        fn a_plan_written_and_read_again_is_the_same(
            seed: u64,
            rules in prop::collection::vec(
                (0..KINDS.len(), prop::option::of(0..=PPM), 0..=COUNT_MAX,
                 prop::option::of(1..=COUNT_MAX), any::<bool>()),
                0..8,
            ),
        ) {
            let rule = |(kind, probability_ppm, skip, times, most)| {
                let kind: &Kind = &KINDS[kind];
                let numbers = numbers(kind);
                let number = if most { numbers[numbers.len() - 1] } else { numbers[0] };
                let calls = match kind.on {
                    On::Only(calls) => Calls::Named(calls.to_vec()),
                    On::Calls | On::Connections | On::Feed => Calls::Any,
                };
                Rule { calls, fault: (kind.make)(number), probability_ppm, skip, times }
            };
            let plan = Plan { seed, rules: rules.into_iter().map(rule).collect() };
            let text = plan.to_json().to_string();
            prop_assert_eq!(Plan::read(text.as_bytes()).unwrap(), plan);
        }
    }
}
