//! `thumb backfill`: thumbnails of what is in a bucket already. Says first how many, how long and how much.

use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use indicatif::ProgressBar;
use serde_json::json;

use super::ask::ask;
use super::enqueue::style;
use super::interrupts::interrupted;
use super::waking::{self, Waking};
use super::{Global, print, tell};
use crate::aws::{Clients, account_number};
use crate::config::{self, Config, Sources};
use crate::enqueue::backfill::state::{Files, Run};
use crate::enqueue::backfill::{Counts, Place, Progress, Queued, find, queue};
use crate::error::{Failure, Result};
use crate::stack::capacity::{cpus_of, pictures_a_second};
use crate::stack::cost;
use crate::text::{plural, printable};
use crate::worker::queue_url;

/// The type whose price stands for a group's, which has many types and, with Spot, a fraction of their prices.
const TYPE_OF_A_GROUP: &str = "c7i.large";

/// Make the thumbnails that are missing for the photos in a bucket.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "backfill",
    help_triggers("-h", "--help"),
    example = "thumb backfill --bucket my-photos",
    example = "thumb backfill --bucket my-photos --prefix 2026/ --dry-run",
    note = "Lists the bucket and the thumbnails once, and queues the photos that lack one of their sizes, or are newer than it. New \
            uploads pass a backfill in the queue. A listing tells neither how a thumbnail was made nor who may read it: after a \
            change of such settings use thumb enqueue --prefix."
)]
pub struct Args {
    /// the bucket of the photos (default: the only one in [buckets] sources)
    #[argh(option, arg_name = "B")]
    bucket: Option<String>,
    /// only photos under this prefix
    #[argh(option, arg_name = "P", default = "String::new()")]
    prefix: String,
    /// go on where an interrupted backfill of the bucket stopped
    #[argh(switch)]
    resume: bool,
    /// say how many photos, how long and how much, and queue nothing
    #[argh(switch, short = 'n')]
    dry_run: bool,
    /// do not ask for confirmation
    #[argh(switch, short = 'y')]
    yes: bool,
    /// print the result as JSON (requires --yes or --dry-run)
    #[argh(switch)]
    json: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    if args.json && !args.yes && !args.dry_run {
        return Err(Failure::usage("--json requires --yes or --dry-run"));
    }
    let config = global.load_config()?;
    let bucket = bucket(args.bucket.as_deref(), &config)?;
    if config.thumbnail.sizes.is_empty() && config.triggers.iter().all(|trigger| trigger.sizes.is_empty()) {
        return Err(Failure::usage("missing size").hint("set `sizes` in [thumbnail] of thumb.toml"));
    }
    let clients = Clients::connect(config.region.as_deref()).await?;
    let queue_url = queue_url(&clients, &config.queue.name).await?;
    let files = Files::beside(&global.config, &config.name, &bucket);
    let mut bar = Bar::listing();
    if !args.resume {
        if files.exist() {
            tell("note: an interrupted backfill of this bucket is forgotten; --resume would have gone on with it");
        }
        let account = account_number(config.account.as_deref(), &clients).await?;
        let mut writer = files.begin(&Run::new(&config.name, &bucket, &args.prefix))?;
        let place = Place { bucket: &bucket, prefix: &args.prefix, account: &account };
        let counts = find(&clients, &config, &place, &mut writer, &mut bar).await;
        bar.bar.finish_and_clear();
        let forget = |failure: Failure| files.remove().map_or_else(|other| other, |()| failure);
        let counts = counts.and_then(|counts| writer.finish().map(|()| counts)).map_err(forget)?;
        let forecast = Forecast::new(&config, &counts);
        if counts.missing == 0 || args.dry_run {
            files.remove()?;
            return print(&match args.json {
                true => format!("{}\n", forecast.json(&counts)),
                false => format!("{}\n", forecast.sentences(&counts, &bucket)),
            });
        }
        if !args.json {
            tell(&forecast.sentences(&counts, &bucket));
        }
        if !args.yes {
            ask("Queue them?", "yes", "backfill").await.map_err(forget)?;
        }
    }
    let reader = files.resume()?;
    if reader.run.prefix != args.prefix {
        return Err(Failure::usage(format!("the interrupted backfill has the prefix {:?}", reader.run.prefix)));
    }
    let (total, before, group) = (reader.total, reader.done, reader.run.group.clone());
    let waking = Waking::new(&clients, &config);
    let began = Instant::now();
    let mut bar = Bar::queueing(total, before, &waking);
    let sending = queue(&clients, &config, &queue_url, &files, reader, &mut bar, interrupted());
    let queued = waking.during(sending).await;
    bar.bar.finish_and_clear();
    let Queued { queued, not_queued, interrupted } = queued?;
    let woken = waking.finish(queued).await;
    let seconds = (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
    let name = &config.queue.name;
    print(&match args.json {
        true => {
            let line = json!({
                "queued": queued, "not_queued": not_queued, "queued_before": before, "total": total, "group": group,
                "interrupted": interrupted, "instances": woken, "seconds": seconds,
            });
            format!("{line}\n")
        }
        false => format!("queued {} on {name} in {seconds:.1} s\n", requests(queued)),
    })?;
    if let (Some(instances), false) = (woken, args.json) {
        waking::tell_woken(instances);
    }
    if interrupted {
        let left = total.saturating_sub(before + queued + not_queued);
        return Err(Failure::interrupted(format!("interrupted: {} are not queued", count(left, "photo")))
            .hint("`thumb backfill --resume`, with the same --bucket and --prefix, goes on"));
    }
    match not_queued {
        0 => Ok(()),
        _ => Err(Failure::new(format!("{} could not be queued (listed above)", requests(not_queued)))),
    }
}

fn bucket(given: Option<&str>, config: &Config) -> Result<String> {
    let Sources::Buckets(sources) = &config.buckets.sources else {
        let bucket = given.ok_or_else(|| Failure::usage("missing --bucket"))?;
        config::bucket_name(bucket).map_err(|why| Failure::usage(format!("the bucket {bucket:?} {why}")))?;
        return Ok(bucket.to_owned());
    };
    match (given, &sources[..]) {
        (Some(bucket), _) if sources.iter().any(|source| source == bucket) => Ok(bucket.to_owned()),
        (Some(bucket), _) => Err(Failure::usage(format!("the workers may not read the bucket {bucket}"))
            .hint("add it to `sources` in [buckets] of thumb.toml, then run `thumb apply`")),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Failure::usage("missing --bucket").hint("--bucket B names the bucket of the photos")),
    }
}

