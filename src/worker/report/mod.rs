//! What the worker tells: [`event`]s to the log ([`output`]), [`stats`] and [`metrics`] for Prometheus, its [`health`] to
//! probes and to [`systemd`], and its reports to `thumb apply` ([`reporting`]).

pub mod event;
pub mod health;
pub mod metrics;
pub mod output;
pub mod reporting;
pub mod stats;
pub mod systemd;

use std::io;

use event::Event;

/// Where events go. An error ends the worker: nobody would know what it does. Neither call may wait for a reader.
pub trait Report: Send {
    /// # Errors
    /// Nobody reads them any more.
    fn report(&mut self, event: &Event) -> io::Result<()>;

    /// Whether the reader needs all of the events and is so far behind that no new messages should be received.
    ///
    /// # Errors
    /// As [`Report::report`].
    fn is_behind(&mut self) -> io::Result<bool>;
}
