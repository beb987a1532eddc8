//! `docs/api.md`, made from the table of routes; a test keeps it current.

use std::fmt::Write as _;

use flashguard_actors::gate::{Effect, RULES, Rule};

use super::routes::{Needs, ROUTES, RouteRow};

/// Statuses, what they mean, and what to do.
const STATUSES: &[(&str, &str, &str, &str)] = &[
    ("200", "done; or, for an order, replayed", "go on", "-"),
    ("201", "the order is at the venue", "go on", "-"),
    (
        "202",
        "not confirmed: an order in doubt, a cancel not seen done, a lift that waits for another owner",
        "ask again; an order with the same `client_order_id`, never a new one",
        "look whether the venue answers",
    ),
    (
        "400",
        "the request breaks this contract; `details.fields` names each field",
        "mend the program",
        "-",
    ),
    (
        "401",
        "no valid credential",
        "log in again",
        "many of them: somebody guesses",
    ),
    (
        "403",
        "the credential may not; `details.permission` says what it lacks",
        "use another key",
        "-",
    ),
    (
        "404",
        "there is no such path, order or checkpoint",
        "check the id",
        "-",
    ),
    (
        "405",
        "the path has other methods; see `Allow`",
        "mend the program",
        "-",
    ),
    (
        "408",
        "the body did not arrive in time",
        "send it again",
        "look at the network",
    ),
    (
        "409",
        "it contradicts what is: another order has the id, trading is halted, another halt is meant",
        "read `code`",
        "-",
    ),
    (
        "415",
        "the body is not JSON",
        "send `Content-Type: application/json`",
        "-",
    ),
    (
        "422",
        "a rule of the gate or the venue said no; `details` holds every rule with its numbers",
        "change the order",
        "many of them: look at the strategy",
    ),
    (
        "429",
        "this address sends too many requests",
        "wait `Retry-After` seconds",
        "raise `server.request_rate_per_s` if it is right to",
    ),
    (
        "500",
        "the service failed",
        "ask again later; an order with the same `client_order_id`",
        "read the log by `request_id`",
    ),
    (
        "503",
        "something is not available: see `code`",
        "see `code`",
        "see `code`",
    ),
];

/// Codes that are no denial.
const CODES: &[(&str, &str)] = &[
    (
        "AGREEMENT_WITHDRAWN",
        "somebody halted or asked for another lift before this one was done",
    ),
    ("BODY_TOO_LARGE", "the body is over 64 KiB"),
    (
        "CLIENT_IDS_FULL",
        "too many client order ids of the last 24 h are held",
    ),
    (
        "DUPLICATE_ORDER",
        "the `client_order_id` belongs to an order with other content",
    ),
    ("FORBIDDEN", "the credential's role lacks the permission"),
    ("HALTED", "a resume does not end a halt"),
    (
        "HALTED_AGAIN",
        "trading was halted again while it was lifted; approvals are void",
    ),
    ("INTERNAL", "a fault of the service"),
    ("INVALID_CREDENTIALS", "the API key is not valid"),
    (
        "INVALID_REQUEST",
        "a field is unknown, doubled, missing or wrong",
    ),
    (
        "JOURNAL_UNAVAILABLE",
        "the journal cannot be written or read; nothing is done without its record",
    ),
    (
        "KEY_TOO_YOUNG",
        "a key made after the halt, and not on this machine, does not lift it",
    ),
    ("METHOD_NOT_ALLOWED", "the path has other methods"),
    ("NOT_A_TOKEN", "an API key is not logged out"),
    ("NOT_FOUND", "there is no such thing"),
    (
        "NOT_IN_DOUBT",
        "only an order in doubt is resolved; `details.status` is what it is",
    ),
    ("NOT_HALTED", "there is no halt to lift"),
    (
        "NOT_READY",
        "the start, or the checklist of a lift, is not through",
    ),
    (
        "OTHER_EPOCH",
        "another halt is in force than the one that was meant",
    ),
    (
        "OTHER_VERSION",
        "other limits are in force than those that were meant",
    ),
    (
        "RATE_LIMIT_EXCEEDED",
        "this address sends too many requests",
    ),
    ("REQUEST_TIMEOUT", "the body did not arrive in time"),
    (
        "TRADING_HALTED",
        "orders are refused until two people lift the halt",
    ),
    (
        "TRADING_PAUSED",
        "orders are refused until a resume, or until trading opens after a start",
    ),
    ("UNAUTHENTICATED", "no valid credential"),
    ("UNAVAILABLE", "a part of the service is being restarted"),
    ("UNSUPPORTED_MEDIA_TYPE", "the body is not JSON"),
    (
        "VENUE_PROVES",
        "the venue itself says what became of the order, at the latest at `details.provable_at`",
    ),
    (
        "VENUE_SHOWS",
        "the venue shows the order or fills of it: nobody can say otherwise",
    ),
    ("VENUE_REJECTED", "the venue said no; the id stays bound"),
    (
        "VENUE_UNAVAILABLE",
        "the venue cannot be asked; of an order nothing left",
    ),
];

