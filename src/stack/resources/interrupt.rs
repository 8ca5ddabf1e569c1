//! The interrupt: raised by Ctrl-C, observed by everything that waits.

use tokio::sync::watch;

/// Raised by Ctrl-C.
#[derive(Debug)]
pub struct Interrupt(watch::Sender<bool>);

impl Interrupt {
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Raises it, and returns whether it was raised already.
    pub fn raise(&self) -> bool {
        self.0.send_replace(true)
    }

    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is raised.
    pub async fn raised(&self) {
        // The sender lives as long as this borrow: the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|raised| *raised).await;
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
