//! Bytes in, bytes out, and what no file may do. The pictures are HEVC files of test_files/, of which the scene is known; the containers
//! around them are made here.

use super::*;
use crate::tests::{decoded, scene};
use crate::{Fit, Format, Options, Size, Spec, Thumbnail, probe, thumbnails};

#[path = "../../tests/common/heic.rs"]
mod write;
use write::{File, Item, boxed, picture};

const TILES: &[u8] = include_bytes!("test_files/tiles.heic");
const VIDEO: &[u8] = include_bytes!("test_files/video.heic");
const BT2020: &[u8] = include_bytes!("test_files/bt2020_10_bit.heic");
const TALL_CHROMA: &[u8] = include_bytes!("test_files/422_12_bit.heic");
const FULL_CHROMA: &[u8] = include_bytes!("test_files/444.heic");
const P3: &[u8] = include_bytes!("test_files/p3.heic");
const GREY: &[u8] = include_bytes!("test_files/grey.heic");
const ALPHA: &[u8] = include_bytes!("test_files/alpha.heic");

/// The scene as 3 by 2 tiles of 64 by 64, of 160 by 112 pixels.
const COLUMNS: usize = 3;
const WIDTH: u32 = 160;
const HEIGHT: u32 = 112;

fn tiles() -> Vec<Item> {
    let container = Container::read(TILES).unwrap();
    let pictures = (1..40).filter(|&item| container.kind(item) == Ok(*b"hvc1"));
    let tiles: Vec<_> = pictures
        .map(|item| Item {
            kind: *b"hvc1",
            data: container.data(item).unwrap().into_owned(),
            properties: vec![boxed(b"hvcC", container.property(item, b"hvcC").unwrap())],
        })
        .collect();
    assert_eq!(tiles.len(), 6);
    tiles
}

fn grid() -> File {
    let tiles = tiles();
    let mut file = File::grid(COLUMNS, 2, (WIDTH, HEIGHT), |index| tiles[index].clone());
    // What Exif says must not count: here there is none; full range and BT.601, as the pictures are.
    file.items[0].properties = vec![nclx([1, 13, 6], true)];
    file
}

fn nclx(points: [u16; 3], full_range: bool) -> Vec<u8> {
    let points: Vec<u8> = points.iter().flat_map(|point| point.to_be_bytes()).collect();
    boxed(b"colr", &[&b"nclx"[..], &points, &[u8::from(full_range) << 7]].concat())
}

fn spec(width: u32, height: u32, fit: Fit) -> Spec {
    Spec { fit, quality: 100, ..Spec::new(Size::new(width, height)) }
}

fn make(source: &[u8], spec: &Spec) -> Result<Thumbnail, Error> {
    Ok(thumbnails(source, std::slice::from_ref(spec), &Options::default())?.remove(0))
}

fn leniently(source: &[u8], spec: &Spec) -> Result<Thumbnail, Error> {
    let options = Options { truncated: Truncated::BestEffort, ..Options::default() };
    Ok(thumbnails(source, std::slice::from_ref(spec), &options)?.remove(0))
}

