//! From a window of a plane to a smaller (or larger) plane: Lanczos3, widened by the scale when shrinking, so that every
//! source sample counts.

use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use rgb::FromSlice;

use super::plane::{Plane, zeros};
use crate::error::Error;
use crate::geometry::Window;

/// The crate that resamples; both have the same filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resampler {
    /// `resize`, for ink (CMYK). It supports only windows whose edges are on sample boundaries; for all others
    /// `fast_image_resize` is used.
    Plain,
    /// `fast_image_resize`, for everything else: four times as fast.
    Simd,
}

/// Resamples `window` of `source` to `width * height` samples. The window may reach outside the plane, where the
/// samples of the edge are repeated.
pub(crate) fn resample(
    source: &Plane,
    window: Window,
    width: usize,
    height: usize,
    by: Resampler,
) -> Result<Plane, Error> {
    if let Some((wider, window)) = grown_to(source, window)? {
        return resample(&wider, window, width, height, by);
    }
    if window.is_all_of(source) && (source.width, source.height) == (width, height) {
        return Ok(source.clone());
    }
    let mut samples = zeros(width * height)?;
    if by == Resampler::Plain
        && let Some(offset) = window.whole_samples(source)
    {
        let (w, h) = (window.width.round() as usize, window.height.round() as usize);
        let mut resizer =
            resize::new(w, h, width, height, resize::Pixel::Gray8, resize::Type::Lanczos3).map_err(resize_error)?;
        let from = source.samples[offset..].as_gray();
        resizer.resize_stride(from, source.width, samples.as_gray_mut()).map_err(resize_error)?;
        return Ok(Plane { width, height, samples });
    }
    // The typed images, and not `Resizer::resize`: that compiles the code of every pixel type, a minute and a half of it.
    let view = TypedImageRef::<U8>::from_buffer(source.width as u32, source.height as u32, &source.samples);
    let target = TypedImage::<U8>::from_buffer(width as u32, height as u32, &mut samples);
    let (Ok(view), Ok(mut target)) = (view, target) else {
        return Err(impossible());
    };
    let left = window.left.clamp(0.0, source.width as f64);
    let top = window.top.clamp(0.0, source.height as f64);
    let filter = fir::Filter::new("Lanczos3", lanczos3, 3.0).map_err(|_| impossible())?;
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Custom(filter)))
        .crop(left, top, window.width.min(source.width as f64 - left), window.height.min(source.height as f64 - top));
    fir::Resizer::new().resize_typed(&view, &mut target, &options).map_err(|_| impossible())?;
    Ok(Plane { width, height, samples })
}

/// Lanczos' kernel with three lobes, `sinc(x) sinc(x / 3)`, to 1e-7.
///
/// A thumbnail's weights are some ten thousand values of it. With two sines from the standard library they take a twentieth of
/// a small picture's time; `sin 3a = 3 sin a - 4 sin^3 a` needs one, and in its range a polynomial is exact enough.
fn lanczos3(x: f64) -> f64 {
    use std::f64::consts::PI;
    let x = x.abs();
    if x >= 3.0 {
        return 0.0;
    }
    let angle = x * (PI / 3.0);
    let t = angle.min(PI - angle);
    let t2 = t * t;
    // Taylor's series, up to t^11; t is at most pi / 2.
    let series = [-1.0 / 39_916_800.0, 1.0 / 362_880.0, -1.0 / 5_040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0];
    let sine = t * series.into_iter().fold(0.0, |sum, factor| sum * t2 + factor);
    if x < 1e-6 { 1.0 } else { (3.0 - 4.0 * sine * sine) * sine * sine / (3.0 * angle * angle) }
}

/// Only a lack of memory is temporary.
fn resize_error(error: resize::Error) -> Error {
    match error {
        resize::Error::OutOfMemory => Error::OutOfMemory,
        _ => impossible(),
    }
}

fn impossible() -> Error {
    Error::Corrupt("a part of it has no size".into())
}

