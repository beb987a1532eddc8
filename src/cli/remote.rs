//! The service over HTTP, with a credential from `FLASHGUARD_API_KEY` or `FLASHGUARD_API_KEY_FILE`.

use std::fs::File;
use std::time::Duration;

use flashguard_actors::domain::secret::Redacted;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::Value;

use super::exit::{Exit, Failure};
use crate::settings::BaseUrl;

/// Longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for an answer: a halt waits for its confirmation, which is bounded by 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// Largest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The service over HTTP.
pub struct Remote {
    url: BaseUrl,
    credential: HeaderValue,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// A success.
#[derive(Debug)]
pub struct Answer {
    /// 2xx.
    pub status: u16,
    /// What it holds.
    pub body: Value,
}

impl Remote {
    /// The service at `url`.
    ///
    /// # Errors
    ///
    /// Usage when there is no credential.
    pub fn new(url: BaseUrl) -> Result<Self, Failure> {
        let internal = |error: String| Failure::new(Exit::Internal, "INTERNAL", error);
        let credential = credential()?;
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| internal(format!("there is no HTTP client: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| internal(format!("there is no runtime: {error}")))?;
        Ok(Self {
            url,
            credential,
            client,
            runtime,
        })
    }

    /// Asks, with a JSON body if there is one.
    ///
    /// # Errors
    ///
    /// Unreachable without an answer; for an error of the service its code, message and exit code.
    pub fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        self.runtime.block_on(self.exchange(method, path, body))
    }

    /// `GET`.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(reqwest::Method::GET, path, None)
    }

    /// `POST`.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.ask(reqwest::Method::POST, path, Some(body))
    }

    async fn exchange(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url.as_str()))
            .header(AUTHORIZATION, self.credential.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                let message = "the answer is too large to be the service's";
                return Err(Failure::new(Exit::Unreachable, "UNREADABLE", message));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if (200..300).contains(&status) && !body.is_null() {
            Ok(Answer { status, body })
        } else {
            Err(refusal(status, &body))
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            "it did not answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the connection broke"
        };
        let message = format!("{} cannot be reached: {why}", self.url.as_str());
        Failure::new(Exit::Unreachable, "UNREACHABLE", message)
            .next("is it running? `flashguard doctor` looks")
    }
}

/// What an error of the service means here.
fn refusal(status: u16, body: &Value) -> Failure {
    let error = body.get("error").unwrap_or(&Value::Null);
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let code = text("code").unwrap_or("UNREADABLE");
    let message = match text("message") {
        Some(message) => format!("{message} ({code})"),
        None => format!("the service answered {status} without saying why"),
    };
    let exit = match (status, code) {
        (400 | 404 | 405 | 415, _) => Exit::Usage,
        (400..500, _) => Exit::Refused,
        (_, "TRADING_HALTED" | "TRADING_PAUSED" | "CLIENT_IDS_FULL") => Exit::Refused,
        (_, "VENUE_UNAVAILABLE" | "UNREADABLE") => Exit::Unreachable,
        _ => Exit::Internal,
    };
    let next = match status {
        401 => Some("check FLASHGUARD_API_KEY or the file that FLASHGUARD_API_KEY_FILE names"),
        403 => {
            Some("use a key whose role holds this permission; `flashguard apikeys list` shows them")
        }
        429 => Some("try again later"),
        _ => None,
    };
    let failure =
        Failure::new(exit, code, message).with(error.get("details").cloned().unwrap_or_default());
    match next {
        Some(next) => failure.next(next),
        None => failure,
    }
}

fn credential() -> Result<HeaderValue, Failure> {
    let usage = |message: String| {
        Failure::new(Exit::Usage, "CREDENTIAL", message)
            .next("put an API key into a file of mode 0600 and name it in FLASHGUARD_API_KEY_FILE")
    };
    let plain = std::env::var_os("FLASHGUARD_API_KEY").filter(|value| !value.is_empty());
    let file = std::env::var_os("FLASHGUARD_API_KEY_FILE").filter(|value| !value.is_empty());
    let secret = match (plain, file) {
        (Some(_), Some(_)) => {
            let message = "FLASHGUARD_API_KEY and FLASHGUARD_API_KEY_FILE are both set; keep one";
            return Err(usage(message.to_owned()));
        }
        (None, None) => {
            return Err(usage(
                "this verb needs an API key, and none is set".to_owned(),
            ));
        }
        (Some(plain), None) => Redacted::taken_from(plain.into_encoded_bytes())
            .map_err(|error| usage(format!("FLASHGUARD_API_KEY: {error}")))?,
        (None, Some(path)) => {
            let name = path.to_string_lossy().into_owned();
            let file = File::open(&path)
                .map_err(|error| usage(format!("{name} cannot be read ({})", error.kind())))?;
            Redacted::read(file).map_err(|error| usage(format!("{name}: {error}")))?
        }
    };
    let header = zeroize::Zeroizing::new(format!("Bearer {}", secret.expose().trim()));
    let mut value = HeaderValue::from_str(&header)
        .map_err(|_| usage("the API key holds characters that no API key has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_the_service_become_the_contracts_exit_codes() {
        let exit = |status: u16, code: &str| {
            refusal(status, &json!({"error": {"code": code, "message": "m"}})).exit
        };
        for (status, code, expected) in [
            (400, "INVALID_REQUEST", Exit::Usage),
            (401, "UNAUTHENTICATED", Exit::Refused),
            (403, "FORBIDDEN", Exit::Refused),
            (409, "DUPLICATE_ORDER", Exit::Refused),
            (422, "POSITION_LIMIT", Exit::Refused),
            (429, "RATE_LIMIT_EXCEEDED", Exit::Refused),
            (503, "TRADING_HALTED", Exit::Refused),
            (503, "TRADING_PAUSED", Exit::Refused),
            (503, "VENUE_UNAVAILABLE", Exit::Unreachable),
            (503, "JOURNAL_UNAVAILABLE", Exit::Internal),
            (500, "INTERNAL", Exit::Internal),
        ] {
            assert_eq!(exit(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn an_answer_that_is_not_the_services_is_unreachable() {
        assert_eq!(refusal(502, &Value::Null).exit, Exit::Unreachable);
    }
}
