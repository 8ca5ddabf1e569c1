//! The resources, a module each, with plain functions: `read` what is there (through the [`Reader`], so it cannot
//! write), `diff` it against what is declared (pure), and `run` one [`Step`] of the resulting change.
//!
//! [`Reader`]: crate::aws::Reader

pub mod binary;
pub mod bucket;
pub mod code_bucket;
pub mod instance;
pub mod instance_profile;
mod interrupt;
pub mod policy;
pub mod queue;
pub mod role;
pub mod security_group;
pub mod source;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::{CallError, Kind};
use crate::stack::address::Address;
pub use interrupt::Interrupt;

/// The tag whose value names the stack that a resource belongs to. It is set in the creating call itself; what lacks
/// it is never touched.
pub const STACK_TAG: &str = "thumb:stack";
/// The tag that says in which region the stack of a role or an instance profile is: IAM has one of each name for all
/// regions.
pub const REGION_TAG: &str = "thumb:region";
/// The tag, with the value [`ADOPTED`], of what thumb did not make: `--adopt` sets it, and `destroy` takes thumb's tags
/// off such a thing instead of deleting it.
pub const ADOPTED_TAG: &str = "thumb:adopted";
pub const ADOPTED: &str = "true";
/// What every tag of thumb's own begins with; thumb.toml cannot set such a one.
const OWN_TAGS: &str = "thumb:";

/// Why a destroy leaves something where it is.
pub const RELEASED: &str = "adopted: released, not deleted";

/// Attempts at reading a part of something that was found; what was made a moment ago is not known everywhere at once.
const PART_ATTEMPTS: u32 = 6;
/// After the first of them; doubled each time, three seconds in all.
const PART_DELAY: Duration = Duration::from_millis(100);

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// What there is under a name of ours.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<T> {
    Absent,
    Foreign(Foreign<T>),
    Ours(T),
}

/// Something that is not ours to touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign<T> {
    /// Why not, as a sentence.
    pub reason: String,
    /// The thing itself, if it is nobody's: `--adopt` may make it ours.
    pub adoptable: Option<T>,
    /// The region it is in, or works for, where that is why it is not ours.
    pub elsewhere: Option<String>,
}

impl<T> Found<T> {
    /// Ours when the tags say so.
    pub fn by_tags(stack: &str, tags: &Tags, what: &str, thing: T) -> Self {
        match tags.get(STACK_TAG) {
            Some(owner) if owner == stack => Self::Ours(thing),
            Some(owner) => {
                Self::foreign(format!("{what} belongs to the stack {owner:?} (its tag {STACK_TAG} says so)"))
            }
            None => Self::Foreign(Foreign {
                reason: format!("{what} exists without the tag {STACK_TAG} = {stack}, so it is not thumb's to change"),
                adoptable: Some(thing),
                elsewhere: None,
            }),
        }
    }

    /// Of what IAM has once for all regions: ours only if `theirs`, the region of the stack it belongs to, is this one.
    /// Where that is not known, the stack's name decides alone.
    #[must_use]
    pub fn in_region(self, stack: &str, here: &str, theirs: Option<&str>, what: &str) -> Self {
        match (self, theirs) {
            (Self::Ours(_), Some(theirs)) if theirs != here => {
                Self::elsewhere(format!("{what} belongs to the stack {stack} in {theirs}"), theirs)
            }
            (found, _) => found,
        }
    }

    /// Not ours, and not to be adopted either.
    pub fn foreign(reason: impl Into<String>) -> Self {
        Self::Foreign(Foreign { reason: reason.into(), adoptable: None, elsewhere: None })
    }

    /// Not ours, because it is in another region.
    pub fn elsewhere(reason: impl Into<String>, region: impl Into<String>) -> Self {
        Self::Foreign(Foreign { reason: reason.into(), adoptable: None, elsewhere: Some(region.into()) })
    }

    /// What is nobody's becomes ours: its tags are then one of the differences that an apply mends.
    #[must_use]
    pub fn adopt(self) -> Self {
        match self {
            Self::Foreign(Foreign { adoptable: Some(thing), .. }) => Self::Ours(thing),
            other => other,
        }
    }

