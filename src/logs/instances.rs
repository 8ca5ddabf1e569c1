//! The stack's instances by number and by ID, and their consoles.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;

use crate::aws::{CallError, CallResult, Clients};
use crate::stack::resources::STACK_TAG;
use crate::stack::resources::instance::INDEX_TAG;

/// Pages of DescribeInstances, a thousand instances each.
const MAX_PAGES: usize = 10;

/// How a user names an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `2`, `instance.2`, `worker-2`.
    Number(u32),
    /// An instance's ID, or the name of a host where a worker runs.
    Stream(String),
}

impl Name {
    pub fn parse(text: &str) -> Self {
        let number = text.strip_prefix("instance.").or_else(|| text.strip_prefix("worker-")).unwrap_or(text);
        match number.parse() {
            Ok(number) if number > 0 => Self::Number(number),
            _ => Self::Stream(text.to_owned()),
        }
    }
}

/// The stack's instances, those that were terminated in the last hour included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instances {
    /// The numbers of those that have one, and when they were launched, by ID.
    by_id: BTreeMap<String, (Option<u32>, i64)>,
}

impl Instances {
    /// # Errors
    /// AWS does not answer, or does not allow it.
    pub async fn read(clients: &Clients, stack: &str) -> Result<Self, CallError> {
        let ours = Filter::builder().name(format!("tag:{STACK_TAG}")).values(stack).build();
        let mut by_id = BTreeMap::new();
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let request = clients.ec2.describe_instances().filters(ours.clone()).set_next_token(next);
            let out = request.send().await.action("ec2:DescribeInstances")?;
            next = out.next_token;
            let reservations = out.reservations.unwrap_or_default().into_iter();
            for instance in reservations.flat_map(|reservation| reservation.instances.unwrap_or_default()) {
                let tag = instance.tags().iter().find(|tag| tag.key() == Some(INDEX_TAG));
                let number = tag.and_then(|tag| tag.value()?.parse().ok());
                let launched_s = instance.launch_time().map_or(0, |time| time.secs());
                by_id.extend(instance.instance_id.map(|id| (id, (number, launched_s))));
            }
            if next.is_none() {
                break;
            }
        }
        Ok(Self { by_id })
    }

    /// `worker-1`; an instance without a number by its ID, as a host by its name.
    pub fn name(&self, stream: &str) -> String {
        match self.by_id.get(stream) {
            Some((Some(number), _)) => format!("worker-{number}"),
            _ => stream.to_owned(),
        }
    }

    /// The ID of the instance that is meant: of several with one number, the newest.
    ///
    /// # Errors
    /// There is none: a sentence that names those that there are.
    pub fn find(&self, name: &Name) -> Result<String, String> {
        let number = match name {
            Name::Stream(stream) => return Ok(stream.clone()),
            Name::Number(number) => number,
        };
        let with = self.by_id.iter().filter(|(_, (found, _))| *found == Some(*number));
        with.max_by_key(|(_, (_, launched_s))| *launched_s).map(|(id, _)| id.clone()).ok_or_else(|| {
            let known: Vec<String> = self.by_id.keys().map(|id| format!("{} ({id})", self.name(id))).collect();
            match known.is_empty() {
                true => format!("there is no instance {number}: the stack has none"),
                false => format!("there is no instance {number}; the stack has {}", known.join(", ")),
            }
        })
    }

    /// The only instance that there is.
    pub fn only(&self) -> Option<&str> {
        if self.by_id.len() == 1 { self.by_id.keys().next().map(String::as_str) } else { None }
    }
}

/// What an instance has written to its console; empty in the first minutes.
///
/// # Errors
/// There is no such instance, or AWS does not answer.
pub async fn console(clients: &Clients, id: &str) -> Result<String, CallError> {
    let ask = |latest: bool| clients.ec2.get_console_output().instance_id(id).set_latest(latest.then_some(true));
    // Only Nitro instances return the current console; others that of some minutes ago (API GetConsoleOutput).
    let out = match ask(true).send().await {
        Ok(out) => out,
        Err(_) => ask(false).send().await.action("ec2:GetConsoleOutput")?,
    };
    let bytes = aws_smithy_types::base64::decode(out.output.unwrap_or_default()).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances() -> Instances {
        let of = |id: &str, number, launched_s| (id.to_owned(), (number, launched_s));
        Instances { by_id: BTreeMap::from([of("i-a", Some(1), 10), of("i-b", Some(1), 20), of("i-c", None, 5)]) }
    }

    #[test]
    fn an_instance_is_named_in_three_ways() {
        for text in ["2", "instance.2", "worker-2"] {
            assert_eq!(Name::parse(text), Name::Number(2), "{text}");
        }
        for text in ["i-0123", "laptop", "0", "instance.x"] {
            assert_eq!(Name::parse(text), Name::Stream(text.into()));
        }
    }

    #[test]
    fn a_number_is_the_newest_instance_that_has_it() {
        let instances = instances();
        assert_eq!(instances.find(&Name::Number(1)), Ok("i-b".into()));
        assert_eq!(instances.find(&Name::Stream("laptop".into())), Ok("laptop".into()));
        assert_eq!(
            instances.find(&Name::Number(3)),
            Err("there is no instance 3; the stack has worker-1 (i-a), worker-1 (i-b), i-c (i-c)".into())
        );
        assert_eq!(["i-a", "i-c", "laptop"].map(|stream| instances.name(stream)), ["worker-1", "i-c", "laptop"]);
        assert_eq!(instances.only(), None);
    }
}
