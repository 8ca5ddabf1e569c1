//! The changes of `[logs]`, `[notify]` and `[dashboard]`: the log group, the topic, its alarms and the dashboard.

use super::{lifted, planned_removal};
use crate::config::Config;
use crate::stack::address::Address;
use crate::stack::desired::Desired;
use crate::stack::observe::Observed;
use crate::stack::operation::Change;
use crate::stack::resources::{Found, alarm, dashboard, is_adopted, log_group, topic};

/// What `apply` would do. What is not declared goes, if it is the stack's.
pub fn changes(config: &Config, desired: &Desired, observed: &Observed) -> Vec<Change> {
    let Desired { stack, log_group, topic, alerts, dashboard, .. } = desired;
    let mut changes: Vec<Change> = Vec::new();
    changes.extend(log_group.as_ref().map(|group| log_group::diff(group, &observed.log_group).lift()));
    changes.extend(topic.as_ref().map(|topic| topic::diff(topic, &observed.topic).lift()));
    let blocked = topic.is_some() && matches!(observed.topic, Found::Foreign(_));
    changes.extend(alerts.iter().map(|alarm| match blocked {
        true => Change::blocked(alarm.does.address(), &alarm.name, "depends on topic, which is blocked"),
        false => alarm::diff(alarm, observed.alarms.get(&alarm.does.address()), None).lift(),
    }));
    changes.extend(lifted(alarm::leftovers(stack, alerts, &observed.alarms, alarm::tells)));
    changes.extend(dashboard.as_ref().map(|dashboard| dashboard::diff(dashboard, &observed.dashboard).lift()));
    let declared = |address: Address| match address {
        Address::LogGroup => log_group.is_some(),
        Address::Topic => topic.is_some(),
        _ => dashboard.is_some(),
    };
    let gone = removals(config, observed, false).into_iter().filter(|change| !declared(change.address));
    changes.extend(gone);
    changes
}

/// The log group, the topic and the dashboard go; those of somebody else are named by `destroy` only. The alarms go with the group's.
pub fn removals(config: &Config, observed: &Observed, destroy: bool) -> Vec<Change> {
    let tags = &config.tags;
    let (group, topic) = (config.log_group(), config.topic());
    let dashboard = config.dashboard_name(&observed.location.region);
    let group =
        planned_removal(Address::LogGroup, &group, &observed.log_group, |found| match is_adopted(&found.tags) {
            true => log_group::release(&group, found, tags),
            false => log_group::delete(&group, found),
        });
    let topic = planned_removal(Address::Topic, &topic, &observed.topic, |found| match is_adopted(&found.tags) {
        true => topic::release(&topic, found, tags),
        false => topic::delete(&topic, found),
    });
    let dashboard =
        planned_removal(Address::Dashboard, &dashboard, &observed.dashboard, |found| match is_adopted(&found.tags) {
            true => dashboard::release(&dashboard, found, tags),
            false => dashboard::delete(&dashboard),
        });
    let shown = [
        (group, observed.log_group.ours().is_some()),
        (topic, observed.topic.ours().is_some()),
        (dashboard, observed.dashboard.ours().is_some()),
    ];
    shown.into_iter().filter(|(_, ours)| destroy || *ours).filter_map(|(change, _)| change).collect()
}
