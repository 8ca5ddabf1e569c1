//! What the declared instances cost a month, roughly: what runs continuously, at the list prices of one region. Pure.

use serde::Serialize;

/// Hours in a month, as AWS's own calculator counts.
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

/// An estimate of what runs continuously. Requests, transfer and stored thumbnails come on top.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Estimate {
    pub instances: u32,
    pub instance_type: String,
    pub volume_gib: u32,
    /// None: the type is not in the table.
    pub usd_a_month: Option<f64>,
    pub prices_of: String,
}

impl Estimate {
    /// Of `instances` of one type, each with a volume of `volume_gib` and a public IPv4 address.
    pub fn new(instances: u32, instance_type: &str, volume_gib: u32) -> Self {
        let hour = INSTANCE_HOUR.iter().find(|(name, _)| *name == instance_type).map(|(_, hour)| hour);
        let one = hour.map(|hour| (hour + IPV4_HOUR) * HOURS + GP3_GIB_MONTH * f64::from(volume_gib));
        Self {
            instances,
            instance_type: instance_type.to_owned(),
            volume_gib,
            usd_a_month: one.map(|one| (one * f64::from(instances) * 100.0).round() / 100.0),
            prices_of: PRICES_OF.to_owned(),
        }
    }

    /// As a sentence.
    pub fn sentence(&self) -> String {
        let Self { instances, instance_type, volume_gib, usd_a_month, prices_of } = self;
        let each = if *instances == 1 { "" } else { "each " };
        let what = format!("{instances} {instance_type}, {each}with {volume_gib} GiB gp3 and a public IPv4 address");
        match usd_a_month {
            Some(usd) => format!(
                "Estimated cost: ${usd:.2} a month for what runs continuously ({what}; list prices of {prices_of}). \
                 Requests, traffic and stored thumbnails come on top."
            ),
            None => format!("Estimated cost: not known for {instance_type} ({what}); see AWS's price list."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_the_sum_of_instance_volume_and_address() {
        // 0.0104 * 730 + 0.005 * 730 + 0.08 * 8 = 7.592 + 3.65 + 0.64
        assert_eq!(Estimate::new(1, "t3.micro", 8).usd_a_month, Some(11.88));
        assert_eq!(Estimate::new(2, "t3.micro", 8).usd_a_month, Some(23.76));
        assert_eq!(Estimate::new(1, "p5.48xlarge", 8).usd_a_month, None);
    }
}
