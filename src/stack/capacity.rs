//! How much a worker does: what the size of a fleet is worked out from. Pure.

/// Photographs that one CPU makes thumbnails of in a second, with its share of the network: measured, see docs/guides/scaling.md.
pub const PICTURES_A_CPU_SECOND: f64 = 25.0;

/// Photographs that an instance with as many CPUs makes thumbnails of in a second.
pub fn pictures_a_second(cpus: u32) -> f64 {
    PICTURES_A_CPU_SECOND * f64::from(cpus.max(1))
}

/// The messages that may wait for each instance, so that the last of them is done within the acceptable latency.
pub fn backlog_per_instance(acceptable_latency_s: u32, cpus: u32) -> f64 {
    (f64::from(acceptable_latency_s) * pictures_a_second(cpus)).floor().max(1.0)
}

/// CPUs of an instance type, by its size; `None`: a name of another form.
pub fn cpus_of(instance_type: &str) -> Option<u32> {
    let (family, size) = instance_type.split_once('.')?;
    let burstable = ["t3", "t3a", "t4g"].contains(&family);
    Some(match size {
        "nano" | "micro" | "small" => 1 + u32::from(burstable),
        "medium" => 1 + u32::from(burstable || family == "t2"),
        "large" => 2,
        "xlarge" => 4,
        _ => 4 * size.strip_suffix("xlarge")?.parse::<u32>().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_of_an_instance_is_what_it_does_in_the_acceptable_latency() {
        assert_eq!(backlog_per_instance(300, 2), 300.0 * 2.0 * PICTURES_A_CPU_SECOND);
        assert_eq!(backlog_per_instance(60, 0), 60.0 * PICTURES_A_CPU_SECOND, "one CPU at least");
    }

    #[test]
    fn a_size_tells_the_cpus() {
        let types = ["t3.micro", "t2.micro", "c7g.medium", "c7g.large", "m5.xlarge", "c7i.48xlarge"];
        assert_eq!(types.map(cpus_of), [Some(2), Some(1), Some(1), Some(2), Some(4), Some(192)]);
        assert_eq!([cpus_of("u-6tb1.metal"), cpus_of("x")], [None, None]);
    }
}
