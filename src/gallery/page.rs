//! The pages as HTML. Pure. Every page stands alone: its style and its script are in it, and it loads nothing but thumbnails,
//! and, for a search over several pages, the list of names beside it.

use std::fmt::Write as _;

use super::{Picture, Thumbnail};
use crate::text::{bytes, plural};
use crate::thumbnail::Format;

/// Pictures on one page: few enough to load at once on a telephone, and whole rows of 2, 3, 4, 5, 6 and 8.
pub const PICTURES_A_PAGE: usize = 120;
/// The height of a row, in CSS pixels, unless all thumbnails are smaller.
const ROW_PX: u32 = 190;
const LEAST_ROW_PX: u32 = 96;
/// How much wider than high a picture is shown at most, and how much narrower.
const RATIOS: std::ops::RangeInclusive<f64> = 0.5..=3.0;
/// The shape of a picture of which only one side is known.
const USUAL_RATIO: f64 = 1.5;
/// Pages beside the current one that each page links to.
const NEAR_PAGES: usize = 2;

const STYLE: &str = include_str!("gallery.css");
const SCRIPT: &str = include_str!("gallery.js");
/// In every page's head: a file that has it may be replaced.
pub const MARK: &str = "<meta name=\"generator\" content=\"thumb gallery\">";
/// The first words of [`Gallery::names`].
pub const NAMES_MARK: &str = "// The names of the pictures, written by thumb gallery.\n";

/// What the pages show.
pub struct Gallery {
    pub title: String,
    /// What a thumbnail's URL is appended to: `../thumbnails/`, `https://example.com/`.
    pub base: String,
    /// Sorted.
    pub pictures: Vec<Picture>,
}

/// A file of the gallery.
pub struct Page {
    pub file: String,
    pub html: String,
}

impl Gallery {
    /// How many pages there are; one at least.
    pub fn page_count(&self) -> usize {
        self.pictures.len().div_ceil(PICTURES_A_PAGE).max(1)
    }

    /// A page, from 0.
    pub fn page(&self, page: usize) -> Page {
        let first = page * PICTURES_A_PAGE;
        let shown = self.pictures.iter().enumerate().skip(first).take(PICTURES_A_PAGE);
        let row_px = self.row_px();
        let tiles: String = shown.map(|(at, picture)| tile(picture, at + 1, &self.base, row_px)).collect();
        let body = match tiles.is_empty() {
            true => "<p>There are no thumbnails yet.</p>\n".to_owned(),
            false => format!("<ul id=\"pictures\" tabindex=\"-1\" style=\"--most:{row_px}px\">\n{tiles}</ul>\n"),
        };
        let pages = self.page_count();
        let title = match page {
            0 => self.title.clone(),
            _ => format!("{}, page {} of {pages}", self.title, page + 1),
        };
        Page { file: file_name(page), html: self.html(&title, &body, &pager(page, pages), page) }
    }

    /// The index: each page by its first and its last picture. None where there is one page only.
    pub fn index(&self) -> Option<Page> {
        let pages = self.page_count();
        if pages == 1 {
            return None;
        }
        let mut list = String::from("<ol class=\"index\">\n");
        for (page, pictures) in self.pictures.chunks(PICTURES_A_PAGE).enumerate() {
            let [first, last] = [pictures.first(), pictures.last()].map(|one| one.map_or("", |one| &one.name));
            let to = if pictures.len() > 1 { format!(" to <bdi>{}</bdi>", escape(last)) } else { String::new() };
            let _ = writeln!(list, "<li><a href=\"{}\"><bdi>{}</bdi></a>{to}</li>", file_name(page), escape(first));
        }
        list.push_str("</ol>\n");
        let title = format!("{}, all pages", self.title);
        Some(Page { file: INDEX_FILE.to_owned(), html: self.html(&title, &list, "", pages) })
    }

    /// The names of all pictures in their order, for the search; none where there is one page only. A script and not JSON,
    /// because a page opened from a disk may load scripts only.
    pub fn names(&self) -> Option<Page> {
        if self.page_count() == 1 {
            return None;
        }
        let names: Vec<&str> = self.pictures.iter().map(|picture| &*picture.name).collect();
        let names = serde_json::to_string(&names).expect("strings are JSON");
        Some(Page { file: NAMES_FILE.to_owned(), html: format!("{NAMES_MARK}thumbNames({names});\n") })
    }

