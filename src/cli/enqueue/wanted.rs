//! Which thumbnails are wanted, from the command line and thumb.toml.

use super::Args;
use crate::config::{self, Config, MAX_SIZES};
use crate::error::{Failure, Result};
use crate::request::Wanted;
use crate::thumbnail::{MAX_SIDE_PX, Size};

/// # Errors
/// Exit code 2: no size is given, or the parameters exclude each other.
pub fn wanted(args: &Args, config: &Config) -> Result<Wanted> {
    let mut sizes = args.sizes.clone();
    if args.width.is_some() || args.height.is_some() {
        let size = Size { width: args.width, height: args.height };
        if !size.is_valid() {
            return Err(Failure::usage(format!(
                "--width and --height must be between 1 and {MAX_SIDE_PX}, not {size}"
            )));
        }
        sizes.insert(0, size.into());
    }
    if sizes.is_empty() {
        sizes.clone_from(&config.thumbnail.sizes);
    }
    if sizes.is_empty() {
        return Err(Failure::usage("missing size")
            .hint("give --width, --height or both, or --size WxH, or set `sizes` in [thumbnail] of thumb.toml"));
    }
    if let Some(size) = given_twice(&sizes) {
        return Err(Failure::usage(format!("the size {size} is given twice")));
    }
    if sizes.len() > MAX_SIZES {
        return Err(Failure::usage(format!("too many sizes: {}; a request takes at most {MAX_SIZES}", sizes.len())));
    }
    if let Some(format) = given_twice(&args.formats) {
        return Err(Failure::usage(format!("the format {format} is given twice")));
    }
    let formats = if args.formats.is_empty() { None } else { Some(args.formats.clone()) };
    config::check_pixels(&sizes, formats.as_ref().unwrap_or(&config.thumbnail.formats))
        .map_err(|why| Failure::usage(format!("the sizes {why}")))?;
    if args.quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
        return Err(Failure::usage("--quality must be between 1 and 100"));
    }
    Ok(Wanted { sizes, formats, fit: args.fit, focus: args.focus, quality: args.quality })
}

/// The first that stands in the list before.
fn given_twice<T: PartialEq>(list: &[T]) -> Option<&T> {
    list.iter().enumerate().find(|(index, one)| list[..*index].contains(one)).map(|(_, one)| one)
}
