//! The first reports of the workers on a group's instances.

use std::collections::HashMap;

use super::{Member, Observed};
use crate::aws::{CallError, Writer};
use crate::stack::resources::StepContext;
use crate::stack::resources::instance::{Seen, Watch};

/// The workers on the group's instances, whose first reports are awaited.
#[derive(Debug, Default)]
pub struct Workers {
    watched: HashMap<String, Watched>,
}

#[derive(Debug)]
enum Watched {
    Reported,
    Boots(Watch),
}

impl Workers {
    /// Looks at the instances of this version, or at all. Returns why one of them does not work, if one does not.
    pub async fn look(
        &mut self,
        observed: &Observed,
        version: Option<i64>,
        bucket: &str,
        aws: &Writer,
        context: &StepContext<'_>,
    ) -> Result<Option<String>, CallError> {
        let watched = |member: &&Member| !member.is_leaving() && (version.is_none() || member.version == version);
        let members: Vec<&str> = observed.members.iter().filter(watched).map(|member| member.id.as_str()).collect();
        // Auto Scaling replaces what has gone, a Spot instance for one.
        self.watched.retain(|id, _| members.contains(&id.as_str()));
        for id in members {
            let watched = self.watched.entry(id.to_owned()).or_insert_with(|| Watched::Boots(Watch::new(id, false)));
            let Watched::Boots(watch) = watched else { continue };
            match watch.look(bucket, aws, context).await? {
                Seen::Reported => *watched = Watched::Reported,
                Seen::Nothing | Seen::Gone(_) => {}
                Seen::Failed(why) => {
                    return Ok(Some(format!("the worker's first report: {why}. {}", watch.console_hint())));
                }
            }
        }
        Ok(None)
    }

    pub fn all_reported(&self) -> bool {
        self.watched.values().all(|watched| matches!(watched, Watched::Reported))
    }
}