    fn html(&self, title: &str, body: &str, pager: &str, page: usize) -> String {
        let pages = self.page_count();
        let pictures = self.pictures.len();
        let thumbnails: usize = self.pictures.iter().map(|picture| picture.thumbnails.len()).sum();
        let count = |count: usize, noun: &str| format!("{} {}", thousands(count), plural(count as u64, noun));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{MARK}\n\
             <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n\
             <body data-page=\"{page}\" data-pages=\"{pages}\" data-pictures-a-page=\"{PICTURES_A_PAGE}\">\n\
             <a class=\"skip\" href=\"#main\">Skip to the pictures</a>\n\
             <header>\n<h1><bdi>{}</bdi></h1>\n<p>{}, {}</p>\n\
             <form role=\"search\" hidden>\n<label for=\"search\">Search</label>\n\
             <input id=\"search\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\" aria-describedby=\"keys\">\n\
             </form>\n</header>\n\
             <main id=\"main\" tabindex=\"-1\">\n<p id=\"found\" role=\"status\"></p>\n{body}\
             <section id=\"elsewhere\" hidden>\n<h2>On other pages</h2>\n<ul></ul>\n</section>\n</main>\n{pager}{VIEWER}\
             <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            escape(title),
            escape(&self.title),
            count(pictures, "picture"),
            count(thumbnails, "thumbnail"),
        )
    }

    /// The height of the rows: thumbnails that are all small are not blown up.
    fn row_px(&self) -> u32 {
        let heights = self.pictures.iter().flat_map(|picture| &picture.thumbnails);
        let tallest = heights.filter_map(|one| one.size.height).max();
        tallest.unwrap_or(ROW_PX).clamp(LEAST_ROW_PX, ROW_PX)
    }
}

pub const INDEX_FILE: &str = "pages.html";
pub const NAMES_FILE: &str = "names.js";

/// Shown by the script only.
const VIEWER: &str = "<footer><p id=\"keys\" hidden>Keys: <kbd>/</kbd> search, arrows move, <kbd>Enter</kbd> shows, \
                      <kbd>Esc</kbd> closes.</p></footer>\n\
                      <dialog id=\"viewer\" aria-labelledby=\"viewer-name\">\n\
                      <img alt=\"\">\n\
                      <h2 id=\"viewer-name\"><bdi></bdi></h2>\n<div class=\"sizes\"></div>\n\
                      <p><button type=\"button\" data-step=\"-1\">Previous</button>\n\
                      <button type=\"button\" data-step=\"1\" autofocus>Next</button>\n\
                      <button type=\"button\" data-step=\"0\">Close</button>\n<span id=\"place\"></span></p>\n</dialog>\n";

/// The file of a page, from 0.
pub fn file_name(page: usize) -> String {
    if page == 0 { "index.html".to_owned() } else { format!("page-{}.html", page + 1) }
}

/// Links to the pages near by, the first, the last and the index.
fn pager(page: usize, pages: usize) -> String {
    if pages == 1 {
        return String::new();
    }
    let mut nav = String::from("<nav aria-label=\"Pages\">\n");
    let link = |to: usize, text: &str, more: &str| format!("<a href=\"{}\"{more}>{text}</a>\n", file_name(to));
    if let Some(before) = page.checked_sub(1) {
        nav += &link(before, "Previous", " rel=\"prev\"");
    }
    let mut last = None;
    for to in (0..pages).filter(|to| *to == 0 || to + 1 == pages || to.abs_diff(page) <= NEAR_PAGES) {
        if last.is_some_and(|last| last + 1 < to) {
            nav += "<span>…</span>\n";
        }
        last = Some(to);
        let current = if to == page { " aria-current=\"page\"" } else { "" };
        nav += &link(to, &(to + 1).to_string(), current);
    }
    if page + 1 < pages {
        nav += &link(page + 1, "Next", " rel=\"next\"");
    }
    nav + &format!("<a href=\"{INDEX_FILE}\">All pages</a>\n</nav>\n")
}

/// A picture: a link to its largest thumbnail, its name, and links to all of its thumbnails.
fn tile(picture: &Picture, number: usize, base: &str, row_px: u32) -> String {
    let Picture { name, thumbnails } = picture;
    let name = escape(name);
    let shape = shape(thumbnails);
    let ratio = shape.first().and_then(|one| ratio(one)).unwrap_or(USUAL_RATIO).clamp(*RATIOS.start(), *RATIOS.end());
    let href = thumbnails.first().map_or("", |largest| &largest.href);
    let sizes = match &thumbnails[..] {
        [only] => format!("<div class=\"sizes\">{}</div>", link(only, base)),
        all => {
            let links: String = all.iter().map(|one| format!("<li>{}</li>\n", link(one, base))).collect();
            format!("<details class=\"sizes\"><summary>{} sizes</summary>\n<ul>\n{links}</ul></details>", all.len())
        }
    };
    format!(
        "<li id=\"n{number}\" style=\"--ratio:{ratio:.3}\"><a class=\"picture\" href=\"{}{href}\">{}</a>\n\
         <p dir=\"auto\" title=\"{name}\">{name}</p>\n{sizes}</li>\n",
        escape(base),
        image(&shape, &name, base, ratio, row_px),
    )
}