    pub fn ours(&self) -> Option<&T> {
        match self {
            Self::Ours(thing) => Some(thing),
            _ => None,
        }
    }
}

/// What steps learn, because AWS chooses it: later steps need some of it, and the user is told the rest at the end. A read
/// right after a create may not have it yet.
#[derive(Debug, Default)]
pub struct Learned(Mutex<Facts>);

/// What a run has learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The ID of a security group that this run has made.
    pub security_group_id: Option<String>,
    /// Of the queues that this run has made.
    pub queue_urls: BTreeMap<Address, String>,
    /// The instances that this run has launched or started, by number.
    pub running: BTreeMap<u32, Running>,
    /// IDs of the instances that this run has taken away.
    pub terminated: Vec<String>,
}

/// An instance that runs since a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub id: String,
    pub public_ip: Option<String>,
    /// Its worker's first report has come.
    pub reported: bool,
}

impl Learned {
    /// The ID of a security group that this run has made.
    pub fn security_group(&self) -> Option<String> {
        self.facts().security_group_id.clone()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_security_group(&self, id: String) {
        self.facts().security_group_id = Some(id);
    }

    pub fn into_facts(self) -> Facts {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Around a running step: whose it is, what earlier steps learned, whom to tell about a wait, and who may end it.
pub struct Scene<'a> {
    pub stack: &'a str,
    /// The account that the plan is about, whose every bucket of the stack must be.
    pub account: &'a str,
    pub address: Address,
    pub learned: &'a Learned,
    /// Called with a sentence about what is being waited for.
    pub waiting: &'a (dyn Fn(Address, &str) + Sync),
    /// Raised when the user wants an end: calls in flight are awaited, nothing else.
    pub interrupt: &'a Interrupt,
}

impl Scene<'_> {
    /// Repeats a call while `again` says its error will pass, at the pace's delays, until the pace's budget is spent;
    /// then the last error is the answer. An interrupt ends the wait between two attempts at once.
    pub async fn retry<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        pace: &Pace,
        why: &str,
        again: impl Fn(&CallError) -> bool,
        mut call: impl FnMut() -> F,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + pace.budget;
        for attempt in 0.. {
            match call().await {
                Err(error) if again(&error) && Instant::now() < deadline => {
                    if attempt == pace.quiet {
                        (self.waiting)(self.address, why);
                    }
                    self.pause(pace.delay(attempt), error.action).await?;
                }
                result => return result,
            }
        }
        unreachable!("the loop ends when the budget is spent")
    }

    /// Between two calls of `action` that need not follow each other.
    ///
    /// # Errors
    /// The user has interrupted.
    pub fn go_on(&self, action: &'static str) -> Result<(), CallError> {
        if !self.interrupt.is_raised() {
            return Ok(());
        }
        Err(CallError::judged(action, Kind::Interrupted, "interrupted between two calls"))
    }

