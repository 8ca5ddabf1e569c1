//! The resources, one module each, with plain functions: `read` observes the resource (through the [`Reader`], so it
//! cannot write), `diff` compares it with the declaration (pure), and `run` executes one step of the resulting change.
//!
//! [`Reader`]: crate::aws::Reader

pub mod alarm;
pub mod alerts;
pub mod binary;
pub mod bucket;
mod cloudwatch_tags;
pub mod code_bucket;
pub mod dashboard;
pub mod instance;
pub mod instance_profile;
mod interrupt;
pub mod launch_template;
pub mod log_group;
pub mod metric_math;
pub mod policy;
pub mod queue;
pub mod role;
pub mod s3_endpoint;
pub mod scaling_group;
pub mod scaling_policy;
pub mod scaling_rules;
pub mod security_group;
pub mod source;
pub mod topic;
pub mod trigger;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::{Backoff, CallError, Kind};
use crate::stack::address::{Address, Policy};
use crate::stack::change::{Action, Change};
pub use interrupt::Interrupt;

/// The tag that names the stack a resource belongs to. The creating call itself sets it; a resource without it is never
/// changed.
pub const STACK_TAG: &str = "thumb:stack";
/// The tag that names the region of the stack of a role or instance profile: IAM names are shared by all regions.
pub const REGION_TAG: &str = "thumb:region";
/// Marks an adopted resource (with the value [`ADOPTED`]): `--adopt` sets it, and `destroy` releases the resource,
/// removing thumb's tags, instead of deleting it.
pub const ADOPTED_TAG: &str = "thumb:adopted";
pub const ADOPTED: &str = "true";
/// Prefix of thumb's own tags, which thumb.toml cannot set.
const OWN_TAGS: &str = "thumb:";

/// Why `destroy` does not delete a resource.
pub const RELEASED: &str = "adopted: released, not deleted";

/// Attempts at reading one part of an observed resource; a new resource is eventually consistent.
const PART_ATTEMPTS: u32 = 6;
/// Between them: three seconds in all.
const PART_BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_millis(1_600) };

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// What exists under a name of the stack.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<T> {
    Absent,
    Foreign(Foreign<T>),
    Ours(T),
}

/// A resource that the stack does not own.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign<T> {
    /// Why not, as a sentence.
    pub reason: String,
    /// The resource itself, if no stack owns it: `--adopt` may take it into this one.
    pub adoptable: Option<T>,
    /// The region it is in or belongs to, if that is why it is foreign.
    pub elsewhere: Option<String>,
}

impl<T> Found<T> {
    /// Ours if the tags name this stack.
    pub fn by_tags(stack: &str, tags: &Tags, what: &str, thing: T) -> Self {
        match tags.get(STACK_TAG) {
            Some(owner) if owner == stack => Self::Ours(thing),
            Some(owner) => Self::foreign(format!("{what} belongs to the stack {owner:?} (tag {STACK_TAG})")),
            None => Self::Foreign(Foreign {
                reason: format!("{what} already exists and belongs to no stack"),
                adoptable: Some(thing),
                elsewhere: None,
            }),
        }
    }

    /// For IAM resources, whose names are shared by all regions: ours only if `theirs`, the region of their stack, is
    /// this one. If it is unknown, the stack's name alone decides.
    #[must_use]
    pub fn in_region(self, stack: &str, here: &str, theirs: Option<&str>, what: &str) -> Self {
        match (self, theirs) {
            (Self::Ours(_), Some(theirs)) if theirs != here => {
                Self::elsewhere(format!("{what} belongs to the stack {stack} in {theirs}"), theirs)
            }
            (found, _) => found,
        }
    }

    /// Foreign, and not adoptable.
    pub fn foreign(reason: impl Into<String>) -> Self {
        Self::Foreign(Foreign { reason: reason.into(), adoptable: None, elsewhere: None })
    }

    /// Foreign, because it is in another region.
    pub fn elsewhere(reason: impl Into<String>, region: impl Into<String>) -> Self {
        Self::Foreign(Foreign { reason: reason.into(), adoptable: None, elsewhere: Some(region.into()) })
    }

