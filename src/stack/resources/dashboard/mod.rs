//! The dashboard (CloudWatch): the queue, the workers' numbers, the group and the alarms on one page.

mod body;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cloudwatch_tags::{sdk_tags, tag};
use super::{Found, Tags, ok_if_gone, optional, own_tags, release_tags, tag_changes, wanted_tags};
use crate::aws::{CallError, CallResult, Reader, Writer};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};
use crate::text::hex;
pub use body::{Basis, body};

/// Hexadecimal digits of a digest that a plan shows.
const DIGITS: usize = 16;

/// A dashboard as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Dashboard {
    pub name: String,
    /// CloudWatch's "Dashboard body structure and syntax".
    pub body: Value,
    pub tags: Tags,
}

/// A dashboard as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub arn: String,
    /// Null: no JSON.
    pub body: Value,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Tags can be given at the creation only (API PutDashboard).
    Put {
        name: String,
        body: String,
        new: Option<Tags>,
    },
    Tag {
        arn: String,
        set: Tags,
        remove: Vec<String>,
    },
    Delete {
        name: String,
    },
}

/// # Errors
/// A call fails.
pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, CallError> {
    let result = aws.get_dashboard().dashboard_name(name).send().await;
    let Some(out) = optional(result.action("cloudwatch:GetDashboard"))? else { return Ok(Found::Absent) };
    let arn = out.dashboard_arn.unwrap_or_default();
    let result = aws.list_tags_for_resource().resource_arn(&arn).send().await;
    let Some(tags) = optional(result.action("cloudwatch:ListTagsForResource"))? else { return Ok(Found::Absent) };
    let tags = tags.tags.unwrap_or_default().into_iter();
    let tags: Tags = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect();
    let body = serde_json::from_str(&out.dashboard_body.unwrap_or_default()).unwrap_or_default();
    let observed = Observed { arn, body, tags: own_tags(&tags) };
    Ok(Found::by_tags(stack, &tags, &format!("the dashboard {name}"), observed))
}

pub fn diff(desired: &Dashboard, found: &Found<Observed>) -> Change<Step> {
    let Dashboard { name, body, tags } = desired;
    let mut change = Change::new(Address::Dashboard, name);
    let put = |new: Option<Tags>| Step::Put { name: name.clone(), body: body.to_string(), new };
    let observed = match found {
        Found::Foreign(foreign) => return Change::blocked(Address::Dashboard, name, &foreign.reason),
        Found::Absent => {
            change.set("widgets", &titles(body));
            change.set("tags", tags);
            change.step(put(Some(tags.clone())));
            return change.action(Action::Create);
        }
        Found::Ours(observed) => observed,
    };
    if observed.body != *body {
        change.compare("widgets", &titles(&observed.body), &titles(body));
        change.compare("body", &digest(&observed.body), &digest(body));
        change.step(put(None));
    }
    let wanted = wanted_tags(tags, &observed.tags);
    if change.compare("tags", &observed.tags, &wanted) {
        let (set, remove) = tag_changes(&observed.tags, &wanted);
        change.step(Step::Tag { arn: observed.arn.clone(), set, remove });
    }
    change.settle()
}

/// The titles of its widgets.
fn titles(body: &Value) -> Vec<&str> {
    let widgets = body["widgets"].as_array().into_iter().flatten();
    widgets.filter_map(|widget| widget["properties"]["title"].as_str()).collect()
}

/// Of a body as JSON: its text may have the same fields in another order.
fn digest(body: &Value) -> String {
    format!("sha256:{}…", &hex(&Sha256::digest(body.to_string()))[..DIGITS])
}

pub fn delete(name: &str) -> Change<Step> {
    let mut change = Change::new(Address::Dashboard, name);
    change.removed("name", name);
    change.removal(Step::Delete { name: name.to_owned() });
    change.action(Action::Delete)
}

/// Releases an adopted dashboard.
pub fn release(name: &str, observed: &Observed, configured: &Tags) -> Change<Step> {
    let step = |set, remove| Step::Tag { arn: observed.arn.clone(), set, remove };
    release_tags(Address::Dashboard, name, &observed.tags, configured, step)
}

pub async fn run(step: &Step, aws: &Writer) -> Result<(), CallError> {
    let cloudwatch = &aws.clients.cloudwatch;
    match step {
        Step::Put { name, body, new } => {
            let request = cloudwatch.put_dashboard().dashboard_name(name).dashboard_body(body);
            let request = request.set_tags(new.as_ref().map(sdk_tags));
            request.send().await.map(drop).action("cloudwatch:PutDashboard")
        }
        Step::Tag { arn, set, remove } => tag(arn, set, remove, aws).await,
        Step::Delete { name } => {
            let result = cloudwatch.delete_dashboards().dashboard_names(name).send().await;
            ok_if_gone(result.action("cloudwatch:DeleteDashboards"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stack::resources::STACK_TAG;

    fn desired() -> Dashboard {
        let tags = Tags::from([(STACK_TAG.into(), "cats".into())]);
        Dashboard { name: "thumb-cats-us-east-1".into(), body: json!({ "widgets": [{ "x": 0, "y": 1 }] }), tags }
    }

    fn built(body: &str) -> Observed {
        let body = serde_json::from_str(body).unwrap_or_default();
        Observed { arn: "arn:aws:cloudwatch::1:dashboard/thumb-cats-us-east-1".into(), body, tags: desired().tags }
    }

    #[test]
    fn a_dashboard_is_compared_as_json() {
        let plan = |body: &str| diff(&desired(), &Found::Ours(built(body)));
        assert_eq!(plan(r#"{ "widgets": [ {"y":1,  "x":0} ] }"#).action, Action::None);
        for other in [r#"{"widgets":[]}"#, "no JSON"] {
            let change = plan(other);
            assert!(matches!(&change.steps[..], [Step::Put { new: None, .. }]), "{change:?}");
        }
        let change = diff(&desired(), &Found::Absent);
        assert!(matches!(&change.steps[..], [Step::Put { new: Some(tags), .. }] if tags.contains_key(STACK_TAG)));
    }
}
