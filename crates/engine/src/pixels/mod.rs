//! What lies between decoding and encoding: planes of samples, their resampling, their colours.

pub(crate) mod colour;
pub(crate) mod plane;
pub(crate) mod resample;
