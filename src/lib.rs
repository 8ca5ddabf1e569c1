//! `thumb`: a queue, two buckets and a few instances in one's own AWS account, and the worker that makes the
//! thumbnails. ARCHITECTURE.md is the map.

pub mod ami;
pub mod aws;
pub mod cli;
pub mod config;
pub mod elf;
pub mod enqueue;
pub mod failure;
pub mod key;
pub mod permissions;
pub mod plan;
pub mod reconcile;
pub mod render;
pub mod request;
pub mod resource;
pub mod text;
pub mod user_data;
pub mod worker;

pub use thumb_engine as thumbnail;
