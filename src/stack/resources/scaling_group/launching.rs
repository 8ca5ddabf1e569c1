//! What a group launches: Auto Scaling's mixed instances policy, as it is sent and as it is read. Pure.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::{
    InstancesDistribution, LaunchTemplate, LaunchTemplateOverrides, LaunchTemplateSpecification, MixedInstancesPolicy,
};

/// The strategy that AWS recommends for Spot: the pools with the most capacity, of these the cheapest (Auto Scaling user
/// guide, "Allocation strategies for multiple instance types").
const SPOT_STRATEGY: &str = "price-capacity-optimized";
/// The default, "prioritized", takes the first type that there is; the cheapest does the same work.
const ON_DEMAND_STRATEGY: &str = "lowest-price";

/// What a group launches, as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// The launch template's name.
    pub template: String,
    /// One of these, whichever Auto Scaling finds capacity for.
    pub types: Vec<String>,
    /// Only Spot instances, or only On-Demand ones.
    pub spot: bool,
}

/// What a group, or a refresh of it, launches as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Launching {
    /// The launch template's ID, or where AWS gives none its name, and its version, "$Latest" where somebody has set that.
    pub template: Option<(String, String)>,
    pub types: BTreeSet<String>,
    /// "spot", "on-demand", or a sentence about anything else.
    pub purchase: String,
}

impl Mixed {
    pub fn purchase(&self) -> &'static str {
        if self.spot { "spot" } else { "on-demand" }
    }

    /// As it is sent. The version is a number: with "$Latest" a refresh could not be rolled back (Auto Scaling user guide,
    /// "Undo changes with a rollback").
    pub fn policy(&self, version: i64) -> MixedInstancesPolicy {
        let Self { template, types, spot } = self;
        let template =
            LaunchTemplateSpecification::builder().launch_template_name(template).version(version.to_string());
        let overrides = types.iter().map(|name| LaunchTemplateOverrides::builder().instance_type(name).build());
        let template = LaunchTemplate::builder()
            .launch_template_specification(template.build())
            .set_overrides(Some(overrides.collect()))
            .build();
        let distribution = InstancesDistribution::builder()
            .on_demand_allocation_strategy(ON_DEMAND_STRATEGY)
            .on_demand_base_capacity(0)
            .on_demand_percentage_above_base_capacity(if *spot { 0 } else { 100 })
            .spot_allocation_strategy(SPOT_STRATEGY)
            .build();
        MixedInstancesPolicy::builder().launch_template(template).instances_distribution(distribution).build()
    }
}

impl Launching {
    /// What a policy, or where there is none a launch template alone, says.
    pub fn read(mixed: Option<&MixedInstancesPolicy>, alone: Option<&LaunchTemplateSpecification>) -> Self {
        let template = mixed.and_then(|mixed| mixed.launch_template());
        let specification = template.and_then(|template| template.launch_template_specification()).or(alone);
        let overrides = template.map(|template| template.overrides()).unwrap_or_default();
        let distribution = mixed.and_then(|mixed| mixed.instances_distribution());
        Self {
            template: specification.and_then(|found| {
                let id = found.launch_template_id.clone().or_else(|| found.launch_template_name.clone());
                Some((id?, found.version.clone()?))
            }),
            types: overrides.iter().filter_map(|found| found.instance_type.clone()).collect(),
            purchase: purchase(distribution),
        }
    }

    /// The template's version, if it is a number.
    pub fn version(&self) -> Option<i64> {
        self.template.as_ref().and_then(|(_, version)| version.parse().ok())
    }

    /// Whether it launches the same types in the same way.
    pub fn is(&self, mixed: &Mixed) -> bool {
        self.purchase == mixed.purchase() && self.types == mixed.types.iter().cloned().collect()
    }
}

fn purchase(distribution: Option<&InstancesDistribution>) -> String {
    // Auto Scaling's defaults (API InstancesDistribution).
    let base = distribution.and_then(|found| found.on_demand_base_capacity()).unwrap_or(0);
    let share = distribution.and_then(|found| found.on_demand_percentage_above_base_capacity()).unwrap_or(100);
    let spot = distribution.and_then(|found| found.spot_allocation_strategy()).unwrap_or("lowest-price");
    let on_demand = distribution.and_then(|found| found.on_demand_allocation_strategy()).unwrap_or("prioritized");
    match (base, share) {
        (0, 0) if spot == SPOT_STRATEGY => "spot".into(),
        (_, 100) if on_demand == ON_DEMAND_STRATEGY => "on-demand".into(),
        _ => format!("{base} and {share}% on-demand ({on_demand}), the rest spot ({spot})"),
    }
}
