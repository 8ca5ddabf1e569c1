//! `thumb enqueue`: puts thumbnail requests on the queue.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::waking::{self, Waking};
use super::{Global, print};
use crate::aws::Clients;
use crate::config::{self, Config, MAX_SIZES, UrlSources, Variant};
use crate::enqueue::{self, Progress, Sources, Summary};
use crate::error::{Failure, Result};
use crate::request::{self, Wanted};
use crate::text::{plural, printable};
use crate::thumbnail::{Fit, MAX_SIDE_PX, Output, Position, Size};
use crate::worker;

/// Put thumbnail requests on the queue.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "enqueue",
    help_triggers("-h", "--help"),
    example = "thumb enqueue --bucket my-photos --keys a.jpg b.jpg --width 400 --height 300",
    example = "thumb enqueue --bucket my-photos --prefix 2026/ --size 400x400 --size 150x100",
    example = "find-keys | thumb enqueue --bucket my-photos - --size 400x400",
    note = "Exits with 1 if any request could not be queued. A key that begins with a hyphen goes after --."
)]
pub struct Args {
    /// the bucket of the photos (default: the only bucket in [buckets] sources)
    #[argh(option, arg_name = "B")]
    bucket: Option<String>,
    /// one or more keys
    #[argh(option, long = "keys", arg_name = "K")]
    more_keys: Vec<String>,
    /// all pictures under this prefix, by their extensions
    #[argh(option, arg_name = "P")]
    prefix: Option<String>,
    /// an http or https URL of a photo (repeatable; requires [worker] url_sources)
    #[argh(option, long = "url", arg_name = "U")]
    urls: Vec<String>,
    /// read keys from stdin, one per line; "-" does the same
    #[argh(switch)]
    stdin: bool,
    /// width of the thumbnail in pixels
    #[argh(option, arg_name = "W")]
    width: Option<u32>,
    /// height of the thumbnail in pixels
    #[argh(option, arg_name = "H")]
    height: Option<u32>,
    /// a thumbnail size: WxH, Wx or xH, with .webp or .png if it is to have a format of its own (repeatable; default: [thumbnail]
    /// sizes)
    #[argh(option, long = "size", arg_name = "WxH")]
    sizes: Vec<Variant>,
    /// jpeg, webp, png or auto (repeatable; default: the worker's [thumbnail] formats)
    #[argh(option, long = "format", arg_name = "F")]
    formats: Vec<Output>,
    /// what a crop keeps: center, north, ..., region, smart, or a point such as 0.5,0.25 (default: the worker's [thumbnail] focus)
    #[argh(option)]
    focus: Option<Position>,
    /// cover, contain or fill (default: the worker's [thumbnail] fit)
    #[argh(option, from_str_fn(fit))]
    fit: Option<Fit>,
    /// from 1 to 100 (default: the worker's [thumbnail] quality)
    #[argh(option)]
    quality: Option<u8>,
    /// print the count as JSON
    #[argh(switch)]
    json: bool,
    /// keys in the bucket
    #[argh(positional, arg_name = "K")]
    keys: Vec<String>,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let config = global.load_config()?;
    let json = args.json;
    let wanted = wanted(&args, &config)?;
    let sources = sources(args, &config)?;
    let clients = Clients::connect(config.region.as_deref()).await?;
    let queue = &config.queue.name;
    let queue_url = worker::queue_url(&clients, queue).await?;
    let waking = Waking::new(&clients, &config);
    let mut bar = Bar::new(sources.count(), &waking);
    let summary = waking.during(enqueue::enqueue(&clients, &queue_url, &wanted, sources, &mut bar)).await;
    bar.bar.finish_and_clear();
    let summary = summary?;
    let woken = waking.finish(summary.queued).await;
    let text = match json {
        true => {
            let mut line = serde_json::json!(summary);
            if let Some(instances) = woken {
                line["instances"] = instances.into();
            }
            line.to_string()
        }
        false => sentence(&summary, queue),
    };
    print(&format!("{text}\n"))?;
    if let (Some(instances), false) = (woken, json) {
        waking::tell_woken(instances);
    }
    match summary.not_queued {
        0 => Ok(()),
        _ => Err(Failure::new(format!(
            "{} of {} requests could not be queued (listed above)",
            summary.not_queued,
            summary.not_queued + summary.queued
        ))),
    }
}