/// The mean difference of a thumbnail from what is expected at each place, from 0 to 1 across and down.
fn difference(thumbnail: &Thumbnail, expected: impl Fn(f64, f64) -> [f64; 3]) -> f64 {
    let samples = decoded(thumbnail);
    let (width, height) = (thumbnail.width as usize, thumbnail.height as usize);
    let channels = samples.len() / (width * height);
    let sum: f64 = samples
        .chunks_exact(channels)
        .enumerate()
        .map(|(i, pixel)| {
            let (x, y) = ((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
            let expected = expected(x / width as f64, y / height as f64);
            let of = |channel: usize| (f64::from(pixel[channel.min(channels - 1)]) - expected[channel]).abs();
            (of(0) + of(1) + of(2)) / 3.0
        })
        .sum();
    sum / (width * height) as f64
}

fn assert_shows(thumbnail: &Thumbnail, expected: impl Fn(f64, f64) -> [f64; 3]) {
    let difference = difference(thumbnail, expected);
    assert!(difference < 2.0, "it differs by {difference}");
}

fn own_size(source: &[u8]) -> Thumbnail {
    let info = probe(source, &Limits::default()).unwrap();
    make(source, &spec(info.width, info.height, Fit::Fill)).unwrap()
}

#[test]
fn every_kind_of_samples_shows_the_scene() {
    use Colour::{Rgb, YCbCr};
    let kinds = [(VIDEO, Rgb, 8), (BT2020, Rgb, 10), (TALL_CHROMA, YCbCr, 12), (FULL_CHROMA, YCbCr, 8)];
    for (file, colour, bits) in kinds {
        let info = probe(file, &Limits::default()).unwrap();
        assert_eq!((info.format, info.colour, info.precision_bits), (Format::Heic, colour, bits));
        assert_eq!((info.width, info.height, info.alpha), (64, 48, false));
        assert_shows(&own_size(file), scene);
        assert_shows(&make(file, &spec(20, 15, Fit::Fill)).unwrap(), scene);
    }
    assert_eq!(probe(GREY, &Limits::default()).unwrap().colour, Colour::Grey);
    assert_shows(&own_size(GREY), |x, y| [scene(x, y)[1]; 3]);
}

#[test]
fn display_p3_by_code_points_becomes_srgb() {
    // The same samples, said to be P3's, are stronger colours: red at the lower left goes up, where there is least blue.
    let (p3, srgb) = (own_size(P3), own_size(FULL_CHROMA));
    let red = |thumbnail: &Thumbnail| {
        let samples = decoded(thumbnail);
        samples[3 * (64 * 4 + 60)]
    };
    assert!(red(&p3) > red(&srgb) + 8, "{} and {}", red(&p3), red(&srgb));
}

#[test]
fn what_is_transparent_shows_the_background() {
    let info = probe(ALPHA, &Limits::default()).unwrap();
    assert_eq!((info.colour, info.alpha), (Colour::Rgb, true));
    for (width, height) in [(64, 48), (16, 12)] {
        let made = make(ALPHA, &spec(width, height, Fit::Fill)).unwrap();
        let edge = 1.5 / f64::from(width);
        let shown = |x: f64, y: f64| if x < 0.5 { scene(x, y) } else { [255.0; 3] };
        let difference = difference(&made, shown);
        assert!(difference < 2.0 + 60.0 * edge, "{difference}");
        let samples = decoded(&made);
        let right = &samples[3 * (width as usize - 2)..][..3];
        assert!(right.iter().all(|&sample| sample >= 254), "{right:?}");
    }
}

/// Opacity that says it stands for half the colours: stored multiplied, they are the same again when divided.
#[test]
fn colours_that_are_multiplied_already_are_not_multiplied_again() {
    let colours = Item {
        properties: [picture(FULL_CHROMA).properties, vec![nclx([1, 13, 6], true)]].concat(),
        ..picture(FULL_CHROMA)
    };
    let aux = boxed(b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:1\0");
    let opacity = Item { properties: [picture(GREY).properties, vec![aux]].concat(), ..picture(GREY) };
    let mut file = File { items: vec![colours, opacity], references: vec![(b"auxl", 2, vec![1])] };
    let sample = |file: &File| {
        let options = Options { background: [0; 3], ..Options::default() };
        let made = thumbnails(&file.bytes(), &[spec(64, 64, Fit::Fill)], &options).unwrap().remove(0);
        decoded(&made)[3 * (64 * 4 + 4)]
    };
    // Red and opacity are both about 50 there.
    let multiplied_here = sample(&file);
    file.references.push((b"prem", 1, vec![2]));
    let stored_so = sample(&file);
    assert!((6..14).contains(&multiplied_here) && stored_so > 40, "{multiplied_here} and {stored_so}");
}

#[test]
fn a_grid_is_one_picture_at_every_size_and_crop() {
    let source = grid().bytes();
    let info = probe(&source, &Limits::default()).unwrap();
    assert_eq!((info.width, info.height, info.colour), (WIDTH, HEIGHT, Colour::YCbCr));
    for (width, height) in [(160, 112), (80, 56), (40, 28), (23, 16), (10, 7)] {
        assert_shows(&make(&source, &spec(width, height, Fit::Fill)).unwrap(), scene);
    }
    // The middle 32 of 160 columns.
    let narrow = make(&source, &spec(8, 28, Fit::Cover)).unwrap();
    assert_shows(&narrow, |x, y| scene(0.4 + 0.2 * x, y));
}

#[test]
fn several_thumbnails_come_of_one_decode() {
    let source = grid().bytes();
    let specs = [spec(80, 56, Fit::Fill), spec(8, 28, Fit::Cover), spec(5, 3, Fit::Contain)];
    let made = thumbnails(&source, &specs, &Options::default()).unwrap();
    assert_shows(&made[0], scene);
    assert_shows(&made[1], |x, y| scene(0.4 + 0.2 * x, y));
    assert_eq!((made[2].width, made[2].height), (4, 3));
}

#[test]
fn tiles_that_are_not_shown_are_not_decoded() {
    let mut file = grid();
    for tile in [1, 4] {
        let data = &mut file.items[tile].data;
        data.truncate(6);
    }
    let source = file.bytes();
    // The right half needs columns 1 and 2 of the tiles.
    let mut right = file.clone();
    right.items[0].properties.push(clap((78, HEIGHT), 41));
    assert!(make(&source, &spec(40, 28, Fit::Fill)).is_err());
    assert_shows(&make(&right.bytes(), &spec(39, 56, Fit::Fill)).unwrap(), |x, y| scene((82.0 + 78.0 * x) / 160.0, y));
}

fn clap((width, height): (u32, u32), right: i32) -> Vec<u8> {
    let numbers = [width as i32, 1, height as i32, 1, right, 1, 0, 1];
    boxed(b"clap", &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>())
}

#[test]
fn turned_mirrored_and_cropped() {
    let with = |properties: &[Vec<u8>]| {
        let mut file = grid();
        file.items[0].properties.extend(properties.iter().cloned());
        own_size(&file.bytes())
    };
    let (turned, mirrored) = (|quarters| boxed(b"irot", &[quarters]), |axis| boxed(b"imir", &[axis]));
    // Anticlockwise: what is at the upper right goes to the upper left.
    let made = with(&[turned(1)]);
    assert_eq!((made.width, made.height), (HEIGHT, WIDTH));
    assert_shows(&made, |x, y| scene(1.0 - y, x));
    assert_shows(&with(&[turned(2)]), |x, y| scene(1.0 - x, 1.0 - y));
    assert_shows(&with(&[turned(3)]), |x, y| scene(y, 1.0 - x));
    assert_shows(&with(&[mirrored(0)]), |x, y| scene(x, 1.0 - y));
    assert_shows(&with(&[mirrored(1)]), |x, y| scene(1.0 - x, y));
    assert_shows(&with(&[turned(1), mirrored(0)]), |x, y| scene(y, x));
    for right in [-21, 0, 20] {
        let made = with(&[clap((101, 112), right)]);
        assert_eq!((made.width, made.height), (101, 112));
        let left = f64::from(right) + 29.5;
        assert_shows(&made, |x, y| scene((left + 101.0 * x) / 160.0, y));
    }
    let made = with(&[clap((100, 112), 20), turned(1)]);
    assert_shows(&made, |x, y| scene((50.0 + 100.0 * (1.0 - y)) / 160.0, x));
}

#[test]
fn an_image_that_is_another_one_turned() {
    let mut file = grid();
    let mut stored = file.items.remove(0);
    stored.properties.push(boxed(b"imir", &[1]));
    let turned = Item { kind: *b"iden", properties: vec![boxed(b"irot", &[1])], ..Item::default() };
    file.items.insert(0, turned);
    file.items.push(stored);
    file.references = vec![(b"dimg", 1, vec![8]), (b"dimg", 8, vec![2, 3, 4, 5, 6, 7])];
    assert_shows(&own_size(&file.bytes()), |x, y| scene(y, x));
    // And without end.
    file.items[7].kind = *b"iden";
    file.references[1] = (b"dimg", 8, vec![1]);
    assert!(matches!(probe(&file.bytes(), &Limits::default()), Err(Error::Corrupt(_))));
}

#[test]
fn a_truncated_file_is_an_error_or_has_grey_tiles() {
    let source = grid().bytes();
    let whole = spec(160, 112, Fit::Fill);
    let last = tiles()[5].data.len();
    for cut in 1..source.len() {
        let error = make(&source[..cut], &whole).unwrap_err();
        assert!(cut < 12 || error == Error::Truncated, "cut at {cut}: {error:?}");
    }
    let made = leniently(&source[..source.len() - last], &whole).unwrap();
    // The last tile begins at 128 and 64.
    assert_shows(&made, |x, y| if x > 0.8 && y > 0.571 { [128.0; 3] } else { scene(x, y) });
    assert_eq!(leniently(&source[..source.len() - 700], &spec(160, 112, Fit::Fill)).err(), Some(Error::Truncated));
}

#[test]
fn other_files_in_the_same_boxes_are_named() {
    let error = |file: &File| probe(&file.bytes(), &Limits::default()).unwrap_err().to_string();
    let of_kind = |kind| {
        let mut file = grid();
        file.items[0].kind = kind;
        error(&file)
    };
    assert_eq!(of_kind(*b"av01"), "not supported: an AVIF image; save it as JPEG, PNG, WebP or HEIC");
    assert!(of_kind(*b"iovl").contains("put together of several"));
    assert_eq!(of_kind(*b"jpeg"), "not supported: a HEIF file with an image of type `jpeg`; save it as JPEG");
    let mut tiles_of_av1 = grid();
    tiles_of_av1.items[1].kind = *b"av01";
    assert!(error(&tiles_of_av1).contains("an AVIF image"));
    let sequence = [boxed(b"ftyp", b"msf1\0\0\0\0hevc"), boxed(b"moov", b"")].concat();
    let error = probe(&sequence, &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "not supported: an image sequence; save one of its pictures as HEIC or JPEG");
    let mut no_primary = grid().bytes();
    let at = no_primary.windows(4).position(|bytes| bytes == b"pitm").unwrap();
    no_primary[at..at + 4].copy_from_slice(b"free");
    let error = probe(&no_primary, &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "not supported: a HEIF file without a primary image");
}

#[test]
fn numbers_that_do_not_match_are_refused_before_anything_is_allocated() {
    let refused = |change: &dyn Fn(&mut File)| {
        let mut file = grid();
        change(&mut file);
        let error = probe(&file.bytes(), &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_) | Error::TooManyPixels { .. } | Error::Unsupported(_)), "{error:?}");
    };
    // More pixels than the tiles have; than the limit is; tiles too few and too many; a grid of no size; of grids.
    let sides = |width: u32, height: u32| {
        move |file: &mut File| {
            file.items[0].data[4..].copy_from_slice(&[width.to_be_bytes(), height.to_be_bytes()].concat());
        }
    };
    refused(&sides(193, 112));
    refused(&sides(160, 129));
    refused(&sides(u32::MAX, u32::MAX));
    refused(&sides(0, 112));
    refused(&|file| file.references[0].2.truncate(5));
    refused(&|file| file.references[0].2.push(2));
    refused(&|file| file.references.clear());
    refused(&|file| file.items[0].data[2..4].fill(255));
    refused(&|file| file.items[0].data.truncate(5));
    refused(&|file| file.items[2].kind = *b"grid");
    refused(&|file| file.references[0].2[3] = 1);
    refused(&|file| file.references[0].2[3] = 99);
    // Tiles of another shape; turned; without a configuration.
    refused(&|file| file.items[3] = picture(FULL_CHROMA));
    refused(&|file| file.items[3].properties.push(boxed(b"irot", &[1])));
    refused(&|file| file.items[3].properties.clear());
    refused(&|file| file.items[1].properties.clear());
    // The transparency of another size.
    refused(&|file| {
        let aux = boxed(b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:1\0");
        file.items.push(Item { properties: [picture(GREY).properties, vec![aux]].concat(), ..picture(GREY) });
        file.references.push((b"auxl", 8, vec![1]));
    });
}

/// A grid one pixel wide of tiles that are as large as a picture may be: a few bytes for 256 times the limit.
#[test]
fn the_work_is_limited_where_tiles_reach_far_over_the_picture() {
    let tile = picture(FULL_CHROMA);
    let limits = Limits { max_source_pixels: 64 * 64, ..Limits::default() };
    let open = |rows: usize| {
        let file = File::grid(1, rows, (1, 64 * rows as u32), |_| tile.clone());
        probe(&file.bytes(), &limits).map(|info| info.height)
    };
    assert_eq!(open(2), Ok(128));
    assert_eq!(open(3), Err(Error::TooManyPixels { width: 64, height: 192, max: 4096 }));
}

#[test]
fn the_work_is_limited_where_tiles_share_their_data() {
    let shared = |bytes: usize| {
        let mut tile = picture(FULL_CHROMA);
        tile.data.resize(bytes, 0);
        let mut file = File::grid(40, 40, (2500, 2500), |_| tile.clone());
        file.items.truncate(2);
        file.references[0].2.fill(2);
        probe(&file.bytes(), &Limits::default()).map(|info| info.width)
    };
    assert_eq!(shared(4000), Ok(2500));
    assert_eq!(shared(6000), Err(Error::Corrupt("its tiles have more data than the file".into())));
}

/// Data with slices that lie over each other would take a picture's time for each of them.
#[test]
fn no_block_is_decoded_twice() {
    let mut tile = picture(FULL_CHROMA);
    let mut slice = Vec::new();
    let mut rest = tile.data.as_slice();
    while let Some((length, unit)) = rest.split_first_chunk() {
        let (unit, behind) = unit.split_at(u32::from_be_bytes(*length) as usize);
        slice = unit.to_vec();
        rest = behind;
    }
    // Not the first of the picture: the bit behind the two bytes of the unit's head. There is one block, so no address follows.
    assert!(slice[2] & 0x80 != 0);
    slice[2] &= 0x7f;
    let once = File { items: vec![tile.clone()], ..File::default() }.bytes();
    assert!(make(&once, &spec(8, 6, Fit::Fill)).is_ok());
    tile.data.extend((slice.len() as u32).to_be_bytes());
    tile.data.extend(slice);
    let twice = File { items: vec![tile], ..File::default() }.bytes();
    let error = make(&twice, &spec(8, 6, Fit::Fill)).unwrap_err();
    assert_eq!(error, Error::Corrupt("its slices do not follow each other".into()));
}

#[test]
fn what_is_coded_counts_for_the_limit_and_not_only_what_is_shown() {
    // 64 by 64 are coded, of which 64 by 48 are shown.
    let open = |max_source_pixels| probe(VIDEO, &Limits { max_source_pixels, ..Limits::default() });
    assert!(open(64 * 64).is_ok());
    assert_eq!(open(64 * 60).err(), Some(Error::TooManyPixels { width: 64, height: 64, max: 64 * 60 }));
}

/// 65,535 places of 65,535 parts that have no bytes; and as many items as fit.
#[test]
fn lists_longer_than_any_program_writes_are_refused() {
    let source = grid().bytes();
    let iloc = source.windows(4).position(|bytes| bytes == b"iloc").unwrap();
    let mut places = vec![1, 0, 0, 0, 0, 0, 0xff, 0xff];
    for id in 0..=u16::MAX {
        places.extend([&id.to_be_bytes()[..], &[0, 0, 0, 0, 0xff, 0xff]].concat());
    }
    let meta = source.windows(4).position(|bytes| bytes == b"meta").unwrap();
    let boxes = [&source[meta + 4..iloc - 4], &boxed(b"iloc", &places)].concat();
    let file = [&source[..meta - 4], &boxed(b"meta", &boxes)].concat();
    let error = probe(&file, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the file is damaged: its list of places has more than 16384 entries");
}

#[test]
fn every_byte_changed() {
    let small = spec(9, 7, Fit::Cover);
    for source in [grid().bytes(), VIDEO.to_vec(), BT2020.to_vec(), TALL_CHROMA.to_vec(), ALPHA.to_vec(), GREY.to_vec()]
    {
        for at in 0..source.len() {
            for value in [0, 0x80, 0xff, source[at] ^ 1] {
                let mut bad = source.clone();
                bad[at] = value;
                let _ = make(&bad, &small);
            }
            let mut bad = source.clone();
            bad.splice(at..(at + 4).min(source.len()), [0xff; 4]);
            let _ = leniently(&bad, &small);
        }
    }
}
