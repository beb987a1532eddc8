//! Each worker's own way to the venue for orders, made at its first order.

use std::cell::RefCell;

use flashguard_actors::system::Handle;
use flashguard_actors::trading::pipeline::Lane;
use flashguard_latch::Fence;

use super::problem::Problem;

/// One worker's lane. It stays on the thread that made it.
#[derive(Default)]
pub struct WorkerLane(RefCell<Option<Lane>>);

impl WorkerLane {
    /// The lane, made now if there is none yet.
    ///
    /// # Errors
    ///
    /// 503 when the journal cannot be read; the next order tries again.
    pub fn get(&self, system: &Handle) -> Result<Lane, Problem> {
        if let Some(lane) = &*self.0.borrow() {
            return Ok(lane.clone());
        }
        let lane = Lane::new(system.floor().clone(), Fence::new().incarnate())
            .map_err(|error| super::trading::journal_unavailable(error.to_string()))?;
        *self.0.borrow_mut() = Some(lane.clone());
        Ok(lane)
    }
}
