//! The reconciler: thumb.toml in, a plan out, and the plan done.
//!
//! ```text
//! thumb.toml -> config -> desired --.
//!                                    +- diff (pure) -> Plan (data) -> text | JSON
//! AWS -- read (concurrent) ---------'                    `-> execute (ordered, waits, retries) -> report
//! ```

mod desired;
mod diff;
mod execute;
mod order;
mod read;
mod target;

pub use desired::Desired;
pub use diff::{Contents, misplaced_bucket, plan_apply, plan_destroy};
pub use execute::{Doing, Event, Outcome, Report, execute};
pub use read::{Observed, Offers, observe, read_offers, survey};
pub use target::Target;

#[cfg(test)]
mod tests;
