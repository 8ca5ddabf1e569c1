//! `[scaling]`: a group of instances that grows with the queue, instead of `count` in `[instance]`.

use super::reader::Section;
use super::{names, narrow};

/// Instances of a group, by default at most as many as SQS and S3 serve without a word to AWS.
const MAX_INSTANCES: u64 = 1_000;
/// Auto Scaling: instance types of a group's mixed instances policy (API LaunchTemplate, `Overrides`).
const MAX_TYPES: usize = 40;
/// SQS publishes its metrics once a minute, so that nothing shorter can be kept.
const LATENCY_S: std::ops::RangeInclusive<u64> = 60..=86_400;

/// How the fleet follows the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    pub min: u32,
    pub max: u32,
    /// How long a request may wait in the queue while the fleet is as large as it should be.
    pub acceptable_latency_s: u32,
    /// Whether instances are Spot instances; otherwise on-demand.
    pub spot: bool,
    /// Empty: those that thumb knows for the binary's CPU.
    pub types: Vec<String>,
}

pub fn read(mut section: Section<'_>) -> Scaling {
    let (min_at, types_at) = (section.at("min"), section.at("types"));
    let scaling = Scaling {
        min: narrow(section.integer("min", 0..=MAX_INSTANCES), 0),
        max: narrow(section.integer("max", 1..=MAX_INSTANCES), 10),
        acceptable_latency_s: narrow(section.seconds("acceptable_latency", LATENCY_S), 60),
        spot: section.boolean("spot").unwrap_or(true),
        types: section
            .list("types", MAX_TYPES, |name| names::instance_type(name).map(|()| name.to_owned()))
            .unwrap_or_default(),
    };
    if let (Some(at), true) = (min_at, scaling.min > scaling.max) {
        let Scaling { min, max, .. } = scaling;
        section.mistakes().add(at, format!("`min` in [scaling] is {min}, more than `max`, {max}"));
    }
    let twice = scaling.types.iter().enumerate().find(|(at, name)| scaling.types[..*at].contains(name));
    if let (Some(at), Some((_, name))) = (types_at, twice) {
        section.mistakes().add(at, format!("`types` in [scaling] names {name} twice"));
    }
    section.finish();
    scaling
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("name = \"cats\"\n{text}"), "thumb.toml").map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_group_takes_the_place_of_numbered_instances() {
        let config = parse("[scaling]").unwrap();
        let scaling = config.scaling.unwrap();
        assert_eq!((scaling.min, scaling.max, scaling.acceptable_latency_s), (0, 10, 60));
        assert!(scaling.spot && scaling.types.is_empty());
        assert_eq!(config.instance.count, 0, "no numbered instances beside a group");
        assert_eq!(parse("").unwrap().scaling, None);
    }

    #[test]
    fn what_excludes_each_other_is_named() {
        let error = parse("[instance]\ncount = 2\ntype = \"t3.small\"\n[scaling]\nmin = 3\nmax = 2").unwrap_err();
        insta::assert_snapshot!(error);
        let error =
            parse("[scaling]\ntypes = [\"c7g.large\", \"c7g.large\"]\nacceptable_latency = \"5s\"").unwrap_err();
        insta::assert_snapshot!(error);
    }
}
