//! The page for integrators: its client loop, run as it stands there.

use std::process::Command;

use serde_json::{Value, json};

use super::daemon::{resting, run_bounded};
use super::simulator::trading_with;

/// The loop of the page, and what calls it: orders on the command line, states on standard output.
fn program() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/integrators.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (code, _) = rest.split_once("```").unwrap();
    format!(
        "{code}\nimport sys\nurl, key, orders = sys.argv[1:]\n\
         print(json.dumps([place(url, key, order) for order in json.loads(orders)]))\n"
    )
}

#[test]
fn the_loop_on_the_page_finds_the_truth_of_every_order() {
    let settings = [
        ("VENUE__TIMEOUT_MS", "400"),
        ("VENUE__ORDER_SEND_TTL_MS", "500"),
    ];
    let (simulator, daemon) = trading_with(&settings, &[]);
    // One fault for each order, in their order: an order is sent to the venue once, however often
    // the loop asks.
    let faults = [
        json!({ "fault": "drop_after" }),
        json!({ "fault": "reset_mid_answer" }),
        json!({ "fault": "status_after", "code": 502 }),
        json!({ "fault": "throttle", "retry_after_s": 1 }),
        json!({ "fault": "garbage" }),
    ];
    let rules: Vec<Value> = (0..)
        .zip(&faults)
        .map(|(n, fault)| {
            let mut rule = json!({ "calls": ["orders.place"], "times": 1 });
            let fields = rule.as_object_mut().unwrap();
            fields.extend(fault.as_object().unwrap().clone());
            if n > 0 {
                fields.insert("skip".to_owned(), json!(n));
            }
            rule
        })
        .collect();
    simulator.rules(&json!(rules));
    let orders: Vec<_> = (0..=faults.len())
        .map(|n| resting(&format!("loop-{n}")))
        .collect();
    let mut python = Command::new("python3");
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        python.env_remove(name);
    }
    let output = run_bounded(
        python
            .arg("-c")
            .arg(program())
            .arg(format!("http://{}", daemon.addresses().listen))
            .arg(daemon.key("system"))
            .arg(json!(orders).to_string()),
    );
    assert!(output.status.success(), "{output:?}");
    let states: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let statuses: Vec<_> = states
        .iter()
        .map(|state| state["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        ["open", "open", "open", "not_placed", "open", "open"]
    );
    for state in &states {
        let id = state["order_id"].as_str().unwrap();
        let placed = usize::from(state["status"] == "open");
        assert_eq!(simulator.accepted(id), placed, "{state}");
    }
    assert_eq!(simulator.asked("orders.place"), orders.len() as u64);
    assert_eq!(simulator.record().accepted().len(), 5);
}
