use super::page::escape;
use super::*;

const DEFAULT: &str = "{dir}{stem}-{width}x{height}.{format}";

fn file(key: &str) -> File<'_> {
    File { key, bytes: 12_345, modified_s: 0, measured: None }
}

fn collect(template: &str, keys: &[&str]) -> (Vec<Picture>, u64) {
    let mut collection = Collection::new(&template.parse().unwrap());
    keys.iter().for_each(|key| collection.add(&file(key)).unwrap());
    collection.finish()
}

fn gallery(keys: &[&str]) -> Gallery {
    let (pictures, _) = collect(DEFAULT, keys);
    Gallery { title: "cats".into(), base: "../t/".into(), pictures }
}

/// The parts of a page that show pictures.
fn body(html: &str) -> &str {
    let (_, rest) = html.split_once("<ul id=\"pictures\"").unwrap();
    rest.split_once("<section").unwrap().0
}

#[test]
fn the_thumbnails_of_a_photograph_are_one_picture_however_far_apart_their_keys_are() {
    let (pictures, others) = collect(
        "{width}x{height}/{dir}{name}",
        &["150x100/a/owl.jpg", "150x100/b.jpg", "400x300/a/owl.jpg", "notes.txt", "a/../b-4x4.jpg", "cat-4x4.webp"],
    );
    assert_eq!(others, 2);
    let seen: Vec<(&str, Vec<&str>)> = pictures
        .iter()
        .map(|picture| (&*picture.name, picture.thumbnails.iter().map(|one| &*one.href).collect()))
        .collect();
    assert_eq!(
        seen,
        [
            ("a/owl.jpg", vec!["400x300/a/owl.jpg", "150x100/a/owl.jpg"]),
            ("b.jpg", vec!["150x100/b.jpg"]),
            // By the default template.
            ("cat", vec!["cat-4x4.webp"]),
        ]
    );
}

#[test]
fn of_a_replaced_photograph_only_the_newest_content_is_shown() {
    let template = "{stem}-{version}-{width}x{height}.jpg".parse().unwrap();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut collection = Collection::new(&template);
        for at in order {
            let (key, modified_s) = [("owl-aaa-4x4.jpg", 1), ("owl-bbb-4x4.jpg", 2), ("owl-bbb-8x8.jpg", 3)][at];
            collection.add(&File { modified_s, ..file(key) }).unwrap();
        }
        let (pictures, _) = collection.finish();
        let hrefs: Vec<&str> = pictures[0].thumbnails.iter().map(|one| &*one.href).collect();
        assert_eq!(hrefs, ["owl-bbb-8x8.jpg", "owl-bbb-4x4.jpg"], "{order:?}");
    }
}

#[test]
fn a_file_that_was_measured_needs_no_name() {
    let mut collection = Collection::new(&DEFAULT.parse().unwrap());
    collection.add(&File { measured: Some((Size::new(30, 20), Format::Png)), ..file("owl.png") }).unwrap();
    // The name says what was asked for, the header what came of it.
    collection.add(&File { measured: Some((Size::new(40, 27), Format::Jpeg)), ..file("cat-40x40.jpg") }).unwrap();
    let (pictures, others) = collection.finish();
    let sizes: Vec<String> = pictures.iter().map(|picture| picture.thumbnails[0].size.to_string()).collect();
    assert_eq!((sizes, others), (vec!["40x27".to_owned(), "30x20".to_owned()], 0));
}

#[test]
fn a_picture_offers_the_sizes_of_one_shape_and_links_to_all() {
    let page = gallery(&[
        "owl-150x150.jpg",
        "owl-400x267.jpg",
        "owl-800x533.jpg",
        "owl-800x533.webp",
        "owl-400x267.webp",
        "owl-1000x100.png",
    ]);
    insta::assert_snapshot!(body(&page.page(0).html));
}

#[test]
fn a_picture_of_several_shapes_is_shown_by_the_one_that_cuts_off_least() {
    let html = gallery(&["owl-400x400.jpg", "owl-300x600.jpg", "owl-150x100.jpg", "owl-1000x400.jpg", "owl-51x49.jpg"]);
    assert!(html.page(0).html.contains("<img src=\"../t/owl-400x400.jpg\" srcset=\"../t/owl-400x400.jpg 400w\""));
    let open = gallery(&["owl-x300.jpg"]).page(0).html;
    assert!(open.contains("srcset=\"../t/owl-x300.jpg\" width=\"450\" height=\"300\""), "{}", body(&open));
}

