//! The FlashGuard service: settings, stores, venues, HTTP and command line around `flashguard-actors`.

pub mod administration;
pub mod application;
pub mod audit;
pub mod cli;
pub mod control;
pub mod init;
pub mod seed_variables;
pub mod settings;
pub mod startup;
pub mod stores;
pub mod telemetry;
pub mod venues;
pub mod web;
