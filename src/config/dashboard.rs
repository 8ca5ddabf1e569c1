//! `[dashboard]`: the numbers in CloudWatch's console.

use super::Config;
use super::reader::Section;

/// Whether the stack has a dashboard; by default not: beyond the first three, each costs $3 a month (CloudWatch pricing).
pub fn read(mut section: Section<'_>) -> bool {
    let on = section.boolean("on").unwrap_or_default();
    section.finish();
    on
}

impl Config {
    /// The name of the stack's dashboard, whether it has one or not. Dashboards are shared by all regions, so that it has the region's.
    pub fn dashboard_name(&self, region: &str) -> String {
        format!("thumb-{}-{region}", self.name)
    }
}