#[test]
fn whatever_a_name_holds_it_is_text() {
    let names =
        ["<script>alert(1)</script>", "a \"b\" & 'c'", "100%#1?.jpg", "猫 ünï", "ינשוף בומה", "a\u{1}b", "x, y 2w"];
    let keys: Vec<String> = names.iter().map(|name| format!("{name}-40x30.jpg")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let gallery = Gallery { title: "<b>\"cats\" & dogs</b>".into(), ..gallery(&keys) };
    let html = gallery.page(0).html;
    for name in names {
        assert!(html.contains(&format!("<p dir=\"auto\" title=\"{0}\">{0}</p>", escape(name))), "{name}");
    }
    assert!(html.contains("<title>&lt;b&gt;&quot;cats&quot; &amp; dogs&lt;/b&gt;</title>"));
    // No character of a name ends an attribute, a tag, a URL or a candidate of srcset.
    let urls = html.split("srcset=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    for srcset in urls {
        let (url, width) = srcset.rsplit_once(' ').unwrap();
        assert_eq!(width, "40w");
        assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{url}");
    }
    assert!(!body(&html).contains("<script"), "{html}");
}

#[test]
fn pages_are_bounded_and_linked() {
    let keys: Vec<String> = (0..1_201).map(|n| format!("p{n:04}-40x30.jpg")).collect();
    let gallery = gallery(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(gallery.page_count(), 11);
    let files: Vec<String> = (0..11).map(|page| gallery.page(page).file).collect();
    assert_eq!((&*files[0], &*files[1], &*files[10]), ("index.html", "page-2.html", "page-11.html"));
    let html = gallery.page(5).html;
    assert_eq!(html.matches("<li id=\"n").count(), 120);
    assert!(html.contains("<li id=\"n601\"") && html.contains("<title>cats, page 6 of 11</title>"));
    let (_, nav) = html.split_once("<nav").unwrap();
    insta::assert_snapshot!(nav.split_once("</nav>").unwrap().0);
    assert_eq!(gallery.page(10).html.matches("<li id=\"n").count(), 1);
    let index = gallery.index().unwrap().html;
    assert_eq!(index.matches("<li><a href=").count(), 11);
    assert!(index.contains("<li><a href=\"page-2.html\"><bdi>p0120</bdi></a> to <bdi>p0239</bdi></li>"), "{index}");
    assert!(index.contains("<li><a href=\"page-11.html\"><bdi>p1200</bdi></a></li>"), "{index}");
    let names = gallery.names().unwrap().html;
    assert!(names.contains("thumbNames([\"p0000\",\"p0001\""), "{}", &names[..100]);
}

#[test]
fn one_page_needs_no_other_file_and_none_at_all_says_so() {
    let one = gallery(&["owl-40x30.jpg"]);
    assert!(one.index().is_none() && one.names().is_none() && !one.page(0).html.contains("<nav"));
    let empty = gallery(&[]);
    assert_eq!(empty.page_count(), 1);
    assert!(empty.page(0).html.contains("There are no thumbnails yet."));
}

/// The relative luminance of a colour and the contrast of two (WCAG 2.2).
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |hex: &str| {
        let part = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
    };
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn every_text_can_be_read_in_the_light_and_in_the_dark() {
    let style = include_str!("gallery.css");
    let colours =
        |name: &str| -> Vec<&str> { style.split(&format!("--{name}: ")).skip(1).map(|rest| &rest[..7]).collect() };
    for paper in ["paper", "tile"] {
        for ink in ["ink", "faint", "link"] {
            let pairs: Vec<(&str, &str)> = colours(paper).into_iter().zip(colours(ink)).collect();
            assert_eq!(pairs.len(), 2, "light and dark");
            for (paper, ink) in pairs {
                let contrast = contrast(paper, ink);
                // WCAG 2.2, 1.4.3.
                assert!(contrast >= 4.5, "{ink} on {paper}: {contrast:.2}");
            }
        }
    }
}

#[test]
fn pages_replace_those_of_an_earlier_gallery_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pages");
    let keys: Vec<String> = (0..361).map(|n| format!("p{n:04}-40x30.jpg")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let list = || {
        let mut names: Vec<String> =
            std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(write(&gallery(&keys), &out).unwrap().pages, 4);
    assert_eq!(list(), ["index.html", "names.js", "page-2.html", "page-3.html", "page-4.html", "pages.html"]);
    std::fs::write(out.join("page-3.html"), "mine").unwrap();
    assert!(
        write(&gallery(&keys), &out).unwrap_err().to_string().contains("page-3.html exists, and `thumb gallery` did")
    );
    write(&gallery(&keys[..1]), &out).unwrap();
    assert_eq!(list(), ["index.html", "page-3.html"]);
    std::fs::write(out.join("index.html"), "mine").unwrap();
    assert!(write(&gallery(&[]), &out).is_err());
    assert_eq!(std::fs::read_to_string(out.join("index.html")).unwrap(), "mine");
}

#[test]
fn a_directory_is_found_from_the_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let (pages, thumbnails) = (path("a/pages"), path("b c/ü"));
    assert_eq!(relative_base(&pages, &thumbnails).unwrap(), "../../b%20c/%C3%BC/");
    assert_eq!(relative_base(&thumbnails, &thumbnails).unwrap(), "");
    assert_eq!(relative_base(dir.path(), &thumbnails).unwrap(), "b%20c/%C3%BC/");
    assert!(relative_base(&pages, &dir.path().join("no")).is_err());
}

#[test]
fn a_directory_is_read_with_what_is_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let photos = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos");
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::fs::copy(photos.join("picos.webp"), dir.path().join("a/b/picos-4x4.webp")).unwrap();
    std::fs::copy(photos.join("friends.jpg"), dir.path().join("friends.jpg")).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
    std::fs::write(dir.path().join(".hidden-4x4.jpg"), "x").unwrap();
    std::fs::write(dir.path().join("broken-4x4.jpg"), "x").unwrap();
    let mut collection = Collection::new(&KeyTemplate::default());
    listing::directory(dir.path(), &mut collection, |_| {}).unwrap();
    let (pictures, _) = collection.finish();
    let seen: Vec<String> =
        pictures.iter().map(|picture| format!("{} {}", picture.name, picture.thumbnails[0].size)).collect();
    // friends.jpg is stored lying down, and shown upright.
    assert_eq!(seen, ["a/b/picos 1600x1200", "broken 4x4", "friends.jpg 2400x3605"]);
}