/// What a backfill takes.
struct Forecast {
    instances: u32,
    /// Of one instance.
    a_second: f64,
    seconds: f64,
    requests_usd: f64,
    instances_usd: Option<f64>,
    /// None: all is done before SQS forgets it.
    retention_s: Option<u32>,
}

impl Forecast {
    fn new(config: &Config, counts: &Counts) -> Self {
        let (instances, kind) = match &config.scaling {
            Some(scaling) => (scaling.max, scaling.types.first().map_or(TYPE_OF_A_GROUP, String::as_str)),
            None => (config.instance.count, config.instance.instance_type.as_str()),
        };
        let a_second = pictures_a_second(cpus_of(kind).unwrap_or(2));
        let seconds = counts.missing as f64 / (a_second * f64::from(instances.max(1)));
        let hours = seconds / 3_600.0 * f64::from(instances);
        let (requests_usd, instances_usd) = cost::of_work(counts.missing, counts.thumbnails, kind, hours);
        let retention_s = config.queue.retention_s;
        let retention_s = (seconds > f64::from(retention_s)).then_some(retention_s);
        Self { instances, a_second, seconds, requests_usd, instances_usd, retention_s }
    }

    fn sentences(&self, counts: &Counts, bucket: &str) -> String {
        let Counts { photos, missing, thumbnails, others } = counts;
        let not = if *others == 0 {
            String::new()
        } else {
            format!(" (beside {} other {})", grouped(*others), plural(*others, "object"))
        };
        if *photos == 0 {
            return format!("there are no photos to be found in {bucket}{not}");
        }
        if *missing == 0 {
            return format!("every one of {} in {bucket} has its thumbnails{not}", count(*photos, "photo"));
        }
        let mut text = format!(
            "{} of {} in {bucket} {} no thumbnails, or old ones{not}: {} to make.\n",
            grouped(*missing),
            count(*photos, "photo"),
            if *missing == 1 { "has" } else { "have" },
            count(*thumbnails, "thumbnail")
        );
        let Self { instances, a_second, seconds, requests_usd, instances_usd, retention_s } = self;
        let prices = cost::PRICES_OF;
        let requests = format!("{} for requests", usd(*requests_usd));
        match (instances, instances_usd) {
            (0, _) => text += &format!("It costs {requests}, and no instance is declared to do it."),
            (_, Some(instances_usd)) => {
                text += &format!(
                    "It takes about {} with {}, at {a_second:.0} photos a second each, and costs {requests} and {} for \
                     instances (list prices of {prices}).",
                    duration(*seconds),
                    count((*instances).into(), "instance"),
                    usd(*instances_usd)
                );
            }
            (_, None) => {
                text += &format!(
                    "It takes about {} with {}, at {a_second:.0} photos a second each, and costs {requests} and the \
                     instances (list prices of {prices}).",
                    duration(*seconds),
                    count((*instances).into(), "instance")
                );
            }
        }
        if let Some(retention_s) = retention_s {
            let retention = duration((*retention_s).into());
            text += &format!(
                "\nSQS forgets a message after {retention} (`retention` in [queue]), before the last of these would be done: use \
                 more instances, or do it in parts with --prefix."
            );
        }
        text
    }