/// `docs/api.md`.
pub fn api_page() -> String {
    let mut out = String::from(INTRODUCTION);
    out.push_str("\n## Routes\n\n| route | permission | takes | answers |\n|---|---|---|---|\n");
    for row in ROUTES {
        let _ = writeln!(
            out,
            "| `{} {}`<br>{}{} | {} | {} | {} |",
            row.method.as_str(),
            row.path,
            row.about,
            if row.on_control {
                " *Also on the control listener.*"
            } else {
                ""
            },
            needs(row),
            if row.takes.is_empty() { "-" } else { row.takes },
            row.gives,
        );
    }
    out.push_str(
        "\n## Statuses\n\n| status | means | the caller | the operator |\n|---|---|---|---|\n",
    );
    for (status, means, caller, operator) in STATUSES {
        let _ = writeln!(out, "| {status} | {means} | {caller} | {operator} |");
    }
    out.push_str("\n## Codes\n\n| code | means |\n|---|---|\n");
    for (code, means) in CODES {
        let _ = writeln!(out, "| `{code}` | {means} |");
    }
    out.push_str(
        "\n## Denials\n\nWhy the gate says no (422). All that an order breaks stand in \
         `details.denials`, each with its code and the numbers that decided; `error.code` is the first, \
         `details.limits_v` the version of the limits. What each rule compares with: \
         [limits](limits.md).\n\n| code | rule |\n|---|---|\n",
    );
    for rule in denying() {
        let _ = writeln!(out, "| `{}` | {} |", rule.code, rule.protects);
    }
    out
}

fn denying() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(|rule| rule.effect == Effect::Denies)
}

fn needs(row: &RouteRow) -> String {
    match row.needs {
        Needs::Nothing => "none".to_owned(),
        Needs::Credential => "any credential".to_owned(),
        Needs::Permission(permission) => format!("`{}`", permission.as_str()),
    }
}

const INTRODUCTION: &str = "# HTTP API

Made from the table in `src/web/routes`; a test keeps it so.

JSON in UTF-8. Decimals are strings, times are RFC 3339 in UTC with milliseconds. The API listens on \
`server.listen`; `server.control_listen` serves some of the routes from a thread of its own, so that a busy API \
cannot delay a halt.

`Authorization: Bearer <token>`, or `Bearer fg_<id>_<secret>`, an API key itself. A body is one JSON object of at \
most 64 KiB. Unknown, doubled, missing and wrong fields are all named at once, each with what would be right.

Every response has `X-Request-Id`, and `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix seconds at which all \
of it is back); a 429 has `Retry-After`. Lists are newest first; `next`, if not `null`, is the `after` of what \
follows, and `as_of` the number of journal records they take into account.

Errors, at every status, for every request that parses as HTTP:

```json
{\"error\": {\"code\": \"POSITION_LIMIT\", \"message\": \"…\", \"details\": {}, \"timestamp\": \"…\", \"request_id\": \"…\"}}
```

What does not parse as HTTP gets a bare 400, 408 or 431 and a closed connection.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_page_is_made_from_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
        let text = api_page();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found, text,
            "docs/api.md is not current: run the tests with BLESS=1"
        );
    }

    /// Words in capitals in the sources of this folder that look like codes.
    #[test]
    fn every_code_that_the_service_answers_with_is_explained() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let codes = CODES.iter().map(|(code, _)| *code);
        let known: Vec<&str> = codes.chain(denying().map(|rule| rule.code)).collect();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            for word in text.split('"').skip(1).step_by(2) {
                let code = word.len() > 5
                    && word.contains('_')
                    && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
                let fixed = [
                    "EMERGENCY_STOP_CONFIRMED",
                    "CARGO_MANIFEST_DIR",
                    "CARGO_PKG_VERSION",
                ];
                assert!(
                    !code || known.contains(&word) || fixed.contains(&word),
                    "{word} in {} is not explained",
                    path.display()
                );
            }
        }
    }
}