    /// Adopts a resource that no stack owns: the missing tags are then a difference that `apply` corrects.
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

/// Values that AWS chose in earlier steps (IDs, URLs, addresses): later steps need some of them, and the user is shown the
/// rest at the end. A read right after a create may not return them yet.
#[derive(Debug, Default)]
pub struct StepOutputs(Mutex<Facts>);

/// The outputs of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The ID of a security group that this run has created.
    pub security_group_id: Option<String>,
    /// The version of the launch template that this run has created.
    pub launch_template_version: Option<i64>,
    /// Of the queues that this run has created.
    pub queue_urls: BTreeMap<Address, String>,
    /// The ARNs of the scaling policies that this run has written.
    pub policy_arns: BTreeMap<Policy, String>,
    /// The instances that this run has launched or started, by number.
    pub running: BTreeMap<u32, Running>,
    /// IDs of the instances that this run has terminated.
    pub terminated: Vec<String>,
}

/// An instance that has just been launched or started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub id: String,
    pub public_ip: Option<String>,
    /// Its worker has reported.
    pub reported: bool,
}

impl StepOutputs {
    /// The ID of a security group that this run has created.
    pub fn security_group(&self) -> Option<String> {
        self.facts().security_group_id.clone()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of the launch template that this run has created.
    pub fn launch_template_version(&self) -> Option<i64> {
        self.facts().launch_template_version
    }

    fn set_launch_template_version(&self, number: Option<i64>) {
        self.facts().launch_template_version = number;
    }

    fn set_security_group(&self, id: String) {
        self.facts().security_group_id = Some(id);
    }

    pub fn into_facts(self) -> Facts {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a step may use: its stack and address, the outputs of earlier steps, the progress callback and the interrupt.
pub struct StepContext<'a> {
    pub stack: &'a str,
    /// The account of the plan; every bucket of the stack must belong to it.
    pub account: &'a str,
    pub address: Address,
    pub outputs: &'a StepOutputs,
    /// Called with a sentence that says what the step is waiting for.
    pub waiting: &'a (dyn Fn(Address, &str) + Sync),
    /// Raised when the user interrupts: calls in flight are awaited, waits end.
    pub interrupt: &'a Interrupt,
}

impl StepContext<'_> {
    /// Repeats a call while `again` says that its error is transient, as the policy says; when the policy's budget is
    /// spent, returns the last error. An interrupt ends the wait between two attempts immediately.
    pub async fn retry<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        policy: &RetryPolicy,
        why: &str,
        again: impl Fn(&CallError) -> bool,
        mut call: impl FnMut() -> F,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + policy.budget;
        for attempt in 0.. {
            match call().await {
                Err(error) if again(&error) && Instant::now() < deadline => {
                    if attempt == policy.quiet {
                        (self.waiting)(self.address, why);
                    }
                    self.pause(policy.backoff.delay(attempt), error.action).await?;
                }
                result => return result,
            }
        }
        unreachable!("the loop ends when the budget is spent")
    }

    /// Checks for an interrupt between two calls of `action`.
    ///
    /// # Errors
    /// The user has interrupted.
    pub fn go_on(&self, action: &'static str) -> Result<(), CallError> {
        if !self.interrupt.is_raised() {
            return Ok(());
        }
        Err(CallError::judged(action, Kind::Interrupted, "interrupted between two calls"))
    }

