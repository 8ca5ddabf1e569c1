//! Which part of the picture is shown, and what else is made of it, through the public API.

use super::*;
use crate::copyright::Copyright;
use crate::exif::Exif;

fn at(width: u32, height: u32, position: &str) -> Spec {
    Spec { position: position.parse().unwrap(), ..spec(width, height, Fit::Cover) }
}

/// The middle of what a thumbnail shows, in parts of the upright picture, if the picture is the scene.
fn shown(thumbnail: &Thumbnail) -> (f64, f64) {
    let pixels = decoded(thumbnail);
    let mean = |channel: usize| {
        let samples = pixels.iter().skip(channel).step_by(3);
        samples.clone().map(|&sample| f64::from(sample)).sum::<f64>() / samples.count() as f64
    };
    ((mean(0) - 40.0) / 170.0, (mean(1) - 40.0) / 170.0)
}

fn assert_shown(source: &[u8], spec: Spec, expected: (f64, f64), what: &str) {
    let (x, y) = shown(&one(source, spec));
    assert!((x - expected.0).abs() < 0.02 && (y - expected.1).abs() < 0.02, "{what}: {x}, {y}, not {expected:?}");
}

/// The scene stored in an orientation: upright, it is 120x90.
fn stored(orientation: u8) -> Vec<u8> {
    let (width, height) = if orientation >= 5 { (90, 120) } else { (120, 90) };
    let samples: Vec<u8> = (0..width * height)
        .flat_map(|i| {
            let (x, y) = ((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
            let (x, y) = (x / width as f64, y / height as f64);
            // From Exif's table: which row and column of the upright picture the stored first ones are.
            let (x, y) = match orientation {
                1 => (x, y),
                2 => (1.0 - x, y),
                3 => (1.0 - x, 1.0 - y),
                4 => (x, 1.0 - y),
                5 => (y, x),
                6 => (1.0 - y, x),
                7 => (1.0 - y, 1.0 - x),
                _ => (y, 1.0 - x),
            };
            scene(x, y).map(|sample| sample.round() as u8)
        })
        .collect();
    let jpeg = encoded(&samples, (width, height), ColorType::Rgb, SamplingFactor::R_4_4_4);
    with_segment(&jpeg, 0xe1, &exif(orientation))
}

#[test]
fn gravities_and_points_are_those_of_the_picture_as_it_is_looked_at() {
    for orientation in 1..=8 {
        let source = stored(orientation);
        for (position, x, y) in [
            ("center", 0.5, 0.5),
            ("north", 0.5, 0.25),
            ("northeast", 0.75, 0.25),
            ("east", 0.75, 0.5),
            ("southeast", 0.75, 0.75),
            ("south", 0.5, 0.75),
            ("southwest", 0.25, 0.75),
            ("west", 0.25, 0.5),
            ("northwest", 0.25, 0.25),
            ("0.4,0.7", 0.4, 0.7),
            ("0.1,1", 0.25, 0.75),
        ] {
            // Half the height, then half the width; the other side is shown whole.
            let what = format!("{position}, orientation {orientation}");
            assert_shown(&source, at(80, 30, position), (0.5, y), &what);
            assert_shown(&source, at(30, 45, position), (x, 0.5), &what);
        }
    }
}

fn xmp(region: &str) -> Vec<u8> {
    let regions =
        format!("<mwg-rs:Regions><mwg-rs:RegionList><rdf:Bag>{region}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>");
    let packet = format!("<x:xmpmeta><rdf:RDF><rdf:Description>{regions}</rdf:Description></rdf:RDF></x:xmpmeta>");
    [b"http://ns.adobe.com/xap/1.0/\0", packet.as_bytes()].concat()
}

#[test]
fn a_marked_face_is_kept_in_all_orientations() {
    for orientation in 1..=8 {
        // The face is at the upper left of the picture as stored.
        let face = r#"<rdf:li mwg-rs:Type="Face"><mwg-rs:Area stArea:x="0.3" stArea:y="0.4" stArea:w="0.1" stArea:h="0.1"/></rdf:li>"#;
        let source = with_segment(&stored(orientation), 0xe1, &xmp(face));
        let (x, y) = match orientation {
            1 => (0.3, 0.4),
            2 => (0.7, 0.4),
            3 => (0.7, 0.6),
            4 => (0.3, 0.6),
            5 => (0.4, 0.3),
            6 => (0.6, 0.3),
            7 => (0.6, 0.7),
            _ => (0.4, 0.7),
        };
        for position in ["region", "smart"] {
            let what = format!("{position}, orientation {orientation}");
            assert_shown(&source, at(80, 30, position), (0.5, y), &what);
            assert_shown(&source, at(30, 45, position), (x, 0.5), &what);
        }
    }
    // Extended XMP, and something that is none, have no say.
    let mut other = xmp("");
    other.splice(..29, *b"http://ns.adobe.com/xmp/ext/\0");
    assert_shown(&with_segment(&stored(1), 0xe1, &other), at(30, 45, "region"), (0.5, 0.5), "no region");
}

#[test]
fn smart_shows_what_stands_out_beside_others_from_one_decode() {
    let samples: Vec<u8> = (0..400 * 100)
        .flat_map(|i| {
            if (330..370).contains(&(i % 400)) && (30..70).contains(&(i / 400)) { [220, 20, 20] } else { [90; 3] }
        })
        .collect();
    let source = encoded(&samples, (400, 100), ColorType::Rgb, SamplingFactor::R_4_2_0);
    let specs = [at(50, 50, "center"), at(50, 50, "smart"), at(30, 50, "smart")];
    let made = thumbnails(&source, &specs, &Options::default()).unwrap();
    let red = |thumbnail: &Thumbnail| decoded(thumbnail).chunks_exact(3).filter(|pixel| pixel[0] > 180).count();
    assert_eq!(red(&made[0]), 0);
    assert!(red(&made[1]) > 350 && red(&made[2]) > 350, "{} and {} of 400 pixels", red(&made[1]), red(&made[2]));
    assert_eq!((made[2].width, made[2].height), (30, 50));
}

#[test]
fn a_picture_that_is_not_enlarged_is_not_resampled() {
    let source = photo(40, 30);
    let size = |spec: Spec| {
        let Thumbnail { width, height, .. } = one(&source, Spec { enlarge: false, ..spec });
        (width, height)
    };
    assert_eq!(size(spec(400, 400, Fit::Cover)), (30, 30));
    assert_eq!(size(spec(800, 400, Fit::Cover)), (40, 20));
    assert_eq!(size(spec(400, 400, Fit::Fill)), (30, 30));
    assert_eq!(size(spec(20, 20, Fit::Cover)), (20, 20));
    assert_eq!(size(Spec::new(Size::of_width(400))), (40, 30));
    assert_shown(&source, Spec { enlarge: false, ..at(300, 300, "east") }, (0.625, 0.5), "east");
}

#[test]
fn light_sharpening_makes_edges_steeper_and_leaves_colour_alone() {
    // Soft edges, in colour and in grey.
    let wave = |i: usize| (128.0 + 60.0 * ((i % 300) as f64 / 6.0).sin()).round() as u8;
    let coloured: Vec<u8> = (0..300 * 60).flat_map(|i| [wave(i), wave(i) - 15, wave(i) - 30]).collect();
    let grey: Vec<u8> = (0..300 * 60).map(wave).collect();
    let plain = encoded(&coloured, (300, 60), ColorType::Rgb, SamplingFactor::R_4_4_4);
    // With a profile, it becomes RGB on its way.
    let mut profile = b"ICC_PROFILE\0\x01\x01".to_vec();
    profile.extend(moxcms::ColorProfile::new_display_p3().encode().unwrap());
    let sources = [
        with_segment(&plain, 0xe2, &profile),
        plain,
        encoded(&grey, (300, 60), ColorType::Luma, SamplingFactor::R_4_4_4),
    ];
    for source in sources {
        let plain = spec(60, 12, Fit::Cover);
        let [off, light] =
            [Sharpen::Off, Sharpen::Light].map(|sharpen| decoded(&one(&source, Spec { sharpen, ..plain })));
        let steps = |pixels: &[u8]| {
            pixels
                .chunks_exact(180)
                .flat_map(|row| row.windows(4).step_by(3))
                .map(|w| f64::from(w[0].abs_diff(w[3])))
                .sum::<f64>()
        };
        let ratio = steps(&light) / steps(&off);
        assert!((1.03..1.4).contains(&ratio), "{ratio}");
        let hue = |pixels: &[u8]| pixels.chunks_exact(3).map(|p| f64::from(p[0]) - f64::from(p[2])).sum::<f64>();
        assert!((hue(&light) - hue(&off)).abs() < 0.1 * off.len() as f64);
    }
}

#[test]
fn copyright_is_kept_on_request_and_nothing_else() {
    let mut app1 = b"Exif\0\0MM\0*\0\0\0\x08\0\x03".to_vec();
    app1.extend(b"\x01\x0f\0\x02\0\0\0\x04Cam\0");
    app1.extend(b"\x01\x3b\0\x02\0\0\0\x04Ann\0");
    app1.extend(b"\x82\x98\0\x02\0\0\0\x04 CC\0");
    app1.extend(b"\0\0\0\0GPS");
    let source = with_segment(&photo(80, 60), 0xe1, &app1);
    let made = |source: &[u8], keep_copyright| {
        let options = Options { keep_copyright, ..Options::default() };
        thumbnails(source, &[spec(40, 30, Fit::Cover)], &options).unwrap().remove(0)
    };
    let (plain, kept) = (made(&source, false), made(&source, true));
    assert!(kept.bytes.starts_with(&plain.bytes[..20]) && kept.bytes.ends_with(&plain.bytes[20..]));
    let segment = &kept.bytes[20..kept.bytes.len() - (plain.bytes.len() - 20)];
    let expected = Copyright { artist: b"Ann".to_vec(), rights: b" CC".to_vec() };
    assert_eq!(Exif::read(&segment[10..]), Exif { copyright: expected, ..Exif::default() });
    assert!(!kept.bytes.windows(3).any(|bytes| bytes == b"GPS" || bytes == b"Cam"));
    assert_eq!(decoded(&kept), decoded(&plain));
    assert_eq!(made(&photo(80, 60), true).bytes, made(&photo(80, 60), false).bytes, "nothing is said of it");
}
