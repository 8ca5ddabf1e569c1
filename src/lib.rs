//! `thumb`: a queue, two buckets and a few instances in one's own AWS account, and the worker that makes the
//! thumbnails. ARCHITECTURE.md is the map.

pub mod ami;
pub mod aws;
pub mod cli;
pub mod config;
pub mod failure;
pub mod key;
pub mod request;
pub mod thumbnail;
pub mod worker;
