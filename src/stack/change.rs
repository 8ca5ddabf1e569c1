//! The plan: what would change in the account, as data. It is made by `diff`, printed by `render` or as JSON, and the
//! very same value is then applied. Nothing in here calls AWS.

use serde::Serialize;
use serde_json::Value;

use super::address::Address;
use super::cost;

/// The version of the plan's JSON; raised when a field changes its meaning or goes.
pub const JSON_VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    None,
    Create,
    Update,
    /// Made anew; the old one goes when the new one is there.
    Replace,
    Delete,
    /// Something of this name is there that is not ours: it is left alone, and so is all that needs it.
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
    /// The command that does such a plan.
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
    /// `null`: not there before.
    pub before: Value,
    /// `null`: not there after, or not known yet.
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
    /// Why it is replaced, blocked or adopted.
    pub reason: Option<String>,
    pub attributes: Vec<Attribute>,
    /// The calls that make or alter it, in order.
    #[serde(skip)]
    pub up: Vec<S>,
    /// The calls that take it (or what it replaces) away; they wait for what depends on it.
    #[serde(skip)]
    pub down: Vec<S>,
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

/// Read back from its JSON in tests only: a plan from a file has lost its steps, and must not be taken for one that
/// can be applied.
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
    /// What is worth saying about the stack besides, each a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Of the declared instances; none when there are none, or when they are not planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<cost::Estimate>,
}

impl<S> Plan<S> {
    /// Without notes, an estimate and where the region is set.
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
            notes: Vec::new(),
            estimate: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.summary == Summary::default()
    }

    /// Whether there is something to do: a change, or only something to wait for.
    pub fn has_steps(&self) -> bool {
        self.changes.iter().any(|change| !change.up.is_empty() || !change.down.is_empty())
    }

    /// Whether there is anything to do: what is blocked is not done.
    pub fn has_work(&self) -> bool {
        Summary { blocked: 0, ..self.summary } != Summary::default()
    }
}

impl<S> Change<S> {
    /// The same change in terms of a larger set of steps: a resource's own become the plan's.
    pub fn lift<T: From<S>>(self) -> Change<T> {
        let Self { address, name, action, reason, attributes, up, down } = self;
        let lift = |steps: Vec<S>| steps.into_iter().map(T::from).collect();
        Change { address, name, action, reason, attributes, up: lift(up), down: lift(down) }
    }

    /// A change that does nothing yet: attributes and steps are added to it, then [`Change::settle`] decides what it is.
    pub fn new(address: Address, name: &str) -> Self {
        Self {
            address,
            name: name.to_owned(),
            action: Action::None,
            reason: None,
            attributes: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    pub fn blocked(address: Address, name: &str, reason: impl Into<String>) -> Self {
        Self { action: Action::Blocked, reason: Some(reason.into()), ..Self::new(address, name) }
    }

    /// Notes an attribute when it differs; says whether it does.
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

    /// Notes an attribute of something that is not there yet.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, after: &T) {
        let after = json(after);
        if !after.is_null() {
            self.attributes.push(Attribute { name: name.to_owned(), before: Value::Null, after, after_unknown: false });
        }
    }

    /// Notes an attribute that AWS will choose.
    pub fn unknown(&mut self, name: &str, before: Option<&str>) {
        let before = json(&before);
        self.attributes.push(Attribute { name: name.to_owned(), before, after: Value::Null, after_unknown: true });
    }

    /// Notes an attribute of something that goes.
    pub fn lose<T: Serialize + ?Sized>(&mut self, name: &str, before: &T) {
        let before = json(before);
        self.attributes.push(Attribute { name: name.to_owned(), before, after: Value::Null, after_unknown: false });
    }

    pub fn up(&mut self, step: impl Into<S>) {
        self.up.push(step.into());
    }

    pub fn down(&mut self, step: impl Into<S>) {
        self.down.push(step.into());
    }

    /// An update when anything differs, else nothing.
    #[must_use]
    pub fn settle(mut self) -> Self {
        debug_assert_eq!(
            self.attributes.is_empty(),
            self.up.is_empty(),
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

/// Only types of ours come here: maps with string keys, lists, strings, numbers. They cannot fail to serialise.
fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
