//! The infrastructure wing: thumb.toml in, a plan out, and the plan done.
//!
//! ```text
//! thumb.toml -> config -> desired --.
//!                                    +- diff (pure) -> Plan (data) -> render -> text | JSON
//! AWS -- observe (concurrent) ------'                    `-> execute (ordered, waits, retries) -> report
//! ```

pub mod address;
pub mod capacity;
pub mod change;
mod contents;
pub mod cost;
mod describe;
mod desired;
mod diff;
mod execute;
mod notes;
mod observe;
mod operation;
mod order;
pub mod permissions;
mod remedy;
pub mod render;
pub mod resources;
mod target;

pub use contents::Contents;
pub use desired::Desired;
pub use diff::{misplaced_bucket, plan_apply, plan_destroy};
pub use execute::{Doing, Event, Outcome, Report, execute};
pub use observe::{LaunchOptions, Observed, observe, read_launch_options, survey};
pub use operation::{Change, Operation, Plan};
pub use target::{Selection, Target, instance_targets, targets};

#[cfg(test)]
mod tests;
