//! A rough monthly estimate for the declared instances, at the list prices of one region. Pure.

mod fleet;

use serde::Serialize;

use crate::config::Credits;
pub use fleet::{BilledFleet, FleetEstimate};

/// Hours in a month, as in the AWS pricing calculator.
const HOURS: f64 = 730.0;
/// Where and when the prices below were listed.
pub const PRICES_OF: &str = "us-east-1, 2025";
/// A public IPv4 address, in dollars an hour (VPC pricing, since February 2024).
const IPV4_HOUR: f64 = 0.005;
/// gp3 storage, in dollars a GiB and month (EBS pricing).
const GP3_GIB_MONTH: f64 = 0.08;

/// On-demand prices of Linux instances, in dollars an hour (EC2 on-demand pricing).
const INSTANCE_HOUR: [(&str, f64); 31] = [
    ("t2.nano", 0.0058),
    ("t2.micro", 0.0116),
    ("t2.small", 0.023),
    ("t2.medium", 0.0464),
    ("t2.large", 0.0928),
    ("t3.nano", 0.0052),
    ("t3.micro", 0.0104),
    ("t3.small", 0.0208),
    ("t3.medium", 0.0416),
    ("t3.large", 0.0832),
    ("t3.xlarge", 0.1664),
    ("t3a.nano", 0.0047),
    ("t3a.micro", 0.0094),
    ("t3a.small", 0.0188),
    ("t3a.medium", 0.0376),
    ("t3a.large", 0.0752),
    ("t4g.nano", 0.0042),
    ("t4g.micro", 0.0084),
    ("t4g.small", 0.0168),
    ("t4g.medium", 0.0336),
    ("t4g.large", 0.0672),
    ("m5.large", 0.096),
    ("m6i.large", 0.096),
    ("m7i.large", 0.1008),
    ("m6g.large", 0.077),
    ("m7g.large", 0.0816),
    ("c5.large", 0.085),
    ("c6i.large", 0.085),
    ("c7i.large", 0.08925),
    ("c6g.large", 0.068),
    ("c7g.large", 0.0725),
];

/// CPU that burstable instances with unlimited credits use above their baseline, in dollars a CPU and hour (EC2 on-demand
/// pricing, "T2/T3/T4g Unlimited Mode Pricing", Linux).
const SURPLUS_CPU_HOUR: f64 = 0.05;
const SURPLUS_CPU_HOUR_T4G: f64 = 0.04;

/// Of the burstable types: CPUs, and how much of each CPU is the baseline, in percent (EC2 user guide, "Key concepts for
/// burstable performance instances"). t3, t3a and t4g have the same.
const BASELINES_T3: [(&str, f64, f64); 7] = [
    ("nano", 2.0, 5.0),
    ("micro", 2.0, 10.0),
    ("small", 2.0, 20.0),
    ("medium", 2.0, 20.0),
    ("large", 2.0, 30.0),
    ("xlarge", 4.0, 40.0),
    ("2xlarge", 8.0, 40.0),
];
const BASELINES_T2: [(&str, f64, f64); 7] = [
    ("nano", 1.0, 5.0),
    ("micro", 1.0, 10.0),
    ("small", 1.0, 20.0),
    ("medium", 2.0, 20.0),
    ("large", 2.0, 30.0),
    ("xlarge", 4.0, 22.5),
    ("2xlarge", 8.0, 17.0),
];

/// Requests, in dollars each (S3 pricing, standard storage; SQS pricing, standard queues, after the free million).
const S3_GET: f64 = 0.000_000_4;
const S3_PUT: f64 = 0.000_005;
const S3_LIST: f64 = 0.000_005;
const SQS_REQUEST: f64 = 0.000_000_4;
/// Requests to SQS for a message: it is sent, received and deleted, each with nine others.
const SQS_REQUESTS_A_MESSAGE: f64 = 0.3;

/// What it costs to make thumbnails of so many photographs, in dollars: requests, and instances while they work.
pub fn of_work(photos: u64, thumbnails: u64, instance_type: &str, instance_hours: f64) -> (f64, Option<f64>) {
    let requests = photos as f64 * (S3_GET + SQS_REQUESTS_A_MESSAGE * SQS_REQUEST) + thumbnails as f64 * S3_PUT;
    // Both buckets are listed once, a thousand objects a request.
    let listing = (photos + thumbnails) as f64 / 1_000.0 * S3_LIST;
    let hour = INSTANCE_HOUR.iter().find(|(name, _)| *name == instance_type).map(|(_, hour)| hour);
    (requests + listing, hour.map(|hour| (hour + IPV4_HOUR) * instance_hours))
}

