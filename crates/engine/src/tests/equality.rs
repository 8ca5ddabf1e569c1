//! Compares our decoder with zune-jpeg: the same picture for every sampling, size, crop and orientation.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::geometry::Placement;
use crate::jpeg::encode::Planes;
use crate::output::Rendered;
use crate::picture::Picture as _;
use crate::pixels::resample::Resampler;

/// A small pseudo-random generator (Numerical Recipes' constants): the same pictures in every run.
pub(crate) struct Numbers(pub u32);

impl Numbers {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }
}

#[derive(Clone, Copy, Debug)]
struct Picture {
    width: usize,
    height: usize,
    /// `None`: grey.
    sampling: Option<SamplingFactor>,
    restart_interval: u16,
    progressive: bool,
    quality: u8,
    /// Noise, which has every kind of code; or smooth, whose samples are known at every size.
    noise: bool,
}

impl Picture {
    fn jpeg(&self) -> Vec<u8> {
        let mut numbers = Numbers((self.width * 64 + self.height) as u32);
        let components = if self.sampling.is_some() { 3 } else { 1 };
        let mut samples = Vec::new();
        for y in 0..self.height {
            for x in 0..self.width {
                for component in 0..components {
                    let (x, y) = (x as f64 / self.width as f64, y as f64 / self.height as f64);
                    let wave = (x * 5.0 + y * 3.0 + f64::from(component)).sin() * 60.0;
                    let noise = if self.noise { f64::from(numbers.next() % 120) - 60.0 } else { 0.0 };
                    samples.push((128.0 + wave + noise) as u8);
                }
            }
        }
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, self.quality);
        encoder.set_sampling_factor(self.sampling.unwrap_or(SamplingFactor::R_4_4_4));
        encoder.set_progressive(self.progressive);
        if self.restart_interval > 0 {
            encoder.set_restart_interval(self.restart_interval);
        }
        let colour = if components == 3 { ColorType::Ycbcr } else { ColorType::Luma };
        encoder.encode(&samples, self.width as u16, self.height as u16, colour).unwrap();
        jpeg
    }
}

const SAMPLINGS: [Option<SamplingFactor>; 5] = [
    None,
    Some(SamplingFactor::R_4_4_4),
    Some(SamplingFactor::R_4_2_2),
    Some(SamplingFactor::R_4_4_0),
    Some(SamplingFactor::R_4_2_0),
];

/// A source's header and its planes by both decoders, by ours at the size that `specs` need.
struct Both {
    header: Header,
    /// Whether all components have the picture's size.
    same_size: bool,
    ours: Decoded,
    theirs: Decoded,
}

fn placed(stored: (usize, usize), header: &Header, spec: &Spec) -> Placement {
    Place::new(stored, header.orientation, None, spec).needed()
}

fn both(source: &[u8], specs: &[Spec]) -> Both {
    let jpeg = Jpeg::open(source, &Limits::default()).unwrap();
    let (header, frame, _) = header::read(source).unwrap();
    let stored = (header.width, header.height);
    let placements: Vec<_> = specs.iter().map(|spec| placed(stored, &header, spec)).collect();
    let requests = render::requests(header.colour, frame.components.len(), specs, &placements);
    let ours = jpeg.decode(&requests, Truncated::Strict).unwrap();
    let planes = reference::decode(source, &frame, Truncated::Strict).unwrap();
    let theirs = Decoded { planes, resampler: Resampler::Plain };
    Both { header, same_size: frame.h_max() * frame.v_max() == 1, ours, theirs }
}

fn largest_difference(a: &Plane, b: &Plane) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.samples.iter().zip(&b.samples).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn at_full_size_every_sample_is_the_same() {
    for width in 1..=40 {
        for (i, sampling) in SAMPLINGS.into_iter().enumerate() {
            for progressive in [false, true] {
                let height = (width * 7 + i * 11) % 40 + 1;
                // The encoder's progressive files have no restart markers in their refinements.
                let restart_interval = if progressive { 0 } else { [0, 1, 2, 5][(width + i) % 4] };
                let quality = [95, 60, 15][width % 3];
                let picture = Picture { width, height, sampling, restart_interval, progressive, quality, noise: true };
                let whole = Size::new(width as u32, height as u32);
                let spec = Spec { fit: Fit::Fill, quality: 100, ..Spec::new(whole) };
                let Both { same_size, ours, theirs, .. } = both(&picture.jpeg(), &[spec]);
                for (component, (ours, theirs)) in ours.planes.iter().zip(&theirs.planes).enumerate() {
                    // zune-jpeg upsamples subsampled components; another test compares them.
                    if component == 0 || same_size {
                        let difference = largest_difference(&ours.plane, &theirs.plane);
                        // Ours is exact before it is rounded; zune-jpeg's transform uses integers, within 1 of
                        // the exact one (the tolerance of IEEE 1180), so that they round to at most 2 apart.
                        assert!(difference <= 2, "{picture:?}, component {component}: {difference}");
                    }
                }
            }
        }
    }
}

/// Every sample that a thumbnail of `width` times `height` needs, which must be so many that all is decoded at full size, as
/// [`at_full_size_every_sample_is_the_same`] has it.
fn assert_same_at_full_size(source: &[u8], width: usize, height: usize, what: &str) {
    let size = Size::new(width as u32, height as u32);
    let Both { same_size, ours, theirs, .. } = both(source, &[Spec { quality: 100, ..Spec::new(size) }]);
    for (component, (ours, theirs)) in ours.planes.iter().zip(&theirs.planes).enumerate() {
        if component > 0 && !same_size {
            continue;
        }
        assert_eq!((ours.scale_x, ours.scale_y), (1.0, 1.0));
        for y in 0..ours.plane.height {
            let theirs = &theirs.plane.row(ours.top + y)[ours.left..][..ours.plane.width];
            let difference = ours.plane.row(y).iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(difference <= Some(2), "{what}, component {component}, row {y}: {difference:?}");
        }
    }
}