impl Window {
    /// Whether the window is `plane`, to a hundredth of a sample.
    fn is_all_of(&self, plane: &Plane) -> bool {
        let near = |a: f64, b: usize| (a - b as f64).abs() < 0.01;
        near(self.left, 0) && near(self.top, 0) && near(self.width, plane.width) && near(self.height, plane.height)
    }

    /// The window's first index in `plane.samples`, if its edges are on sample boundaries, to a hundredth of a sample: the case
    /// that the `resize` crate supports.
    fn whole_samples(&self, plane: &Plane) -> Option<usize> {
        let edges = [self.left, self.top, self.left + self.width, self.top + self.height];
        let whole = edges.iter().all(|edge| (edge - edge.round()).abs() < 0.01);
        whole.then(|| self.top.round() as usize * plane.width + self.left.round() as usize)
    }
}

/// `plane` with its edges repeated until `window` lies inside, and the window in it; `None` if it does already.
fn grown_to(plane: &Plane, window: Window) -> Result<Option<(Plane, Window)>, Error> {
    /// Less than rounding, in samples.
    const NOTHING: f64 = 1e-6;
    let beyond = |from: f64, length: f64, size: usize| {
        let before = (-from - NOTHING).ceil().max(0.0) as usize;
        let after = (from + length - size as f64 - NOTHING).ceil().max(0.0) as usize;
        (before, after)
    };
    let (left, right) = beyond(window.left, window.width, plane.width);
    let (top, bottom) = beyond(window.top, window.height, plane.height);
    if (left, right, top, bottom) == (0, 0, 0, 0) {
        return Ok(None);
    }
    let mut grown = Plane::new(left + plane.width + right, top + plane.height + bottom)?;
    for (y, row) in grown.samples.chunks_exact_mut(left + plane.width + right).enumerate() {
        let source = plane.row(y.saturating_sub(top).min(plane.height - 1));
        row[..left].fill(source[0]);
        row[left..left + plane.width].copy_from_slice(source);
        row[left + plane.width..].fill(source[plane.width - 1]);
    }
    Ok(Some((grown, Window { left: window.left + left as f64, top: window.top + top as f64, ..window })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_lanczos() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        for i in -3500..=3500 {
            let x = f64::from(i) / 1000.0;
            let expected = if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
            assert!((lanczos3(x) - expected).abs() < 1e-6, "{x}: {}, not {expected}", lanczos3(x));
        }
    }

    #[test]
    fn only_a_lack_of_memory_passes_with_time() {
        assert_eq!(resize_error(resize::Error::OutOfMemory), Error::OutOfMemory);
        assert_eq!(resize_error(resize::Error::InvalidParameters), impossible());
    }

    #[test]
    fn a_window_outside_goes_on_with_the_edge() {
        let plane = Plane { width: 4, height: 1, samples: vec![10, 10, 10, 50] };
        let window = Window { left: 0.0, top: 0.0, width: 6.0, height: 1.0 };
        for by in [Resampler::Plain, Resampler::Simd] {
            let made = resample(&plane, window, 6, 1, by).unwrap();
            assert_eq!(made.samples, [10, 10, 10, 50, 50, 50]);
        }
    }

    #[test]
    fn a_shift_by_a_part_of_a_sample_shows() {
        // A ramp of 2 levels a column: a window 1/2 column further right is 1 level brighter, whatever the size.
        let plane = Plane { width: 100, height: 8, samples: (0..800).map(|i| (i % 100 * 2) as u8).collect() };
        let mean = |left: f64| {
            // Not a whole number, so that the samples' roundings are different and even out.
            let window = Window { left, top: 0.0, width: 61.7, height: 8.0 };
            let made = resample(&plane, window, 30, 8, Resampler::Simd).unwrap();
            made.samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / made.samples.len() as f64
        };
        for shift in [0.1, 0.25, 0.5] {
            assert!((mean(20.0 + shift) - mean(20.0) - 2.0 * shift).abs() < 0.1, "{shift}");
        }
    }
}
