//! WebP.

mod vp8;
