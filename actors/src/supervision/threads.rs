//! The threads that children run on: made when needed, given up when something blocks them.
//!
//! A thread that is stuck cannot be ended, only left: its children are made again on a fresh one.
//! What is left is counted, since it costs memory and may wake up.

use super::policy::{Heartbeat, Pulse, Vital};
use super::thread::{SystemHandle, ThreadError};
use actix_rt::ArbiterHandle;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// On a thread of its own: for what may block, and for what nothing may delay.
    Own,
    /// On one of the shared threads, by number: for actors that are many. Whatever blocks one
    /// blocks all on the same thread.
    Shared(u16),
}

/// A place that always has a thread, though not always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    Own(u64),
    Shared(u16),
}

/// Numbers the threads over the life of a supervisor.
pub(crate) type ThreadNumber = u64;

/// One thread at work.
struct Running {
    number: ThreadNumber,
    arbiter: ArbiterHandle,
    beats: Arc<AtomicU64>,
    pulse: Pulse,
    loss_counted: bool,
}

/// All threads of one supervisor.
pub(crate) struct Threads {
    system: SystemHandle,
    heartbeat: Heartbeat,
    running: HashMap<Home, Running>,
    abandoned: Vec<ArbiterHandle>,
    made: u64,
}

impl Threads {
    pub(crate) fn new(system: SystemHandle, heartbeat: Heartbeat) -> Self {
        Self {
            system,
            heartbeat,
            running: HashMap::new(),
            abandoned: Vec::new(),
            made: 0,
        }
    }

    /// The thread of `home`; a fresh one when there is none or it has ended.
    pub(crate) fn at(&mut self, home: Home) -> Result<(ThreadNumber, ArbiterHandle), ThreadError> {
        if let Some(thread) = self.running.get(&home)
            && thread.arbiter.alive()
        {
            return Ok((thread.number, thread.arbiter.clone()));
        }
        let arbiter = self.system.new_arbiter()?;
        self.made += 1;
        let beats = Arc::new(AtomicU64::new(0));
        arbiter.spawn(beat(Arc::clone(&beats), self.heartbeat));
        self.running.insert(
            home,
            Running {
                number: self.made,
                arbiter: arbiter.clone(),
                beats,
                pulse: Pulse::default(),
                loss_counted: false,
            },
        );
        Ok((self.made, arbiter))
    }

    /// True for the first child that reports the loss of this thread: one loss is one failure,
    /// however many children lived there.
    pub(crate) fn counts_as_failure(&mut self, home: Home, number: ThreadNumber) -> bool {
        match self.running.get_mut(&home) {
            Some(thread) if thread.number == number => {
                !std::mem::replace(&mut thread.loss_counted, true)
            }
            Some(_) | None => false,
        }
    }

    /// Looks at all threads once and gives the homes whose thread is stuck. `starting` says
    /// whether a child is being made there, which may take longer.
    pub(crate) fn stuck(&mut self, starting: impl Fn(Home) -> bool) -> Vec<Home> {
        let mut stuck = Vec::new();
        for (home, thread) in &mut self.running {
            let missed_max = if starting(*home) {
                self.heartbeat.starting_missed_max
            } else {
                self.heartbeat.missed_max
            };
            let beats = thread.beats.load(Ordering::Relaxed);
            // A thread that has ended has reported so by its children.
            if thread.arbiter.alive() && thread.pulse.look(beats, missed_max) == Vital::Hung {
                stuck.push(*home);
            }
        }
        stuck
    }

    /// Leaves the thread of `home` behind. It ends by itself if it ever wakes up.
    pub(crate) fn abandon(&mut self, home: Home) {
        if let Some(thread) = self.running.remove(&home) {
            thread.arbiter.stop();
            self.abandoned.push(thread.arbiter);
        }
    }

    /// Threads that were left behind and have not woken up yet.
    pub(crate) fn abandoned(&mut self) -> usize {
        self.abandoned.retain(ArbiterHandle::alive);
        self.abandoned.len()
    }

    /// Ends the thread of a child that is gone; shared threads stay.
    pub(crate) fn release(&mut self, home: Home) {
        if let Home::Own(_) = home
            && let Some(thread) = self.running.remove(&home)
        {
            thread.arbiter.stop();
        }
    }
}

/// Counts up for as long as the thread is able to run anything.
async fn beat(beats: Arc<AtomicU64>, heartbeat: Heartbeat) {
    loop {
        beats.fetch_add(1, Ordering::Relaxed);
        actix_rt::time::sleep(heartbeat.every).await;
    }
}
