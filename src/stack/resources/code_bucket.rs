//! What thumb keeps in the code bucket, by its keys.

/// Every binary is `thumb-<sha256>`.
pub const BINARY_PREFIX: &str = "thumb-";
/// Every worker's report is `workers/<instance-id>.json`.
pub const REPORT_PREFIX: &str = "workers/";
