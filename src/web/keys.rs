//! `/keys`: which keys there are, never a secret of them.

use actix_web::{HttpResponse, web};
use flashguard_actors::key_manager::describe;
use flashguard_actors::ports::journal::StoreError;
use serde_json::{Value, json};

use super::problem::Problem;
use super::shared::Shared;
use super::trading::journal_unavailable;
use crate::administration::{key_answer, keys_of_journal};

/// `GET /keys`.
pub async fn list(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    let floor = shared.system.floor().clone();
    let described = web::block(move || {
        let known = keys_of_journal(&*floor.readers.open()?)?;
        let described = describe(&known, Some(&floor.keys.identity()));
        Ok(described.iter().map(key_answer).collect::<Vec<Value>>())
    });
    let described = described
        .await
        .map_err(|error| Problem::internal(error.to_string()))?;
    let keys = described.map_err(|error: StoreError| journal_unavailable(error.to_string()))?;
    Ok(HttpResponse::Ok().json(json!({"keys": keys})))
}
