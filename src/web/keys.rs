//! `/keys`: which keys there are, never a secret of them.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use flashguard_actors::key_manager::ListKeys;
use serde_json::{Value, json};

use super::problem::Problem;
use super::shared::Shared;
use super::trading::journal_unavailable;
use crate::administration::key_answer;

/// Longest that the key manager is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// `GET /keys`.
pub async fn list(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    let described = shared.keys.call(ListKeys, ANSWER_LIMIT).await;
    let described = described.map_err(|error| Problem::internal(error.to_string()))?;
    let described = described.map_err(|error| journal_unavailable(error.to_string()))?;
    let keys: Vec<Value> = described.iter().map(key_answer).collect();
    Ok(HttpResponse::Ok().json(json!({ "keys": keys })))
}
