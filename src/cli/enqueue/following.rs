//! `--wait`: what was queued, and the wait for it.

use std::time::Duration;

use indicatif::ProgressBar;

use super::bar::style;
use crate::aws::{Clients, QueueCounts};
use crate::cli::interrupts::interrupted;
use crate::config::Config;
use crate::error::Result;
use crate::request::Request;
use crate::tracking::{self, Ended, MAX_TRACKED, Places, Tracked, s3_now, track};
use crate::worker;

/// What the queued requests ask for.
pub struct Following<'a> {
    config: &'a Config,
    pub thumbnails_bucket: String,
    /// Whether the requests are kept, to be followed.
    pub keep: bool,
    pub tracked: Vec<Tracked>,
    /// More than can be followed were queued.
    pub too_many: bool,
    /// Of all queued requests.
    pub thumbnails: u64,
    /// The key of one of them.
    pub example: Option<String>,
}

impl<'a> Following<'a> {
    pub fn new(config: &'a Config, account: &str) -> Self {
        Self {
            config,
            thumbnails_bucket: config.thumbnails_bucket(account),
            keep: false,
            tracked: Vec::new(),
            too_many: false,
            thumbnails: 0,
            example: None,
        }
    }

    pub fn note(&mut self, requests: &[Request]) {
        for request in requests {
            // A key with the content's version is known when the photograph has been read.
            let template = &self.config.thumbnail;
            let targets = request.targets(template, "").unwrap_or_default();
            self.thumbnails += targets.len() as u64;
            if template.key.names_the_version() {
                continue;
            }
            let keys: Vec<String> = targets.into_iter().map(|target| target.key).collect();
            if self.example.is_none() {
                self.example = keys.first().cloned();
            }
            if !self.keep {
                continue;
            }
            if self.tracked.len() >= MAX_TRACKED {
                self.too_many = true;
                continue;
            }
            self.tracked.push(Tracked { source: request.source.to_string(), missing: keys });
        }
    }
}

/// A wait that has begun before the first request was queued.
pub struct Wait<'a> {
    clients: &'a Clients,
    queue_url: String,
    dlq_url: String,
    thumbnails: String,
    account: String,
    since_s: i64,
    most: Duration,
}

impl<'a> Wait<'a> {
    /// # Errors
    /// The keys of thumbnails are not known beforehand, or a queue or the bucket does not exist.
    pub async fn begin(
        clients: &'a Clients,
        config: &Config,
        account: &str,
        queue_url: String,
        most: Duration,
    ) -> Result<Self> {
        if config.thumbnail.key.names_the_version() {
            return Err(crate::error::Failure::usage("--wait cannot follow thumbnails whose keys contain {version}")
                .hint("watch the queue instead: thumb status --watch"));
        }
        let dlq_url = worker::queue_url(clients, &config.queue.dlq).await?;
        let thumbnails = config.thumbnails_bucket(account);
        let mut wait = Self { clients, queue_url, dlq_url, thumbnails, account: account.to_owned(), since_s: 0, most };
        wait.since_s = s3_now(clients, &wait.places()).await?;
        Ok(wait)
    }

    fn places(&self) -> Places<'_> {
        let Self { queue_url, dlq_url, thumbnails, account, .. } = self;
        Places { queue_url, dlq_url, thumbnails, account }
    }

    /// Follows the requests, with a bar on a terminal.
    ///
    /// # Errors
    /// As [`track`].
    pub async fn follow(&self, tracked: Vec<Tracked>, quiet: bool) -> Result<Ended> {
        let bar = match quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(tracked.len() as u64)
                .with_style(style("{bar:20} {pos}/{len} photos{left}  {wide_msg}")),
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        let mut progress = Bar(bar);
        let ended =
            track(self.clients, &self.places(), tracked, self.since_s, self.most, &mut progress, interrupted()).await;
        progress.0.finish_and_clear();
        ended
    }
}

struct Bar(ProgressBar);

impl tracking::Progress for Bar {
    fn round(&mut self, done: u64, rejected: u64, queue: QueueCounts) {
        self.0.set_position(done + rejected);
        let QueueCounts { waiting, in_flight, delayed } = queue;
        let rejected = if rejected > 0 { format!("{rejected} rejected, ") } else { String::new() };
        self.0.set_message(format!("{rejected}{} waiting, {in_flight} in progress", waiting + delayed));
    }
}