/// What so many volumes of this size cost, in dollars a month.
pub fn volumes(count: u32, gib: u32) -> f64 {
    GP3_GIB_MONTH * f64::from(count) * f64::from(gib)
}

/// What is billed while it exists.
#[derive(Clone, Copy, Debug)]
pub struct BilledResources<'a> {
    pub instances: u32,
    pub instance_type: &'a str,
    /// Of each instance.
    pub volume_gib: u32,
    /// Of all instances together.
    pub public_addresses: u32,
    /// None: the type has no CPU credits.
    pub credits: Option<Credits>,
}

/// An estimate without requests, traffic and stored thumbnails.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Estimate {
    pub instances: u32,
    pub instance_type: String,
    pub volume_gib: u32,
    pub public_addresses: u32,
    /// None: the type is not in the table.
    pub usd_a_month: Option<f64>,
    /// What unlimited CPU credits cost on top when every instance works at full load all the time; none where credits are
    /// standard, or there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surplus_usd_a_month: Option<f64>,
    pub prices_of: String,
}

impl Estimate {
    pub fn new(billed: &BilledResources<'_>) -> Self {
        let BilledResources { instances, instance_type, volume_gib, public_addresses, credits } = *billed;
        let (count, addresses) = (f64::from(instances), f64::from(public_addresses));
        let hour = INSTANCE_HOUR.iter().find(|(name, _)| *name == instance_type).map(|(_, hour)| hour);
        let usd = |usd: f64| (usd * 100.0).round() / 100.0;
        let all = hour
            .map(|hour| (hour * count + IPV4_HOUR * addresses) * HOURS + GP3_GIB_MONTH * f64::from(volume_gib) * count);
        let surplus = surplus_hour(instance_type).filter(|_| credits == Some(Credits::Unlimited));
        Self {
            instances,
            instance_type: instance_type.to_owned(),
            volume_gib,
            public_addresses,
            usd_a_month: all.map(usd),
            surplus_usd_a_month: surplus.map(|hour| usd(hour * HOURS * count)),
            prices_of: PRICES_OF.to_owned(),
        }
    }

    /// As a sentence, beside what it costs now, if that is known.
    pub fn sentence(&self, before: Option<f64>) -> String {
        let Self {
            instances,
            instance_type,
            volume_gib,
            public_addresses,
            usd_a_month,
            surplus_usd_a_month,
            prices_of,
        } = self;
        let each = if *instances == 1 { "" } else { "each " };
        let address = match *public_addresses {
            0 => "and no public IPv4 address".to_owned(),
            all if all == *instances => "and a public IPv4 address".to_owned(),
            some => format!("and {some} of them with a public IPv4 address"),
        };
        let what = format!("{instances} {instance_type}, {each}with {volume_gib} GiB gp3 {address}");
        let sentence = match usd_a_month {
            Some(usd) if is_unchanged(before, *usd) => format!("Cost: unchanged, about ${usd:.2} a month."),
            Some(usd) => format!(
                "Cost: {} for {what}, plus requests, traffic and storage (list prices of {prices_of}).",
                from_to(before, *usd)
            ),
            None => format!("Cost: unknown for {instance_type} ({what}); see the AWS price list."),
        };
        match surplus_usd_a_month {
            Some(surplus) => {
                format!("{sentence} Unlimited CPU credits add up to ${surplus:.2} a month at full load all the time.")
            }
            None => sentence,
        }
    }
}

/// Less than this is nothing, in dollars.
const CENT: f64 = 0.01;

fn is_unchanged(before: Option<f64>, after: f64) -> bool {
    before.is_some_and(|before| before >= CENT && (before - after).abs() < CENT)
}

/// "about $11.88 a month", or what it was before and how much more or less that is.
fn from_to(before: Option<f64>, after: f64) -> String {
    match before {
        _ if is_unchanged(before, after) => format!("unchanged, about ${after:.2} a month"),
        Some(before) if before >= CENT => {
            let (sign, difference) = if after > before { ('+', after - before) } else { ('-', before - after) };
            format!("${before:.2} -> about ${after:.2} a month ({sign}${difference:.2})")
        }
        _ => format!("about ${after:.2} a month"),
    }
}

