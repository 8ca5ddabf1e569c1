//! `thumb render`: thumbnails of local files, to try sizes, and to measure.

mod files;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::json;

use super::enqueue::{fit, style};
use super::{Global, print};
use crate::config::{Background, Variant};
use crate::error::{Failure, Result};
use crate::text::{bytes, plural, printable, printable_json};
use crate::thumbnail::{self, DEFAULT_QUALITY, Fit, Options, Output, Position, Sharpen, Spec, Truncated};
use files::{Job, Rendered};

/// Make thumbnails of local files, as a worker would; without AWS and thumb.toml.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "render",
    help_triggers("-h", "--help"),
    example = "thumb render cat.jpg owl.jpg --size 400x400 --size 150x100 --out thumbnails\n\
               thumb render photos --size 400x -o thumbnails    # a directory, with what is below it\n\
               thumb render - --size 400x400 < cat.jpg > small.jpg"
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
    /// say what would be written, and write nothing
    #[argh(switch, short = 'n')]
    dry_run: bool,
    /// print JSON Lines, one a thumbnail
    #[argh(switch)]
    json: bool,
    /// read one picture from stdin and write its thumbnail to stdout (also: -)
    #[argh(switch)]
    stdin: bool,
    /// pictures, and directories of pictures
    #[argh(positional, arg_name = "FILE")]
    files: Vec<PathBuf>,
}

pub async fn run(args: Args, _global: &Global) -> Result<()> {
    let (specs, options) = (specs(&args), options(&args));
    let Args { sizes, out, quality, jobs, files, dry_run, json, stdin, .. } = args;
    if files.is_empty() && !stdin {
        return Err(Failure::usage("missing FILE").hint("thumb render cat.jpg --size 400x300"));
    }
    if sizes.is_empty() {
        let file = files.first().map_or_else(|| "-".into(), |file| file.display().to_string());
        return Err(Failure::usage("missing --size").hint(format!("thumb render {file} --size 400x300")));
    }
    if !(1..=100).contains(&quality) {
        return Err(Failure::usage("--quality must be between 1 and 100"));
    }
    if stdin {
        if !files.is_empty() || specs.len() != 1 || out.is_some() || json || dry_run {
            return Err(Failure::usage("- reads one picture and writes one thumbnail: no files, one --size, no --out")
                .hint("thumb render - --size 400x300 < cat.jpg > small.jpg"));
        }
        let make = tokio::task::spawn_blocking(move || through(&specs, &options));
        return make.await.map_err(|error| Failure::bug("the engine panicked").caused_by(&error))?;
    }
    let sources = files::sources(&files, &specs, out.as_deref())?;
    let plan = files::plan(&sources, &specs, out.as_deref());
    let count = plan.len() as u64;
    let mut shown = Shown { json, bar: bar(count), failed: 0 };
    if dry_run {
        for job in plan {
            shown.planned(job)?;
        }
    } else {
        if let Some(out) = &out {
            create(out)?;
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = jobs.unwrap_or(cpus).max(1);
        let mut ended = stream::iter(plan.into_iter().map(|job| one(job.map(Arc::new), options))).buffered(jobs);
        while let Some(result) = ended.next().await {
            shown.ended(result)?;
        }
    }
    shown.bar.finish_and_clear();
    match shown.failed {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {count} {} failed", plural(count, "file")))),
    }
}

fn create(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out)
        .map_err(|error| Failure::new(format!("cannot create the directory {}", out.display())).caused_by(&error))
}

/// Makes the thumbnail of the picture on stdin.
fn through(specs: &[Spec], options: &Options) -> Result<()> {
    if std::io::stdout().is_terminal() {
        return Err(Failure::usage("stdout is a terminal, and would get the bytes of a picture")
            .hint("thumb render - --size 400x300 < cat.jpg > small.jpg"));
    }
    let mut source = Vec::new();
    let most = options.limits.max_source_bytes as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_end(&mut source);
    read.map_err(|error| Failure::new("cannot read stdin").caused_by(&error))?;
    let made = thumbnail::thumbnails(&source, specs, options)
        .map_err(|error| Failure::new("cannot make a thumbnail of the picture on stdin").caused_by(&error))?;
    let mut stdout = std::io::stdout().lock();
    let written = made.iter().try_for_each(|made| stdout.write_all(&made.bytes)).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::stdout(&error))
}

/// Shown on a terminal, and for more than one file.
fn bar(count: u64) -> ProgressBar {
    if count < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count).with_style(style("{bar:20} {human_pos} of {human_len}  {rate}  {eta} left"));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// What is printed of the files.
struct Shown {
    json: bool,
    bar: ProgressBar,
    failed: u64,
}

impl Shown {
    /// Of a dry run.
    fn planned(&mut self, job: Result<Job>) -> Result<()> {
        let Job { source, targets } = match job {
            Ok(job) => job,
            Err(failure) => return self.fail(&failure),
        };
        let mut lines = String::new();
        for (spec, path) in &targets {
            // Without a format, one of several extensions follows.
            let path = spec.output.format().map_or_else(|| path.clone(), |format| files::file(path, format));
            let (source, path) = (source.display().to_string(), path.display().to_string());
            lines += &match self.json {
                true => json_line(&json!({ "source": source, "path": path, "size": spec.size.to_string() })),
                false => format!("{}\n", printable(&format!("would write {path} of {source}"))),
            };
        }
        self.print(&lines)
    }

    fn ended(&mut self, result: Result<(Arc<Job>, Vec<Rendered>, Duration)>) -> Result<()> {
        let (job, rendered, took) = match result {
            Ok(ended) => ended,
            Err(failure) => return self.fail(&failure),
        };
        let mut lines = String::new();
        for Rendered { path, width, height, format, placeholder, bytes: length } in &rendered {
            let (source, path, ms) = (job.source.display(), path.display(), took.as_secs_f64() * 1e3);
            lines += &match self.json {
                true => json_line(&json!({
                    "source": source.to_string(), "path": path.to_string(), "width": width, "height": height,
                    "format": format.word(), "thumb_hash": placeholder.thumb_hash_base64(),
                    "dominant": placeholder.dominant_hex(), "bytes": length, "ms": (ms * 10.0).round() / 10.0,
                })),
                false => {
                    let line = format!("{path}  {width}x{height}  {}  {ms:.0} ms", bytes(*length as u64));
                    format!("{}\n", printable(&line))
                }
            };
        }
        self.print(&lines)
    }

    fn print(&mut self, lines: &str) -> Result<()> {
        self.bar.inc(1);
        self.bar.suspend(|| print(lines))
    }

    fn fail(&mut self, failure: &Failure) -> Result<()> {
        self.failed += 1;
        self.bar.inc(1);
        self.bar.suspend(|| super::print_failure(failure));
        Ok(())
    }
}

fn json_line(value: &serde_json::Value) -> String {
    format!("{}\n", printable_json(&value.to_string()))
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