    /// Waits before `action` is tried again.
    ///
    /// # Errors
    /// The user has interrupted.
    pub async fn pause(&self, time: Duration, action: &'static str) -> Result<(), CallError> {
        tokio::select! {
            biased;
            () = self.interrupt.raised() => {
                Err(CallError::judged(action, Kind::Interrupted, "interrupted while waiting"))
            }
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// How often, and for how long, to retry a call that AWS will accept in a while.
pub struct RetryPolicy {
    backoff: Backoff,
    budget: Duration,
    /// Failed attempts before the user is told.
    quiet: u32,
}

impl RetryPolicy {
    /// IAM's propagation to EC2: about ten seconds (Karpenter and Packer retry as often).
    pub const PROPAGATION: RetryPolicy = RetryPolicy::new(250, 2_000, 60, 1);
    /// IAM: until NoSuchEntity is believed for a role that was read a moment ago.
    pub const IAM_GONE: RetryPolicy = RetryPolicy::new(250, 1_000, 5, 1);
    /// SQS: a deleted queue's name is refused for 60 seconds (API DeleteQueue).
    pub const QUEUE_NAME: RetryPolicy = RetryPolicy::new(1_000, 2_000, 90, 0);
    /// SQS: a queue can be used, also as a dead-letter queue, about a second after its creation (API CreateQueue).
    pub const NEW_QUEUE: RetryPolicy = RetryPolicy::new(250, 2_000, 60, 1);
    /// S3: a deleted bucket's name is refused "for some time" (409 OperationAborted).
    pub const BUCKET_NAME: RetryPolicy = RetryPolicy::new(500, 5_000, 300, 1);
    /// S3: a new bucket is not known everywhere, or refuses changes (409 OperationAborted), for up to a minute
    /// (hashicorp/terraform-provider-aws #7628).
    pub const BUCKET: RetryPolicy = RetryPolicy::new(250, 5_000, 60, 1);
    /// S3: a change to Block Public Access takes effect after some seconds (AWS's support to env0/templates #174).
    pub const PUBLIC_ACCESS: RetryPolicy = RetryPolicy::new(500, 2_000, 20, 1);
    /// EC2: starting and terminating take up to some minutes; dependencies remain as long.
    pub const INSTANCE: RetryPolicy = RetryPolicy::new(1_000, 5_000, 600, 0);

    const fn new(first_ms: u64, max_ms: u64, budget_s: u64, quiet: u32) -> Self {
        Self {
            backoff: Backoff { first: Duration::from_millis(first_ms), max: Duration::from_millis(max_ms) },
            budget: Duration::from_secs(budget_s),
            quiet,
        }
    }
}

/// The tags to set and the keys to remove so that `before` becomes `after`. AWS's own (`aws:…`) are left alone.
pub fn tag_changes(before: &Tags, after: &Tags) -> (Tags, Vec<String>) {
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let remove = before.keys().filter(|key| !after.contains_key(*key) && !key.starts_with("aws:"));
    (set.map(|(key, value)| (key.clone(), value.clone())).collect(), remove.cloned().collect())
}

/// Whether a resource was adopted or, having no stack tag yet, is being adopted.
pub fn is_adopted(tags: &Tags) -> bool {
    tags.get(ADOPTED_TAG).is_some_and(|value| value == ADOPTED) || !tags.contains_key(STACK_TAG)
}

/// The tags that a resource of the stack should have: the declared ones. An adopted resource gets the adoption tag, and
/// keeps its `Name` and all tags that thumb.toml does not set.
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

/// Releases an adopted resource of which thumb has nothing but its tags; `step` sets and removes tags.
pub fn release_tags<S>(
    address: Address,
    name: &str,
    tags: &Tags,
    configured: &Tags,
    step: impl FnOnce(Tags, Vec<String>) -> S,
) -> Change<S> {
    let mut change = Change::new(address, name);
    change.reason = Some(RELEASED.into());
    let kept = kept_tags(tags, configured);
    change.compare("tags", tags, &kept);
    let (set, remove) = tag_changes(tags, &kept);
    change.removal(step(set, remove));
    change.action(Action::Update)
}

/// The tags that an adopted resource keeps when it is released: all except thumb's own, and except those of thumb.toml
/// (`configured`) whose value is still the configured one.
pub fn kept_tags(observed: &Tags, configured: &Tags) -> Tags {
    let ours = |key: &str, value: &String| key.starts_with(OWN_TAGS) || configured.get(key) == Some(value);
    let kept = observed.iter().filter(|(key, value)| !ours(key, value));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Tags without AWS's reserved ones (`aws:…`): what a plan compares and shows.
pub fn own_tags(tags: &Tags) -> Tags {
    tags.iter().filter(|(key, _)| !key.starts_with("aws:")).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Reads one part of an existing resource. Retries a few times while `again` says that AWS is not consistent yet, then
/// returns the last error.
async fn read_part<T, F: Future<Output = Result<T, CallError>>>(
    again: impl Fn(&CallError) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, CallError> {
    for attempt in 0..PART_ATTEMPTS - 1 {
        match call().await {
            Err(error) if again(&error) => tokio::time::sleep(PART_BACKOFF.delay(attempt)).await,
            result => return result,
        }
    }
    call().await
}

/// Success if the resource is already gone.
pub fn ok_if_gone<T>(result: Result<T, CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        result => result.map(drop),
    }
}

/// `None` if the resource does not exist.
pub fn optional<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
