//! `thumb enqueue`: puts thumbnail requests on the queue.

mod bar;
mod following;
mod places;
mod report;
mod wanted;

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::interrupts::interrupted;
use super::waking::{self, Waking};
use super::{Global, print, tell};
use crate::aws::{Clients, account_number};
use crate::config::Variant;
use crate::enqueue::{self, Sources};
use crate::error::Result;
use crate::request::{self, Request, Wanted};
use crate::text::plural;
use crate::thumbnail::{Fit, Output, Position};
use crate::worker;
pub use bar::style;
use bar::{Bar, NoBar};
use following::{Following, Wait};
use places::sources;
use wanted::wanted;

/// Put thumbnail requests on the queue.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "enqueue",
    help_triggers("-h", "--help"),
    example = "thumb enqueue s3://my-photos/2026/life.jpg --size 400x400",
    example = "thumb enqueue s3://my-photos/2026/ --size 400x400 --size 150x100 --wait",
    example = "thumb enqueue --bucket my-photos --keys a.jpg b.jpg --width 400 --height 300",
    example = "find-keys | thumb enqueue --bucket my-photos - --size 400x400",
    note = "Exits with 1 if any request could not be queued, or with --wait if any was rejected. A key that begins with a hyphen goes after --."
)]
pub struct Args {
    /// the bucket of keys (default: the only bucket in [buckets] sources)
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
    /// print the requests as JSON Lines, and queue nothing
    #[argh(switch)]
    dry_run: bool,
    /// do not look whether named photos exist and the workers may read them
    #[argh(switch)]
    no_check: bool,
    /// wait until every photo has its thumbnails or was rejected
    #[argh(switch)]
    wait: bool,
    /// how long --wait waits: 90s, 10m, 2h (default: 1h)
    #[argh(option, arg_name = "TIME", default = "Duration::from_secs(3600)", from_str_fn(duration))]
    timeout: Duration,
    /// print the count as JSON
    #[argh(switch)]
    json: bool,
    /// s3://BUCKET/KEY, s3://BUCKET/PREFIX/ (all pictures under it), https://…, or keys in the bucket
    #[argh(positional, arg_name = "PHOTO")]
    photos: Vec<String>,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let config = global.load_config()?;
    let wanted = wanted(&args, &config)?;
    let sources = sources(&args, &config)?;
    let clients = Clients::connect(config.region.as_deref()).await?;
    if args.dry_run {
        return dry_run(&clients, &wanted, sources).await;
    }
    let queue = &config.queue.name;
    let (queue_url, account) =
        tokio::try_join!(worker::queue_url(&clients, queue), account_number(config.account.as_deref(), &clients))?;
    let waking = Waking::new(&clients, &config);
    let mut following = Following::new(&config, &account);
    let wait = match args.wait {
        true => Some(Wait::begin(&clients, &config, &account, queue_url.clone(), args.timeout).await?),
        false => None,
    };
    following.keep = args.wait;
    let mut bar = Bar::new(sources.count(), &waking, following);
    let sent = enqueue::enqueue(&clients, &queue_url, &wanted, sources, &mut bar, interrupted());
    let summary = waking.during(sent).await;
    bar.bar.finish_and_clear();
    let summary = summary?;
    let following = bar.following;
    let woken = waking.finish(summary.queued).await;
    let mut line = serde_json::json!(summary);
    if let Some(instances) = woken {
        line["instances"] = instances.into();
    }
    if !args.json {
        print(&format!("{}\n", report::sentences(&summary, queue, &following)))?;
        woken.into_iter().for_each(waking::tell_woken);
    }
    let ended = match wait {
        Some(wait) if !summary.interrupted => Some(wait.follow(following.tracked, args.json).await?),
        _ => None,
    };
    if args.json {
        if let Some(ended) = &ended {
            report::add(&mut line, ended);
        }
        print(&format!("{line}\n"))?;
    }
    report::conclude(&summary, ended.as_ref())
}

/// Shows what would be queued.
async fn dry_run(clients: &Clients, wanted: &Wanted, sources: Sources) -> Result<()> {
    let mut bar = NoBar;
    let show = |request: &Request| print(&format!("{}\n", request.to_json()));
    let summary = enqueue::preview(clients, wanted, sources, &mut bar, show).await?;
    tell(&format!("would queue {} {}", summary.queued, plural(summary.queued, "request")));
    report::conclude(&summary, None)
}

/// `90s`, `10m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a time such as 90s, 10m or 2h"))
}

pub fn fit(text: &str) -> Result<Fit, String> {
    request::fit(text).map_err(|error| error.to_string())
}