/// What an instance at full load uses above its baseline, in dollars an hour.
fn surplus_hour(instance_type: &str) -> Option<f64> {
    let (family, size) = instance_type.split_once('.')?;
    let (baselines, price) = match family {
        "t2" => (BASELINES_T2, SURPLUS_CPU_HOUR),
        "t3" | "t3a" => (BASELINES_T3, SURPLUS_CPU_HOUR),
        "t4g" => (BASELINES_T3, SURPLUS_CPU_HOUR_T4G),
        _ => return None,
    };
    let (_, cpus, percent) = baselines.into_iter().find(|(name, ..)| *name == size)?;
    Some(cpus * (1.0 - percent / 100.0) * price)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: BilledResources<'_> = BilledResources {
        instances: 1,
        instance_type: "t3.micro",
        volume_gib: 8,
        public_addresses: 1,
        credits: Some(Credits::Standard),
    };

    #[test]
    fn an_estimate_is_the_sum_of_instance_volume_and_address() {
        let usd = |billed: BilledResources<'_>| Estimate::new(&billed).usd_a_month;
        // 0.0104 * 730 + 0.005 * 730 + 0.08 * 8 = 7.592 + 3.65 + 0.64
        assert_eq!(usd(MICRO), Some(11.88));
        assert_eq!(usd(BilledResources { instances: 2, public_addresses: 2, ..MICRO }), Some(23.76));
        assert_eq!(usd(BilledResources { instance_type: "p5.48xlarge", credits: None, ..MICRO }), None);
    }

    #[test]
    fn an_address_that_is_not_there_is_not_paid_for() {
        let without = Estimate::new(&BilledResources { public_addresses: 0, ..MICRO });
        assert_eq!(without.usd_a_month, Some(8.23));
        assert!(without.sentence(None).contains("for 1 t3.micro, with 8 GiB gp3 and no public IPv4 address, plus"));
        let some = Estimate::new(&BilledResources { instances: 3, public_addresses: 2, ..MICRO });
        assert_eq!(some.usd_a_month, Some(32.0));
        assert!(
            some.sentence(None)
                .contains("for 3 t3.micro, each with 8 GiB gp3 and 2 of them with a public IPv4 address, plus")
        );
    }

    #[test]
    fn unlimited_credits_can_cost_more_than_the_instance() {
        let unlimited =
            |kind| Estimate::new(&BilledResources { instance_type: kind, credits: Some(Credits::Unlimited), ..MICRO });
        // 2 CPUs, nine tenths of each, 730 hours at $0.05.
        assert_eq!(unlimited("t3.micro").surplus_usd_a_month, Some(65.7));
        assert_eq!(unlimited("t4g.micro").surplus_usd_a_month, Some(52.56));
        assert_eq!(unlimited("t2.micro").surplus_usd_a_month, Some(32.85));
        assert_eq!(unlimited("t3.micro").usd_a_month, Some(11.88));
        assert!(unlimited("t3.micro").sentence(None).ends_with("up to $65.70 a month at full load all the time."));
        assert_eq!(Estimate::new(&MICRO).surplus_usd_a_month, None);
    }

    #[test]
    fn what_it_cost_before_is_compared() {
        let sentence = |before: f64| Estimate::new(&MICRO).sentence(Some(before));
        assert!(sentence(0.0).starts_with("Cost: about $11.88 a month for"));
        assert!(sentence(11.884).starts_with("Cost: unchanged, about $11.88 a month."));
        assert!(sentence(2.0).starts_with("Cost: $2.00 -> about $11.88 a month (+$9.88) for"));
        assert!(sentence(23.76).starts_with("Cost: $23.76 -> about $11.88 a month (-$11.88) for"));
    }

    #[test]
    fn work_costs_its_requests_and_hours() {
        let (requests, instances) = of_work(1_000_000, 3_000_000, "c7g.large", 10.0);
        // 0.40 + 0.12 for the photographs, 15 for the thumbnails, 0.02 for the listings.
        assert!((requests - 15.54).abs() < 1e-9, "{requests}");
        assert!((instances.unwrap() - 0.775).abs() < 1e-9, "{instances:?}");
        assert_eq!(of_work(1, 1, "p5.48xlarge", 1.0).1, None);
    }
}
