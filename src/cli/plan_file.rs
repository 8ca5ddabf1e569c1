//! `plan --out FILE` and `apply FILE`: what was reviewed is applied, or refused when the account or thumb.toml has changed
//! since.
//!
//! The file has the plan as JSON and what it was asked for. `apply` plans again, with what was asked for, and compares: equal
//! plans do equal things, because the steps of a plan follow from what it shows.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::session::PlanRequest;
use crate::error::{Failure, Result};
use crate::stack::resources::instance::Wait;
use crate::stack::{Plan, Selection, Target};
use crate::version;

/// The version of the file.
const VERSION: u32 = 1;
/// A plan of a stack with fifty instances has some hundred kilobytes.
const MAX_BYTES: u64 = 16 << 20;
/// What makes two plans the same: not their notes and costs.
const COMPARED: [&str; 5] = ["purpose", "stack", "account", "region", "changes"];

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    thumb_plan: u32,
    /// The build that made it.
    thumb: String,
    request: Request,
    plan: Value,
}

/// A [`PlanRequest`] in the words of the command line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    target: Vec<String>,
    exclude: Vec<String>,
    adopt: Vec<String>,
    replace: Vec<String>,
    upgrade: bool,
}

/// A plan from a file.
pub struct SavedPlan {
    pub request: PlanRequest,
    plan: Value,
}

/// Writes a plan and its request to a file, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, request: &PlanRequest, plan: &Plan) -> Result<()> {
    let fail = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(format!("cannot write the plan to {}", path.display())).caused_by(error)
    };
    let words = |targets: &[Target]| targets.iter().map(ToString::to_string).collect();
    let PlanRequest { selection: Selection { targets, excluded }, adopt, replace, upgrade, wait: _ } = request;
    let file = PlanFile {
        thumb_plan: VERSION,
        thumb: version::version(),
        request: Request {
            target: words(targets),
            exclude: words(excluded),
            adopt: words(adopt),
            replace: words(replace),
            upgrade: *upgrade,
        },
        plan: serde_json::to_value(plan).map_err(|error| fail(&error))?,
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory).map_err(|error| fail(&error))?;
    serde_json::to_writer_pretty(&mut whole, &file).map_err(|error| fail(&error))?;
    whole.write_all(b"\n").map_err(|error| fail(&error))?;
    whole.persist(path).map_err(|error| fail(&error))?;
    Ok(())
}

/// Reads a plan that [`save`] wrote. `wait` is the reader's to choose.
///
/// # Errors
/// Exit code 2: it cannot be read, is none, or another build of thumb made it.
pub fn load(path: &Path, wait: Wait) -> Result<SavedPlan> {
    let shown = path.display();
    let read = || -> std::io::Result<String> {
        if std::fs::metadata(path)?.len() > MAX_BYTES {
            return Err(std::io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
        }
        std::fs::read_to_string(path)
    };
    let text = read().map_err(|error| Failure::usage(format!("cannot read the plan {shown}")).caused_by(&error))?;
    let file: PlanFile = serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{shown} is not a plan of thumb")).caused_by(&error).hint(again(path))
    })?;
    let PlanFile { thumb_plan, thumb, request, plan } = file;
    let own = version::version();
    if thumb_plan != VERSION || thumb != own {
        return Err(Failure::usage(format!("{shown} was made by thumb {thumb}, and this is thumb {own}"))
            .hint(format!("apply it with that build, or plan again: {}", again(path))));
    }
    let targets = |words: Vec<String>| {
        let parsed: Result<Vec<Target>, String> = words.iter().map(|word| word.parse()).collect();
        parsed.map_err(|why| Failure::usage(format!("{shown} is damaged: {why}")).hint(again(path)))
    };
    let Request { target, exclude, adopt, replace, upgrade } = request;
    let selection = Selection { targets: targets(target)?, excluded: targets(exclude)? };
    let request = PlanRequest { selection, adopt: targets(adopt)?, replace: targets(replace)?, upgrade, wait };
    Ok(SavedPlan { request, plan })
}

fn again(path: &Path) -> String {
    format!("`thumb plan --out {}` makes a new one", path.display())
}

impl SavedPlan {
    /// Fails unless this is what would be done now.
    ///
    /// # Errors
    /// The account or thumb.toml has changed since; the failure names what differs.
    pub fn check(&self, now: &Plan, path: &Path) -> Result<()> {
        let now = serde_json::to_value(now)
            .map_err(|error| Failure::bug("cannot write the plan as JSON").caused_by(&error))?;
        let differs = COMPARED.iter().any(|field| self.plan[*field] != now[*field]);
        if !differs {
            return Ok(());
        }
        let list = |plan: &Value| plan["changes"].as_array().cloned().unwrap_or_default();
        let (before, after) = (list(&self.plan), list(&now));
        let changed = |one: &[Value], other: &[Value]| -> Vec<String> {
            let news = one.iter().filter(|change| !other.contains(change));
            news.filter_map(|change| change["address"].as_str().map(str::to_owned)).collect()
        };
        let mut addresses = changed(&before, &after);
        addresses.extend(changed(&after, &before));
        addresses.sort();
        addresses.dedup();
        let what = match addresses.is_empty() {
            true => "the stack, account or region is another".to_owned(),
            false => format!("other changes are needed now: {}", addresses.join(", ")),
        };
        Err(Failure::new(format!("nothing was applied: {} is out of date; {what}", path.display()))
            .hint(format!("review them: {}", again(path))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::address::Address;
    use crate::stack::change::{Action, Change, Purpose};

    fn plan(name: &str, action: Action, note: &str) -> Plan {
        let mut change = Change::new(Address::Queue, name);
        change.set("retention", "4d");
        let changes = vec![change.action(action)];
        Plan { notes: vec![note.to_owned()], ..Plan::new(Purpose::Apply, "cats", "123456789012", "us-east-1", changes) }
    }

    fn request() -> PlanRequest {
        PlanRequest {
            selection: Selection {
                targets: vec!["queue".parse().unwrap()],
                excluded: vec!["trigger.2".parse().unwrap()],
            },
            adopt: vec!["role".parse().unwrap()],
            replace: vec!["instance.1".parse().unwrap()],
            upgrade: true,
            wait: Wait::ForAll,
        }
    }

    #[test]
    fn a_plan_comes_back_with_what_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        save(&path, &request(), &plan("cats", Action::Create, "")).unwrap();
        let saved = load(&path, Wait::ForAll).unwrap();
        assert_eq!(saved.request, request());
        saved.check(&plan("cats", Action::Create, "another note"), &path).unwrap();
        for changed in [plan("cats", Action::Update, ""), plan("dogs", Action::Create, "")] {
            let error = saved.check(&changed, &path).unwrap_err().to_string();
            assert!(error.starts_with("nothing was applied: "), "{error}");
            assert!(error.contains("is out of date; other changes are needed now: queue"), "{error}");
        }
    }

    #[test]
    fn what_is_no_plan_of_this_build_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let refused = || load(&path, Wait::Never).err().unwrap().to_string();
        assert!(refused().starts_with("cannot read the plan"), "{}", refused());
        std::fs::write(&path, "{\"version\": 1}").unwrap();
        assert!(refused().contains("is not a plan of thumb"), "{}", refused());
        save(&path, &request(), &plan("cats", Action::Create, "")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(env!("CARGO_PKG_VERSION"), "9.9.9")).unwrap();
        assert!(refused().contains("was made by thumb 9.9.9"), "{}", refused());
        std::fs::write(&path, text.replace("trigger.2", "nothing.2")).unwrap();
        assert!(refused().contains("is damaged: there is no target"), "{}", refused());
    }
}
