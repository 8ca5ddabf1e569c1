//! `thumb render`: thumbnails of local files, to try sizes, and to measure.

mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use futures_util::{StreamExt, stream};

use super::enqueue::fit;
use super::{Global, print};
use crate::config::{Background, Variant};
use crate::error::{Failure, Result};
use crate::text::printable;
use crate::thumbnail::{DEFAULT_QUALITY, Fit, Options, Output, Position, Sharpen, Spec, Truncated};
use files::{Job, Rendered};

/// Make thumbnails of local files, as a worker would; without AWS and thumb.toml.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "render",
    help_triggers("-h", "--help"),
    example = "thumb render cat.jpg owl.jpg --size 400x400 --size 150x100 --out thumbnails"
)]
pub struct Args {
    /// a thumbnail size: WxH, Wx or xH, with .webp or .png if it is to have a format of its own (repeatable)
    #[argh(option, long = "size", arg_name = "WxH")]
    sizes: Vec<Variant>,
    /// jpeg (the default), webp, png or auto (repeatable)
    #[argh(option, long = "format", arg_name = "F")]
    formats: Vec<Output>,
    /// directory for the thumbnails (default: beside each file)
    #[argh(option, short = 'o', arg_name = "DIR")]
    out: Option<PathBuf>,
    /// cover (the default), contain or fill
    #[argh(option, from_str_fn(fit), default = "Fit::default()")]
    fit: Fit,
    /// what a crop keeps: center (the default), north, northeast, east, southeast, south, southwest, west, northwest, region,
    /// smart, or a point such as 0.5,0.25
    #[argh(option, default = "Position::default()")]
    focus: Position,
    /// keep the thumbnails of small pictures small
    #[argh(switch)]
    no_enlarge: bool,
    /// off (the default) or light
    #[argh(option, default = "Sharpen::default()")]
    sharpen: Sharpen,
    /// the colour behind transparent parts of a JPEG (default: #ffffff)
    #[argh(option, arg_name = "COLOUR", default = "Background::default()")]
    background: Background,
    /// make a thumbnail of what can be read of a truncated or damaged file
    #[argh(switch)]
    best_effort: bool,
    /// from 1 to 100 (default: 80)
    #[argh(option, default = "DEFAULT_QUALITY")]
    quality: u8,
    /// files processed in parallel (default: the number of CPUs)
    #[argh(option, short = 'j', arg_name = "N")]
    jobs: Option<usize>,
    /// pictures
    #[argh(positional, arg_name = "FILE")]
    files: Vec<PathBuf>,
}

pub async fn run(args: Args, _global: &Global) -> Result<()> {
    let (specs, options) = (specs(&args), options(&args));
    let Args { sizes, out, quality, jobs, files, .. } = args;
    if files.is_empty() {
        return Err(Failure::usage("missing FILE"));
    }
    if sizes.is_empty() {
        return Err(Failure::usage("missing size").hint("--size 400x300"));
    }
    if !(1..=100).contains(&quality) {
        return Err(Failure::usage("--quality must be between 1 and 100"));
    }
    if let Some(out) = &out {
        std::fs::create_dir_all(out).map_err(|error| {
            Failure::new(format!("cannot create the directory {}", out.display())).caused_by(&error)
        })?;
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = files::plan(&files, &specs, out.as_deref());
    let mut failed = 0;
    let mut ended =
        stream::iter(plan.into_iter().map(|job| one(job.map(Arc::new), options))).buffered(jobs.unwrap_or(cpus).max(1));
    while let Some(result) = ended.next().await {
        match result {
            Ok((job, rendered, took)) => print_rendered(&job, &rendered, took)?,
            Err(failure) => {
                failed += 1;
                super::print_failure(&failure);
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {} files failed", files.len()))),
    }
}

/// A thumbnail of each size in each format.
fn specs(args: &Args) -> Vec<Spec> {
    let formats = if args.formats.is_empty() { &[Output::Jpeg][..] } else { &args.formats };
    let spec = |variant: &Variant, output: Output| Spec {
        size: variant.size,
        fit: args.fit,
        position: args.focus,
        enlarge: !args.no_enlarge,
        sharpen: args.sharpen,
        output,
        quality: args.quality,
    };
    let of_variant = |variant| Variant::outputs(variant, formats).iter().map(move |&output| spec(variant, output));
    args.sizes.iter().flat_map(of_variant).collect()
}

fn options(args: &Args) -> Options {
    let truncated = if args.best_effort { Truncated::BestEffort } else { Truncated::Strict };
    Options { truncated, background: args.background.0, ..Options::default() }
}

async fn one(job: Result<Arc<Job>>, options: Options) -> Result<(Arc<Job>, Vec<Rendered>, Duration)> {
    let job = job?;
    let worked_on = Arc::clone(&job);
    let run = tokio::task::spawn_blocking(move || files::render(&worked_on, &options));
    let (rendered, took) = run.await.map_err(|error| {
        Failure::bug(format!("the engine panicked on {}", job.source.display())).caused_by(&error)
    })??;
    Ok((job, rendered, took))
}

fn print_rendered(job: &Job, rendered: &[Rendered], took: Duration) -> Result<()> {
    let mut lines = String::new();
    for Rendered { path, width, height, bytes } in rendered {
        let (source, path, ms) = (job.source.display(), path.display(), took.as_secs_f64() * 1e3);
        let line = format!("{path} {width}x{height} {bytes} bytes of {source} ({ms:.0} ms)");
        lines.push_str(&printable(&line));
        lines.push('\n');
    }
    print(&lines)
}