    fn json(&self, counts: &Counts) -> serde_json::Value {
        let Counts { photos, missing, thumbnails, others } = counts;
        let cents = |usd: f64| (usd * 100.0).round() / 100.0;
        json!({
            "photos": photos, "missing": missing, "thumbnails": thumbnails, "others": others,
            "instances": self.instances, "seconds": self.seconds.round(), "requests_usd": cents(self.requests_usd),
            "instances_usd": self.instances_usd.map(cents), "prices_of": cost::PRICES_OF,
        })
    }
}

fn usd(usd: f64) -> String {
    if usd < 0.01 { "less than $0.01".to_owned() } else { format!("about ${usd:.2}") }
}

/// "40 s", "12 min", "3 h 20 min", "5 days".
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        _ if seconds < 90.0 => format!("{:.0} s", seconds.max(1.0)),
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

/// 1234567 as "1,234,567".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count(number: u64, noun: &str) -> String {
    format!("{} {}", grouped(number), plural(number, noun))
}

fn requests(number: u64) -> String {
    count(number, "request")
}

/// The progress on stderr; nothing in a pipe.
struct Bar<'a> {
    bar: ProgressBar,
    waking: Option<&'a Waking<'a>>,
}

impl<'a> Bar<'a> {
    fn listing() -> Self {
        let bar = ProgressBar::new_spinner().with_style(style("{spinner} listing: {msg}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, waking: None }
    }

    fn queueing(total: u64, before: u64, waking: &'a Waking<'a>) -> Self {
        let bar = ProgressBar::new(total).with_style(style("{bar:40} {pos}/{len} queued, {rate}{left}"));
        bar.set_position(before);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, waking: Some(waking) }
    }
}

impl Progress for Bar<'_> {
    fn listed(&mut self, thumbnails: u64, photos: u64) {
        self.bar.set_message(format!("{} thumbnails, {} objects", grouped(thumbnails), grouped(photos)));
    }

    fn queued(&mut self, requests: u64) {
        self.bar.inc(requests);
        if let Some(waking) = self.waking {
            waking.queued(requests);
        }
    }

    fn not_queued(&mut self, name: &str, why: &str) {
        self.bar.suspend(|| tell(&format!("not queued: {}: {}", printable(name), printable(why))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_says_how_many_how_long_and_how_much() {
        let forecast = |toml: &str, counts: &Counts| {
            let config = Config::parse(&format!("name = \"cats\"\n{toml}"), "").unwrap();
            Forecast::new(&config, counts).sentences(counts, "photos")
        };
        let million = Counts { photos: 1_200_000, missing: 1_000_000, thumbnails: 3_000_000, others: 12 };
        let texts = [
            forecast("[scaling]", &million),
            forecast("", &Counts { photos: 3, missing: 1, thumbnails: 1, others: 0 }),
            forecast("[instance]\ncount = 0", &million),
            forecast("[queue]\nretention = \"1h\"", &million),
            forecast("", &Counts { photos: 3, ..Counts::default() }),
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn durations_and_numbers_read_well() {
        let words = [3.2, 89.0, 91.0, 7_000.0, 7_300.0, 400_000.0].map(duration);
        assert_eq!(words, ["3 s", "89 s", "2 min", "117 min", "2 h 2 min", "4 days"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
