//! What a fleet that follows the queue costs: while it sleeps, at a steady rate, for a spike, and for a million pictures beside
//! Lambda with sharp. Pure.

use serde::Serialize;

use super::{GP3_GIB_MONTH, HOURS, INSTANCE_HOUR, IPV4_HOUR, PRICES_OF, from_to};
use crate::stack::capacity::{backlog_per_instance, pictures_a_second};

/// A metric that an alarm looks at, in dollars a month, standard resolution (CloudWatch pricing; the first ten are free).
const ALARM_METRIC_MONTH: f64 = 0.1;
/// How long an instance boots, and how long it stays when there is nothing to do (`scaling_rules`), in seconds.
const AROUND_WORK_S: f64 = 75.0 + 900.0;
/// The spike of the README: pictures in a minute.
const SPIKE: f64 = 10_000.0;

/// Lambda: dollars for a GB and second, and for a request (Lambda pricing, x86_64, us-east-1).
const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;
const LAMBDA_REQUEST: f64 = 0.000_000_2;
/// The memory with which a function has one CPU (Lambda developer guide, "Memory"), and how long it then takes to fetch a 12 Mpx
/// photograph, make three thumbnails with sharp (30 ms each, docs/internals/engine.md) and store them: 60 + 90 + 100 ms.
const LAMBDA_GB: f64 = 1.769;
const LAMBDA_SECONDS: f64 = 0.25;

/// What is billed for a group.
#[derive(Clone, Copy, Debug)]
pub struct BilledFleet<'a> {
    /// All that the group chooses from.
    pub types: &'a [String],
    /// Of the smallest.
    pub cpus: u32,
    pub min: u32,
    pub max: u32,
    pub acceptable_latency_s: u32,
    /// That alarms look at.
    pub alarm_metrics: u32,
    pub volume_gib: u32,
    pub public_ip: bool,
}

/// An estimate without requests, traffic and stored thumbnails.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct FleetEstimate {
    /// The type whose on-demand price was taken: an upper bound, where instances are Spot instances.
    pub instance_type: String,
    /// While nothing is to do.
    pub idle_usd_a_month: f64,
    /// At a picture a second, day and night.
    pub steady_usd_a_month: f64,
    /// For 10,000 pictures in a minute.
    pub spike_usd: f64,
    /// For a million pictures, without requests to S3.
    pub million_usd: f64,
    /// The same with Lambda and sharp.
    pub million_with_lambda_usd: f64,
    pub prices_of: String,
}

impl FleetEstimate {
    /// `None`: the price of none of the types is known.
    pub fn new(billed: &BilledFleet<'_>) -> Option<Self> {
        let BilledFleet { types, cpus, min, max, acceptable_latency_s, alarm_metrics, volume_gib, public_ip } = *billed;
        let (name, hour) = types.iter().find_map(|name| INSTANCE_HOUR.iter().find(|(known, _)| known == name))?;
        let address = if public_ip { IPV4_HOUR } else { 0.0 };
        let hour = hour + address + GP3_GIB_MONTH * f64::from(volume_gib) / HOURS;
        let alarms = ALARM_METRIC_MONTH * f64::from(alarm_metrics);
        let rate = pictures_a_second(cpus);
        let backlog = backlog_per_instance(acceptable_latency_s, cpus);
        let instances = (SPIKE / backlog).ceil().min(f64::from(max.max(1)));
        let spike_hours = (SPIKE / rate + instances * AROUND_WORK_S) / 3_600.0;
        let usd = |usd: f64| (usd * 100.0).round() / 100.0;
        Some(Self {
            instance_type: (*name).to_owned(),
            idle_usd_a_month: usd(f64::from(min) * hour * HOURS + alarms),
            steady_usd_a_month: usd(f64::from(min.max(1)) * hour * HOURS + alarms),
            spike_usd: usd(spike_hours * hour),
            million_usd: usd(1e6 / rate / 3_600.0 * hour),
            million_with_lambda_usd: usd(1e6 * (LAMBDA_GB * LAMBDA_SECONDS * LAMBDA_GB_SECOND + LAMBDA_REQUEST)),
            prices_of: PRICES_OF.to_owned(),
        })
    }

    /// As sentences, beside what runs now, if its price is known.
    pub fn sentence(&self, before: Option<f64>) -> String {
        let Self {
            instance_type,
            idle_usd_a_month,
            steady_usd_a_month,
            spike_usd,
            million_usd,
            million_with_lambda_usd,
            prices_of,
        } = self;
        format!(
            "Cost: {} with nothing to do, ${steady_usd_a_month:.2} a month at a picture \
             a second, ${spike_usd:.2} for 10,000 pictures in a minute; a million pictures for ${million_usd:.2}, and with Lambda \
             and sharp for ${million_with_lambda_usd:.2}. Plus requests, traffic and storage (list prices of {prices_of}, \
             {instance_type} on demand: Spot is cheaper).",
            from_to(before, *idle_usd_a_month)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn billed(types: &[String]) -> BilledFleet<'_> {
        BilledFleet {
            types,
            cpus: 2,
            min: 0,
            max: 10,
            acceptable_latency_s: 60,
            alarm_metrics: 11,
            volume_gib: 8,
            public_ip: true,
        }
    }

    #[test]
    fn a_fleet_that_sleeps_costs_its_alarms() {
        let types = ["c7i.large".to_owned()];
        let estimate = FleetEstimate::new(&billed(&types)).unwrap();
        assert_eq!(estimate.idle_usd_a_month, 1.1);
        // (0.08925 + 0.005) * 730 + 0.64 + 1.10
        assert_eq!(estimate.steady_usd_a_month, 70.54);
        // 200 s of work and four times 975 s around it, at $0.0951 an hour.
        assert_eq!(estimate.spike_usd, 0.11);
        // 20,000 s, at 50 a second.
        assert_eq!(estimate.million_usd, 0.53);
        assert_eq!(estimate.million_with_lambda_usd, 7.57);
        let min = FleetEstimate::new(&BilledFleet { min: 2, public_ip: false, ..billed(&types) }).unwrap();
        // 2 * (0.08925 * 730 + 0.64) + 1.10
        assert_eq!(min.idle_usd_a_month, 132.69);
        insta::assert_snapshot!(estimate.sentence(None));
    }

    #[test]
    fn the_first_type_with_a_price_stands_for_all() {
        let types = ["c99.large".to_owned(), "c7g.large".to_owned()];
        assert_eq!(FleetEstimate::new(&billed(&types)).unwrap().instance_type, "c7g.large");
        assert_eq!(FleetEstimate::new(&billed(&types[..1])), None);
    }
}
