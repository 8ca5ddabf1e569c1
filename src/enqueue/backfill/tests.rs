//! What a backfill finds to do, and how it goes on.

use super::state::{Files, Run};
use super::*;

fn config(text: &str) -> Config {
    Config::parse(&format!("name = \"cats\"\nbuckets.sources = [\"photos\"]\n{text}"), "").unwrap()
}

fn listed(key: &str, modified_s: i64) -> Listed {
    Listed { key: key.into(), etag: "0123456789abcdef0123456789abcdef".into(), modified_s }
}

fn existing(keys: &[(&str, i64)]) -> Existing {
    let mut existing = Existing::default();
    keys.iter().for_each(|(key, modified_s)| assert!(existing.add(&listed(key, *modified_s))));
    existing
}

#[test]
fn a_photograph_lacks_thumbnails_if_one_is_not_there_or_older() {
    let config = config("[thumbnail]\nsizes = [\"4x3\", \"8x6\"]\nformats = [\"jpeg\", \"webp\"]");
    let all = ["owl-4x3.jpg", "owl-4x3.webp", "owl-8x6.jpg", "owl-8x6.webp"];
    let since = |keys: &[&str], modified_s: i64| {
        let keys: Vec<(&str, i64)> = keys.iter().map(|key| (*key, modified_s)).collect();
        missing(&config, "photos", &listed("owl.jpg", 100), &existing(&keys))
    };
    assert_eq!(since(&all, 100), None);
    assert_eq!(since(&all, 99), Some(4), "the photograph is newer");
    assert_eq!(since(&all[1..], 100), Some(4));
    assert_eq!(since(&[], 0), Some(4));
}

#[test]
fn keys_with_versions_triggers_sizes_and_auto_are_those_of_the_worker() {
    let version = config("thumbnail.key = \"{stem}-{version}-{width}x{height}.jpg\"\nthumbnail.sizes = [\"4x3\"]");
    let photo = listed("owl.jpg", 1);
    let there = existing(&[("owl-0123456789abcdef-4x3.jpg", 1)]);
    assert_eq!(missing(&version, "photos", &photo, &there), None);
    assert_eq!(missing(&version, "photos", &photo, &existing(&[("owl-ffff456789abcdef-4x3.jpg", 1)])), Some(1));

    let auto = config("[thumbnail]\nsizes = [\"4x3\"]\nformats = [\"auto\"]");
    assert_eq!(missing(&auto, "photos", &photo, &existing(&[("owl-4x3", 1)])), None);

    let text = "thumbnail.sizes = [\"4x3\"]\n[[trigger]]\nbucket = \"photos\"\nprefix = \"in/\"\nsizes = [\"9x9\"]";
    let triggers = config(text);
    assert_eq!(missing(&triggers, "photos", &listed("in/owl.jpg", 1), &existing(&[("in/owl-9x9.jpg", 1)])), None);
    assert_eq!(missing(&triggers, "photos", &listed("in/owl.jpg", 1), &existing(&[("in/owl-4x3.jpg", 1)])), Some(1));
    assert_eq!(missing(&triggers, "photos", &listed("owl.jpg", 1), &existing(&[("owl-4x3.jpg", 1)])), None);
}

#[test]
fn thumbnails_are_listed_under_what_their_keys_begin_with() {
    let under = |key: &str, prefix: &str| {
        let key = if key.is_empty() { String::new() } else { format!("thumbnail.key = \"{key}\"") };
        config(&key).thumbnail.key.prefix_of("photos", prefix)
    };
    assert_eq!(under("", "2026/trip/ow"), "2026/trip/");
    assert_eq!(under("", "ow"), "");
    assert_eq!(under("t/{bucket}/{dir}{stem}-{width}x{height}.jpg", "2026/"), "t/photos/2026/");
    assert_eq!(under("t/{stem}-{width}x{height}.jpg", "2026/"), "t/");
    assert_eq!(under("{stem}-{width}x{height}.jpg", "2026/"), "");
}

/// Random photographs and thumbnails, against the same question asked of the whole list.
#[test]
fn what_is_missing_is_what_a_look_at_every_key_says() {
    let config = config("thumbnail.sizes = [\"4x3\", \"8x6\"]");
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..50 {
        let mut thumbnails: Vec<(String, i64)> = Vec::new();
        for n in 0..40 {
            for size in ["4x3", "8x6"] {
                if random.bool() {
                    thumbnails.push((format!("p{n}-{size}.jpg"), random.i64(0..10)));
                }
            }
        }
        let pairs: Vec<(&str, i64)> = thumbnails.iter().map(|(key, at)| (key.as_str(), *at)).collect();
        let existing = existing(&pairs);
        for n in 0..40 {
            let photo = listed(&format!("p{n}.jpg"), random.i64(0..10));
            let has = |size: &str| {
                thumbnails.iter().any(|(key, at)| *key == format!("p{n}-{size}.jpg") && *at >= photo.modified_s)
            };
            let expected = if has("4x3") && has("8x6") { None } else { Some(2) };
            assert_eq!(missing(&config, "photos", &photo, &existing), expected);
        }
    }
}

#[test]
fn a_run_goes_on_where_it_stopped_and_another_files_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::beside(&dir.path().join("thumb.toml"), "cats", "photos");
    assert!(!files.exist() && files.resume().is_err());
    let run = Run::new("cats", "photos", "in/");
    let mut writer = files.begin(&run).unwrap();
    let keys = ["a.jpg", "line\nbreak.jpg", "\u{e9} +%.jpg"];
    keys.iter().for_each(|key| writer.add(key).unwrap());
    writer.finish().unwrap();
    let read = |files: &Files| {
        let reader = files.resume().unwrap();
        let about = (reader.done, reader.total, reader.run.clone());
        (about, reader.map(Result::unwrap).collect::<Vec<_>>())
    };
    assert_eq!(read(&files), ((0, 3, run.clone()), keys.map(str::to_owned).to_vec()));
    files.record(2).unwrap();
    assert_eq!(read(&files), ((2, 3, run), vec![keys[2].to_owned()]));

    // Another run begins anew, and its record is not the old one's.
    files.begin(&Run::new("cats", "photos", "")).unwrap().finish().unwrap();
    let reader = files.resume().unwrap();
    assert_eq!((reader.done, reader.total), (0, 0));
    files.remove().unwrap();
    assert!(!files.exist());
    std::fs::write(dir.path().join(".thumb-backfill-cats-photos.keys"), "{\"version\":99}\n").unwrap();
    let error = files.resume().err().unwrap().to_string();
    assert!(error.contains("is not a backfill of this version of thumb; delete it"), "{error}");
}
