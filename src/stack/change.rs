//! The plan: what would change in the account, as data. `diff` makes it, `render` prints it, and `execute` runs the
//! very value that was printed. Nothing in this module calls AWS.

use serde::Serialize;
use serde_json::Value;

use super::address::Address;
use super::cost;

/// The version of the plan's JSON; increased when a field is removed or changes meaning.
pub const JSON_VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    None,
    Create,
    Update,
    /// Created anew; the old one is deleted once the new one exists.
    Replace,
    Delete,
    /// Owned by someone else, or cannot be created as declared: nothing is done to it, nor to what depends on it.
    Blocked,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    Apply,
    Destroy,
}

impl Purpose {
    /// The command that executes such a plan.
    pub fn command(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Destroy => "destroy",
        }
    }
}

/// One attribute of a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Attribute {
    pub name: String,
    /// `null`: did not exist before.
    pub before: Value,
    /// `null`: does not exist afterwards, or is not known yet.
    pub after: Value,
    /// AWS will choose it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_unknown: bool,
}

/// What happens to one resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(bound = "")]
pub struct Change<S> {
    pub address: Address,
    /// The resource's name in AWS.
    pub name: String,
    pub action: Action,
    /// What is created or deleted, in words: "kept 14d, 10 receives, then to the dead-letter queue".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Why it is replaced, blocked or adopted.
    pub reason: Option<String>,
    /// What to do about a blocked one: a phrase that ends with a command or a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    pub attributes: Vec<Attribute>,
    /// The calls that create or update it, in order.
    #[serde(skip)]
    pub steps: Vec<S>,
    /// The calls that delete or release it (or what it replaces); they wait for what depends on it.
    #[serde(skip)]
    pub removals: Vec<S>,
}

/// How many changes of each kind; resources without a change are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Summary {
    pub create: u32,
    pub update: u32,
    pub replace: u32,
    pub delete: u32,
    pub blocked: u32,
}

/// Deserialised in tests only: the JSON has no steps, so a plan from a file must not be taken for one that can be
/// applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(bound = "")]
pub struct Plan<S> {
    pub version: u32,
    pub purpose: Purpose,
    pub stack: String,
    pub account: String,
    pub region: String,
    /// Where the region is set: "thumb.toml", "AWS_REGION", "profile work".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_from: Option<String>,
    pub changes: Vec<Change<S>>,
    pub summary: Summary,
    /// What the plan leads to that a user may not want, each a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Further notes about the stack, each a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Of the declared instances; `None` when there are none, or when they are not part of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<cost::Estimate>,
    /// Of the group, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_estimate: Option<cost::FleetEstimate>,
    /// What runs now costs so much, in dollars a month. None: not all prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_a_month_before: Option<f64>,
    /// The resources that were compared, where `--target` or `--exclude` left some out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Address>,
}

impl<S> Plan<S> {
    /// A plan without warnings, notes, estimates and `region_from`.
    pub fn new(purpose: Purpose, stack: &str, account: &str, region: &str, changes: Vec<Change<S>>) -> Self {
        let mut summary = Summary::default();
        for change in &changes {
            match change.action {
                Action::None => {}
                Action::Create => summary.create += 1,
                Action::Update => summary.update += 1,
                Action::Replace => summary.replace += 1,
                Action::Delete => summary.delete += 1,
                Action::Blocked => summary.blocked += 1,
            }
        }
        let (stack, account, region) = (stack.to_owned(), account.to_owned(), region.to_owned());
        let version = JSON_VERSION;
        Self {
            version,
            purpose,
            stack,
            account,
            region,
            region_from: None,
            changes,
            summary,
            warnings: Vec::new(),
            notes: Vec::new(),
            estimate: None,
            fleet_estimate: None,
            usd_a_month_before: None,
            only: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.summary == Summary::default()
    }

    /// Whether there is something to execute: a change, or only a wait.
    pub fn has_steps(&self) -> bool {
        self.changes.iter().any(|change| !change.steps.is_empty() || !change.removals.is_empty())
    }

    /// Whether anything would change; blocked changes do not count.
    pub fn has_work(&self) -> bool {
        Summary { blocked: 0, ..self.summary } != Summary::default()
    }
}

impl<S> Change<S> {
    /// The same change in terms of a larger set of steps: a resource's own become the plan's.
    pub fn lift<T: From<S>>(self) -> Change<T> {
        let Self { address, name, action, description, reason, remedy, attributes, steps, removals } = self;
        let lift = |steps: Vec<S>| steps.into_iter().map(T::from).collect();
        let (steps, removals) = (lift(steps), lift(removals));
        Change { address, name, action, description, reason, remedy, attributes, steps, removals }
    }

    /// A change that does nothing yet: attributes and steps are added to it, then [`Change::settle`] decides what it is.
    pub fn new(address: Address, name: &str) -> Self {
        Self {
            address,
            name: name.to_owned(),
            action: Action::None,
            description: None,
            reason: None,
            remedy: None,
            attributes: Vec::new(),
            steps: Vec::new(),
            removals: Vec::new(),
        }
    }

    pub fn blocked(address: Address, name: &str, reason: impl Into<String>) -> Self {
        Self { action: Action::Blocked, reason: Some(reason.into()), ..Self::new(address, name) }
    }

    /// Records an attribute if it differs, and returns whether it does.
    pub fn compare<B, A>(&mut self, name: &str, before: &B, after: &A) -> bool
    where
        B: Serialize + ?Sized,
        A: Serialize + ?Sized,
    {
        let (before, after) = (json(before), json(after));
        let differs = before != after;
        if differs {
            self.attributes.push(Attribute { name: name.to_owned(), before, after, after_unknown: false });
        }
        differs
    }

    /// Records an attribute of something that does not exist yet.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, after: &T) {
        let after = json(after);
        if !after.is_null() {
            self.attributes.push(Attribute { name: name.to_owned(), before: Value::Null, after, after_unknown: false });
        }
    }

    /// Records an attribute whose value AWS will choose.
    pub fn unknown(&mut self, name: &str, before: Option<&str>) {
        let before = json(&before);
        self.attributes.push(Attribute { name: name.to_owned(), before, after: Value::Null, after_unknown: true });
    }

    /// Records an attribute that will be removed.
    pub fn removed<T: Serialize + ?Sized>(&mut self, name: &str, before: &T) {
        let before = json(before);
        self.attributes.push(Attribute { name: name.to_owned(), before, after: Value::Null, after_unknown: false });
    }

    /// Adds a call that creates or updates.
    pub fn step(&mut self, step: impl Into<S>) {
        self.steps.push(step.into());
    }

    /// Adds a call that deletes or releases.
    pub fn removal(&mut self, step: impl Into<S>) {
        self.removals.push(step.into());
    }

    /// Decides the action: an update if anything differs, otherwise none.
    #[must_use]
    pub fn settle(mut self) -> Self {
        debug_assert_eq!(
            self.attributes.is_empty(),
            self.steps.is_empty() && self.removals.is_empty(),
            "{}: what is shown is what is done",
            self.address
        );
        self.action = if self.attributes.is_empty() { Action::None } else { Action::Update };
        self
    }

    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }
}

/// Called with our own types only (maps with string keys, lists, strings, numbers), which always serialise.
fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
