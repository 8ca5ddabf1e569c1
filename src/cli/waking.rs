//! Wakes the fleet while requests are sent: once the first are on the queue, and once it is known how many they are.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::tell;
use crate::aws::Clients;
use crate::config::Config;
use crate::enqueue::wake::{Woken, wake};
use crate::text::plural;

/// Wakes the group of a stack that has one.
pub struct Waking<'a> {
    clients: &'a Clients,
    config: &'a Config,
    queued: AtomicU64,
    /// Told at the first request on the queue, and at the end.
    begun: Notify,
    /// Instances that the group was woken to; 0: none.
    instances: AtomicU64,
}

impl<'a> Waking<'a> {
    pub fn new(clients: &'a Clients, config: &'a Config) -> Self {
        let (queued, begun, instances) = (AtomicU64::new(0), Notify::new(), AtomicU64::new(0));
        Self { clients, config, queued, begun, instances }
    }

    /// So many more requests are on the queue.
    pub fn queued(&self, requests: u64) {
        self.queued.fetch_add(requests, Ordering::Relaxed);
        if requests > 0 {
            self.begun.notify_one();
        }
    }

    /// Wakes the group for the first requests, while `sending` sends the others.
    pub async fn during<T>(&self, sending: impl Future<Output = T>) -> T {
        let sending = async {
            let sent = sending.await;
            // No more requests come.
            self.begun.notify_one();
            sent
        };
        tokio::join!(sending, self.begin()).0
    }

    async fn begin(&self) {
        if self.config.scaling.is_none() {
            return;
        }
        self.begun.notified().await;
        self.wake(self.queued.load(Ordering::Relaxed)).await;
    }

    /// Wakes it for all of them; how many instances it was woken to, if it was.
    pub async fn finish(&self, queued: u64) -> Option<u64> {
        self.wake(queued).await;
        Some(self.instances.load(Ordering::Relaxed)).filter(|instances| *instances > 0)
    }

    /// That it cannot be woken is no failure: its alarms do it, later.
    async fn wake(&self, messages: u64) {
        let Some(scaling) = self.config.scaling.as_ref().filter(|_| messages > 0) else { return };
        match wake(self.clients, &self.config.name, scaling, messages).await {
            Ok(Woken::To(instances)) => self.instances.store(instances.into(), Ordering::Relaxed),
            Ok(Woken::Awake) => {}
            Ok(Woken::NoGroup) => tell("note: the fleet does not exist yet: run `thumb apply`"),
            Err(error) => tell(&format!("note: cannot wake the fleet, which its alarm does within minutes: {error}")),
        }
    }
}

/// Says what became of the group.
pub fn tell_woken(instances: u64) {
    tell(&format!("woke the fleet: {instances} {} within about two minutes", plural(instances, "instance")));
}
