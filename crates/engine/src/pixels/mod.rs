//! The steps between decoding and encoding: planes of samples, resampling, colour conversion.

pub(crate) mod colour;
pub(crate) mod indexed;
pub(crate) mod plane;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod scattered;
pub(crate) mod sharpen;