#[test]
fn a_picture_that_is_read_at_several_places_is_the_same() {
    for (i, sampling) in SAMPLINGS.into_iter().enumerate() {
        // None, one of a few MCUs, and one longer than a run.
        for restart_interval in [0, 7, 1200] {
            for quality in [99, 40] {
                let (width, height) = (701 + i, 397 + i);
                let picture =
                    Picture { width, height, sampling, restart_interval, progressive: false, quality, noise: true };
                let jpeg = picture.jpeg();
                assert!(jpeg.len() > 20_000, "too little for several readers: {}", jpeg.len());
                // The whole picture, and parts from its middle.
                for (w, h) in [(width, height), (width, 50), (80, height)] {
                    assert_same_at_full_size(&jpeg, w, h, &format!("{w}x{h} of {picture:?}"));
                }
            }
        }
    }
}

/// A grey picture's blocks, declared as those of three components with the same tables: a reader that begins with the wrong
/// component never synchronises.
#[test]
fn readers_that_never_fall_into_step_do_no_harm() {
    let (width, height) = (24 * 20, 8 * 30);
    let picture =
        Picture { width, height, sampling: None, restart_interval: 0, progressive: false, quality: 90, noise: true };
    let grey = picture.jpeg();
    let segment = |marker: u8| {
        let at = grey.windows(2).position(|bytes| bytes == [0xff, marker]).unwrap();
        let length = usize::from(u16::from_be_bytes([grey[at + 2], grey[at + 3]]));
        at..at + 2 + length
    };
    let (sof, sos) = (segment(0xc0), segment(0xda));
    let [w, h] = [width / 3, height].map(|side| (side as u16).to_be_bytes());
    let mut colour = grey[..sof.start].to_vec();
    colour.extend([0xff, 0xc0, 0, 17, 8, h[0], h[1], w[0], w[1], 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    colour.extend(&grey[sof.end..sos.start]);
    colour.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    colour.extend(&grey[sos.end..]);
    assert_same_at_full_size(&colour, width / 3, height, "three of one");
}

#[test]
fn at_every_reduced_size_the_picture_is_the_same() {
    let mut worst = [0_u8; 3];
    for (i, sampling) in SAMPLINGS.into_iter().enumerate() {
        for (j, (width, height)) in [(160, 120), (97, 203), (331, 45), (64, 64), (250, 249)].into_iter().enumerate() {
            let progressive = (i + j) % 2 == 1;
            let restart_interval = if progressive { 0 } else { [0, 3][j % 2] };
            let plain =
                Picture { width, height, sampling, restart_interval, progressive, quality: 98, noise: false }.jpeg();
            for orientation in 1..=8 {
                let source = with_segment(&plain, 0xe1, &exif(orientation));
                for (w, h, fit) in [
                    (12, 12, Fit::Cover),
                    (40, 9, Fit::Cover),
                    (9, 31, Fit::Cover),
                    (33, 33, Fit::Contain),
                    (21, 20, Fit::Fill),
                    (7, 5, Fit::Cover),
                ] {
                    let spec = Spec { quality: 80, ..spec(w, h, fit) };
                    let Both { header, ours, theirs, .. } = both(&source, &[spec]);
                    let stored = (header.width, header.height);
                    let placement = placed(stored, &header, &spec);
                    let made = |decoded: &Decoded| match render::shrink(
                        decoded,
                        &header,
                        &placement,
                        &spec,
                        &colour::Conversion::None,
                    )
                    .unwrap()
                    {
                        Rendered::Planes(Planes::Grey(plane)) => vec![plane],
                        Rendered::Planes(Planes::YCbCr(planes)) => planes.to_vec(),
                        Rendered::Rgb(_) => panic!("it was converted"),
                    };
                    for (component, (ours, theirs)) in made(&ours).iter().zip(&made(&theirs)).enumerate() {
                        let difference = largest_difference(ours, theirs);
                        worst[component] = worst[component].max(difference);
                        // A smooth picture has nothing above the frequencies that the reduced transform keeps; what is left
                        // are three roundings on the way, and at the picture's edge the last decoded sample, which reaches over
                        // it into what the encoder filled up with. From one sample to the next there are 20 and more.
                        assert!(
                            difference <= 12,
                            "{sampling:?} {width}x{height}, orientation {orientation}, {spec:?}, component {component}: {difference}"
                        );
                    }
                }
            }
        }
    }
    assert!(worst.iter().all(|&difference| difference > 0), "two decoders that agree in everything are one");
}

#[test]
fn several_sizes_from_one_decode_hold_their_quality() {
    let picture = Picture {
        width: 640,
        height: 480,
        sampling: SAMPLINGS[4],
        restart_interval: 0,
        progressive: false,
        quality: 95,
        noise: false,
    };
    let source = picture.jpeg();
    let specs = [spec(320, 240, Fit::Cover), spec(40, 40, Fit::Cover), spec(100, 10, Fit::Cover)];
    let together = thumbnails(&source, &specs, &Options::default()).unwrap();
    for (made, spec) in together.iter().zip(specs) {
        let alone = decoded(&one(&source, spec));
        let difference = decoded(made).iter().zip(&alone).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(difference <= Some(8), "{spec:?}: {difference:?}");
    }
}