/// The `<img>` of a picture, in a `<picture>` where there is WebP beside another format. Its width and height are there before
/// it is loaded, so that nothing moves.
fn image(shape: &[&Thumbnail], name: &str, base: &str, ratio: f64, row_px: u32) -> String {
    let webp: Vec<&Thumbnail> = shape.iter().copied().filter(|one| one.format == Some(Format::Webp)).collect();
    let other: Vec<&Thumbnail> = shape.iter().copied().filter(|one| one.format != Some(Format::Webp)).collect();
    // Rows grow by up to a half to fill the page's width.
    let width_px = (ratio * f64::from(row_px) * 1.25).round();
    let sizes = format!("(max-width: 600px) {}px, {width_px}px", (width_px * 0.75).round());
    let shown = if other.is_empty() { &webp } else { &other };
    let Some(first) = shown.first() else { return String::new() };
    let (width, height) = (ratio * 300.0, 300.0);
    let size = match (first.size.width, first.size.height) {
        (Some(width), Some(height)) => (width, height),
        _ => (width as u32, height as u32),
    };
    let img = format!(
        "<img src=\"{}{}\"{} width=\"{}\" height=\"{}\" alt=\"{name}\" loading=\"lazy\" decoding=\"async\">",
        escape(base),
        first.href,
        srcset(shown, base, &sizes),
        size.0,
        size.1,
    );
    match webp.is_empty() || other.is_empty() {
        true => img,
        false => format!("<picture><source type=\"image/webp\"{}>{img}</picture>", srcset(&webp, base, &sizes)),
    }
}

/// The attributes `srcset` and `sizes`. A thumbnail whose width is not known cannot be in a list of several.
fn srcset(thumbnails: &[&Thumbnail], base: &str, sizes: &str) -> String {
    let mut known: Vec<(u32, &str)> = thumbnails.iter().filter_map(|one| Some((one.size.width?, &*one.href))).collect();
    known.sort_unstable();
    known.dedup_by_key(|(width, _)| *width);
    if known.is_empty() {
        // A `<source>` needs one.
        let all = thumbnails.first().map_or("", |one| &one.href);
        return format!(" srcset=\"{}{all}\"", escape(base));
    }
    let list: Vec<String> = known.iter().map(|(width, href)| format!("{}{href} {width}w", escape(base))).collect();
    format!(" srcset=\"{}\" sizes=\"{sizes}\"", list.join(", "))
}

/// The thumbnails that show the same part of the picture, the largest first: those of the shape that has the most sizes; then of
/// the one with the longest short side, and then of the one nearest to a square.
fn shape(thumbnails: &[Thumbnail]) -> Vec<&Thumbnail> {
    let rank = |shape: &Vec<&Thumbnail>| {
        let largest = shape.first().map_or((0, 0), |one| (one.size.width.unwrap_or(0), one.size.height.unwrap_or(0)));
        let (short, long) = (largest.0.min(largest.1), largest.0.max(largest.1));
        (shape.len(), short, std::cmp::Reverse(long))
    };
    thumbnails.iter().map(|one| alike(one, thumbnails)).max_by_key(rank).unwrap_or_default()
}

/// The thumbnails of the same shape as one of them.
fn alike<'t>(one: &'t Thumbnail, all: &'t [Thumbnail]) -> Vec<&'t Thumbnail> {
    /// Sides are rounded to whole pixels.
    const ALIKE: f64 = 0.02;
    let Some(shape) = ratio(one) else { return vec![one] };
    all.iter().filter(|other| ratio(other).is_some_and(|other| (other / shape - 1.0).abs() < ALIKE)).collect()
}

/// How much wider than high it is.
fn ratio(thumbnail: &Thumbnail) -> Option<f64> {
    Some(f64::from(thumbnail.size.width?) / f64::from(thumbnail.size.height?))
}

/// A link to a thumbnail: "400×300 WebP, 12 KiB".
fn link(thumbnail: &Thumbnail, base: &str) -> String {
    let Thumbnail { href, size, format, bytes: length } = thumbnail;
    let side = |px: Option<u32>| px.map_or("?".to_owned(), |px| px.to_string());
    let format = format.map_or(String::new(), |format| format!(" {}", format.name()));
    let size = format!("{}×{}{format}", side(size.width), side(size.height));
    format!("<a href=\"{}{href}\">{size}</a> <span>{}</span>", escape(base), bytes(*length))
}

/// Text for HTML, also within quotation marks.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in HTML, not even as references (HTML standard, 13.1.4).
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// "12,345".
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