    /// Lets some time pass before `action` is tried again.
    ///
    /// # Errors
    /// The user has interrupted.
    pub async fn pause(&self, time: Duration, action: &'static str) -> Result<(), CallError> {
        tokio::select! {
            biased;
            () = self.interrupt.raised() => {
                Err(CallError::judged(action, Kind::Interrupted, "interrupted while it was waited for"))
            }
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// How densely, and how long, something is tried again that AWS will allow in a while.
pub struct Pace {
    first: Duration,
    max: Duration,
    budget: Duration,
    /// Attempts after which the user is told.
    quiet: u32,
}

impl Pace {
    /// IAM's propagation to EC2: about ten seconds (Karpenter and Packer retry as densely).
    pub const PROPAGATION: Pace = Pace::new(250, 2_000, 60, 1);
    /// IAM: until "there is no such role" is believed, of one that was read a moment ago.
    pub const IAM_GONE: Pace = Pace::new(250, 1_000, 5, 1);
    /// SQS: a deleted queue's name is refused for 60 seconds (API DeleteQueue).
    pub const QUEUE_NAME: Pace = Pace::new(1_000, 2_000, 90, 0);
    /// SQS: a queue can be used, also as a dead-letter queue, about a second after its creation (API CreateQueue).
    pub const NEW_QUEUE: Pace = Pace::new(250, 2_000, 60, 1);
    /// S3: a deleted bucket's name is refused "for some time" (409 OperationAborted).
    pub const BUCKET_NAME: Pace = Pace::new(500, 5_000, 300, 1);
    /// S3: a new bucket is not known everywhere, or refuses changes (409 OperationAborted), for up to a minute
    /// (hashicorp/terraform-provider-aws #7628).
    pub const BUCKET: Pace = Pace::new(250, 5_000, 60, 1);
    /// S3: a setting of Block Public Access counts some seconds after it was set (AWS's support to env0/templates #174).
    pub const PUBLIC_ACCESS: Pace = Pace::new(500, 2_000, 20, 1);
    /// EC2: starting and terminating take up to some minutes, and dependencies last as long.
    pub const INSTANCE: Pace = Pace::new(1_000, 5_000, 600, 0);

    const fn new(first_ms: u64, max_ms: u64, budget_s: u64, quiet: u32) -> Self {
        Self {
            first: Duration::from_millis(first_ms),
            max: Duration::from_millis(max_ms),
            budget: Duration::from_secs(budget_s),
            quiet,
        }
    }

    fn delay(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(1 << attempt.min(10)).min(self.max)
    }
}

/// The tags to set and the keys to remove so that `before` becomes `after`. AWS's own (`aws:…`) are left alone.
pub fn tag_changes(before: &Tags, after: &Tags) -> (Tags, Vec<String>) {
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let remove = before.keys().filter(|key| !after.contains_key(*key) && !key.starts_with("aws:"));
    (set.map(|(key, value)| (key.clone(), value.clone())).collect(), remove.cloned().collect())
}

/// Whether something of ours was adopted or, having no stack's tag yet, is being adopted.
pub fn is_adopted(tags: &Tags) -> bool {
    tags.get(ADOPTED_TAG).is_some_and(|value| value == ADOPTED) || !tags.contains_key(STACK_TAG)
}

/// The tags that something of ours should have: the declared ones. What was adopted is marked as such, and keeps the
/// tags that thumb.toml does not name, and its name for people.
pub fn wanted_tags(declared: &Tags, observed: &Tags) -> Tags {
    let mut tags = declared.clone();
    if is_adopted(observed) {
        tags.insert(ADOPTED_TAG.into(), ADOPTED.into());
        tags.extend(observed.get_key_value("Name").map(|(key, value)| (key.clone(), value.clone())));
        for (key, value) in observed {
            tags.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    tags
}

/// The tags that something adopted keeps when it is released: all but thumb's own, and but those of thumb.toml
/// (`configured`) that still say what thumb.toml says.
pub fn kept_tags(observed: &Tags, configured: &Tags) -> Tags {
    let ours = |key: &str, value: &String| key.starts_with(OWN_TAGS) || configured.get(key) == Some(value);
    let kept = observed.iter().filter(|(key, value)| !ours(key, value));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Tags without AWS's own, which nobody can set: what a plan compares and shows.
pub fn own_tags(tags: &Tags) -> Tags {
    tags.iter().filter(|(key, _)| !key.starts_with("aws:")).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Reads a part of something that is there, a few times while `again` says that AWS does not know the whole of it yet;
/// then the last error is the answer.
async fn read_part<T, F: Future<Output = Result<T, CallError>>>(
    again: impl Fn(&CallError) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, CallError> {
    for attempt in 1..PART_ATTEMPTS {
        match call().await {
            Err(error) if again(&error) => tokio::time::sleep(PART_DELAY * (1 << (attempt - 1))).await,
            result => return result,
        }
    }
    call().await
}

/// Success when the thing is gone already.
pub fn gone_is_fine<T>(result: Result<T, CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        result => result.map(drop),
    }
}

/// `None` when the thing is not there.
pub fn optional<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
