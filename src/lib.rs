//! `thumb`: a queue, two buckets and a few instances in one's own AWS account, and the worker that makes the
//! thumbnails. ARCHITECTURE.md is the map.

pub mod aws;
pub mod cli;
pub mod config;
pub mod dlq;
pub mod doctor;
pub mod enqueue;
pub mod error;
pub mod files;
pub mod gallery;
pub mod logs;
pub mod request;
pub mod stack;
pub mod status;
pub mod text;
pub mod tracking;
pub mod version;
pub mod worker;
pub mod worker_report;

pub use thumb_engine as thumbnail;
