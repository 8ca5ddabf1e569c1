//! The key frames of VP8 (RFC 6386), which lossy WebP pictures are.
//!
//! A row of macroblocks, of 16 rows of luma, is decoded at a time: `modes` and `tokens` read it with `bool_decoder`, `transform`
//! and `predict` make samples of it, and `loop_filter` smooths them together with the lower rows of those above. Only two rows
//! of macroblocks are in memory; what is above them has gone to the sink (`frame`).
//!
//! The samples are exactly those of the standard and so of libwebp. What the standard leaves open for files that no encoder
//! writes is done as libwebp does it, since that is what browsers show.

mod bool_decoder;
#[cfg(test)]
mod features;
mod frame;
mod header;
mod loop_filter;
mod modes;
mod predict;
mod tables;
mod tile;
mod tokens;
mod transform;

#[cfg(test)]
pub(super) use features::features;
pub(super) use frame::{RowSink, decode, working_memory};
pub(super) use header::size;