fn wanted(args: &Args, config: &Config) -> Result<Wanted> {
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

fn sources(args: Args, config: &Config) -> Result<Sources> {
    let Args { bucket, more_keys, prefix, urls, stdin, keys, .. } = args;
    let keys: Vec<String> = more_keys.into_iter().chain(keys).collect();
    let of_bucket = !keys.is_empty() || prefix.is_some() || stdin;
    if !of_bucket && urls.is_empty() {
        return Err(
            Failure::usage("nothing to enqueue").hint("give keys, --prefix P, --url U, or - to read keys from stdin")
        );
    }
    if !urls.is_empty() && config.worker.url_sources == UrlSources::Off {
        return Err(Failure::usage("the workers of this stack do not fetch URLs")
            .hint("set url_sources = \"public\" in [worker] of thumb.toml, then run `thumb apply`"));
    }
    let bucket = match (bucket, &config.buckets.sources) {
        (Some(bucket), _) => bucket,
        (None, config::Sources::Buckets(buckets)) if buckets.len() == 1 => buckets[0].clone(),
        (None, _) if !of_bucket => String::new(),
        (None, _) => return Err(Failure::usage("missing --bucket").hint("--bucket B names the bucket of the photos")),
    };
    if of_bucket {
        config::bucket_name(&bucket).map_err(|why| Failure::usage(format!("the bucket {bucket:?} {why}")))?;
    }
    Ok(Sources { bucket, keys, prefix, urls, stdin })
}

pub fn fit(text: &str) -> Result<Fit, String> {
    request::fit(text).map_err(|error| error.to_string())
}

fn requests(count: u64) -> String {
    format!("{count} {}", plural(count, "request"))
}

fn sentence(summary: &Summary, queue: &str) -> String {
    let Summary { queued, not_queued, skipped, seconds } = summary;
    let mut sentence = format!("queued {} on {queue} in {seconds:.1} s", requests(*queued));
    if *seconds >= 1.0 {
        sentence.push_str(&format!(" ({:.0} a second)", *queued as f64 / seconds));
    }
    if *skipped > 0 {
        sentence.push_str(&format!(
            "; skipped {skipped} {} (not pictures by their extensions, or empty)",
            plural(*skipped, "object")
        ));
    }
    if *not_queued > 0 {
        sentence.push_str(&format!("; {not_queued} not queued"));
    }
    sentence
}

/// A progress bar on stderr, if that is a terminal; failures are printed in any case.
struct Bar<'a> {
    bar: ProgressBar,
    waking: &'a Waking<'a>,
}

impl<'a> Bar<'a> {
    fn new(count: Option<u64>, waking: &'a Waking<'a>) -> Self {
        let bar = match count {
            Some(count) => ProgressBar::new(count).with_style(style("{bar:40} {pos}/{len} queued, {rate}, {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {pos} queued, {rate}")),
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, waking }
    }
}

pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid").with_key("rate", rate)
}

/// indicatif's own `{per_sec}` has four decimals.
fn rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{:.0}/s", state.per_sec());
}

impl Progress for Bar<'_> {
    fn queued(&mut self, requests: usize) {
        self.bar.inc(requests as u64);
        self.waking.queued(requests as u64);
    }

    fn not_queued(&mut self, name: &str, why: &str) {
        self.bar.suspend(|| {
            // If stderr is closed, the exit code still says it.
            let _ = writeln!(std::io::stderr(), "not queued: {}: {}", printable(name), printable(why));
        });
    }
}
