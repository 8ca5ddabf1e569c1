//! `thumb dlq`: what was rejected, and why; puts it back on the queue, or deletes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::ask::ask;
use super::{Global, print, tell};
use crate::aws::Clients;
use crate::dlq::{self, Group, Moved, Read, Reason, Rejected, Retried};
use crate::error::{Failure, Result};
use crate::text::{plural, printable, printable_json};
use crate::worker::queue_url;

/// Show what was rejected and why, and put it back on the queue.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "dlq",
    help_triggers("-h", "--help"),
    example = "thumb dlq",
    example = "thumb dlq retry --only \"access denied\"",
    note = "Reading hides the messages from other readers of the dead-letter queue for as long as it takes, at most two minutes."
)]
pub struct Args {
    #[argh(subcommand)]
    action: Option<Action>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Action {
    List(ListArgs),
    Show(ShowArgs),
    Retry(RetryArgs),
    Purge(PurgeArgs),
}

/// List the rejected messages by reason (the default).
#[derive(FromArgs, ArgsInfo, Default)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
struct ListArgs {
    /// one line a message, with its ID, instead of one a reason
    #[argh(switch)]
    each: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Show one rejected message whole.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "show", help_triggers("-h", "--help"))]
struct ShowArgs {
    /// the message's ID, or its start
    #[argh(positional, arg_name = "ID")]
    id: String,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Put rejected messages back on the queue.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "retry", help_triggers("-h", "--help"))]
struct RetryArgs {
    /// every message
    #[argh(switch)]
    all: bool,
    /// those whose reason, photo or text contains this
    #[argh(option, arg_name = "TEXT")]
    only: Option<String>,
    /// messages by their IDs, or the IDs' starts
    #[argh(positional, arg_name = "ID")]
    ids: Vec<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Delete every rejected message.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "purge", help_triggers("-h", "--help"))]
struct PurgeArgs {
    /// do not ask
    #[argh(switch)]
    yes: bool,
}

/// The queues of the stack.
struct Queues {
    clients: Clients,
    queue: String,
    queue_url: String,
    dlq: String,
    dlq_url: String,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let config = global.load_config()?;
    let clients = Clients::connect(config.region.as_deref()).await?;
    let (queue, dlq) = (config.queue.name, config.queue.dlq);
    let (queue_url, dlq_url) = (queue_url(&clients, &queue).await?, queue_url(&clients, &dlq).await?);
    let queues = Queues { clients, queue, queue_url, dlq, dlq_url };
    match args.action {
        None => queues.list(&ListArgs::default()).await,
        Some(Action::List(args)) => queues.list(&args).await,
        Some(Action::Show(args)) => queues.show(&args).await,
        Some(Action::Retry(args)) => queues.retry(&args).await,
        Some(Action::Purge(args)) => queues.purge(&args).await,
    }
}

impl Queues {
    /// Everything in the dead-letter queue; the messages stay hidden until they are released.
    async fn read(&self) -> Result<Read> {
        let read = dlq::read(&self.clients, &self.dlq_url).await;
        read.map_err(|error| error.failure(format!("cannot read the dead-letter queue {}", self.dlq)))
    }

    async fn release(&self, messages: &[&Rejected]) {
        dlq::release(&self.clients, &self.dlq_url, messages).await;
    }

    /// Everything in the dead-letter queue, visible again.
    async fn look(&self) -> Result<Read> {
        let read = self.read().await?;
        self.release(&read.messages.iter().collect::<Vec<_>>()).await;
        Ok(read)
    }

    async fn list(&self, args: &ListArgs) -> Result<()> {
        let read = self.look().await?;
        print(&match args.json {
            true => json_line(&self.dlq, &read),
            false => {
                // In a pipe a line has no end.
                let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
                table(&self.dlq, &read, args.each, now_ms(), width)
            }
        })
    }

    async fn show(&self, args: &ShowArgs) -> Result<()> {
        let read = self.look().await?;
        let message = dlq::find(&read.messages, &args.id).map_err(Failure::new)?;
        print(&match args.json {
            true => format!("{}\n", printable_json(&message_json(message).to_string())),
            false => whole(message, now_ms()),
        })
    }

    async fn retry(&self, args: &RetryArgs) -> Result<()> {
        let ways = [args.all, args.only.is_some(), !args.ids.is_empty()];
        if ways.iter().filter(|given| **given).count() != 1 {
            return Err(Failure::usage("say which messages: --all, --only TEXT, or their IDs")
                .hint("`thumb dlq list --each` shows the IDs"));
        }
        if args.all && self.move_all(args.json).await? {
            return Ok(());
        }
        let Read { messages, more } = self.read().await?;
        let chosen = choose(&messages, args);
        let others: Vec<&Rejected> = match &chosen {
            Ok(chosen) => messages.iter().filter(|message| chosen.iter().all(|one| one.id != message.id)).collect(),
            Err(_) => messages.iter().collect(),
        };
        self.release(&others).await;
        let chosen = chosen.map_err(Failure::new)?;
        let retried = dlq::retry(&self.clients, &self.dlq_url, &self.queue_url, &chosen).await;
        let retried = retried.map_err(|error| error.failure("cannot put all messages back on the queue"))?;
        self.finish(&retried, args.json)?;
        if more {
            tell("There are more messages than were read at once: run the command again.");
        }
        match retried.failed.len() {
            0 => Ok(()),
            failed => Err(Failure::new(format!("{failed} of {} messages stay in {}", chosen.len(), self.dlq))),
        }
    }

    /// Lets SQS move all messages; `false` if it does not.
    async fn move_all(&self, json: bool) -> Result<bool> {
        let moved = dlq::retry_all(&self.clients, &self.dlq_url, &self.queue_url, |_| {}).await;
        let moved = moved.map_err(|error| error.failure("cannot put the messages back on the queue"))?;
        let sentence = match &moved {
            Moved::Not(why) => {
                tell(&format!("SQS does not move the messages ({why}): they are put back one by one."));
                return Ok(false);
            }
            Moved::Done(count) => format!("put {} back on {}", messages(*count), self.queue),
            Moved::GoesOn(count) => {
                format!("put {} back on {}; SQS goes on with the rest", messages(*count), self.queue)
            }
        };
        let (Moved::Done(count) | Moved::GoesOn(count)) = moved else { return Ok(false) };
        let done = matches!(moved, Moved::Done(_));
        let text = if json { json!({ "moved": count, "done": done }).to_string() } else { sentence };
        print(&format!("{text}\n")).map(|()| true)
    }

    fn finish(&self, retried: &Retried, json: bool) -> Result<()> {
        let Retried { moved, twice, failed } = retried;
        if json {
            let failed: Vec<Value> = failed.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
            let line = json!({ "moved": moved, "done": failed.is_empty(), "twice": twice, "failed": failed });
            return print(&format!("{}\n", printable_json(&line.to_string())));
        }
        for (id, why) in failed {
            tell(&format!("{id}: {why}"));
        }
        if !twice.is_empty() {
            tell(&format!(
                "{} also in {}, which did not let them go: a thumbnail that is made twice is the same",
                are(twice.len()),
                self.dlq
            ));
        }
        print(&format!("put {} back on {}\n", messages(*moved as u64), self.queue))
    }

    async fn purge(&self, args: &PurgeArgs) -> Result<()> {
        if !args.yes {
            ask(&format!("Delete every message of {}? Nothing can bring them back.", self.dlq), "yes", "dlq purge")
                .await?;
        }
        let purged = dlq::purge(&self.clients, &self.dlq_url).await;
        purged.map_err(|error| error.failure(format!("cannot empty the dead-letter queue {}", self.dlq)))?;
        print(&format!("deleted every message of {}; SQS takes up to a minute\n", self.dlq))
    }
}

/// The messages to retry.
fn choose<'a>(messages: &'a [Rejected], args: &RetryArgs) -> Result<Vec<&'a Rejected>, String> {
    if let Some(text) = &args.only {
        let chosen: Vec<&Rejected> = messages.iter().filter(|message| message.mentions(text)).collect();
        return if chosen.is_empty() { Err(format!("no rejected message contains {text:?}")) } else { Ok(chosen) };
    }
    if args.all {
        return Ok(messages.iter().collect());
    }
    args.ids.iter().map(|id| dlq::find(messages, id)).collect()
}

/// `width`: where lines are cut.
fn table(dlq: &str, read: &Read, each: bool, now_ms: u64, width: Option<usize>) -> String {
    if read.messages.is_empty() {
        return format!("no rejected messages in {dlq}\n");
    }
    let more = if read.more { "more than " } else { "" };
    let count = messages(read.messages.len() as u64);
    let mut text = format!("{more}{} in {dlq}\n\n", count.replace("message", "rejected message"));
    if each {
        let rows = read.messages.iter().map(|message| {
            let Rejected { id, reason, .. } = message;
            let id = id.get(..8).unwrap_or(id).to_owned();
            [id, age(message.age(now_ms)), message.source(), reason.stage().to_owned(), reason.error().to_owned()]
        });
        text += &columns(["ID", "AGE", "PHOTO", "STAGE", "REASON"], rows.collect(), width);
    } else {
        let groups = dlq::groups(&read.messages);
        let rows = groups.iter().map(|Group { stage, error, messages }| {
            let newest = messages[0];
            let newest_age = age(newest.age(now_ms));
            [messages.len().to_string(), newest_age, newest.source(), (*stage).to_owned(), (*error).to_owned()]
        });
        text += &columns(["COUNT", "NEWEST", "PHOTO", "STAGE", "REASON"], rows.collect(), width);
    }
    text += "\nthumb dlq list --each   one line a message, with its ID\n";
    text += "thumb dlq retry --all   puts them back on the queue, once their reason is gone\n";
    text
}

/// Rows under a head, each column as wide as its widest cell; the last is not padded.
fn columns(head: [&str; 5], rows: Vec<[String; 5]>, width: Option<usize>) -> String {
    let rows: Vec<[String; 5]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let rows: Vec<[String; 5]> = rows.into_iter().map(|row| row.map(|cell| printable(&cell).into_owned())).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(widest);
    let mut text = String::new();
    for row in &rows {
        let padded: Vec<String> =
            row.iter().zip(widths).take(4).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += &cut(&format!("  {}  {}", padded.join("  "), row[4]), width);
        text.push('\n');
    }
    text
}

/// A line of at most `width` characters.
fn cut(line: &str, width: Option<usize>) -> String {
    match width.filter(|width| line.chars().count() > *width) {
        Some(width) => line.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => line.to_owned(),
    }
}

/// One message with everything that is known of it.
fn whole(message: &Rejected, now_ms: u64) -> String {
    let Rejected { id, body, attributes, group, reason, .. } = message;
    let mut lines = vec![("id", id.clone()), ("age", age(message.age(now_ms)))];
    lines.extend(message.sources().into_iter().map(|source| ("photo", source)));
    lines.push(("stage", reason.stage().to_owned()));
    lines.push(("reason", reason.error().to_owned()));
    if let Reason::Worker { worker, .. } = reason {
        lines.push(("worker", worker.clone()));
    }
    lines.extend(group.iter().map(|group| ("group", group.clone())));
    let named = |name: &str, text: &str| format!("{name:<9}{}\n", printable(text));
    let mut text: String = lines.iter().map(|(name, text)| named(name, text)).collect();
    for attribute in attributes {
        text += &named("attribute", &format!(" {} = {}", attribute.name, Rejected::attribute_text(attribute)));
    }
    text + &named("body", body)
}

fn json_line(dlq: &str, read: &Read) -> String {
    let messages: Vec<Value> = read.messages.iter().map(message_json).collect();
    let groups: Vec<Value> = dlq::groups(&read.messages)
        .iter()
        .map(|Group { stage, error, messages }| json!({ "stage": stage, "error": error, "count": messages.len() }))
        .collect();
    let all = json!({ "dlq": dlq, "groups": groups, "messages": messages, "more": read.more });
    format!("{}\n", printable_json(&all.to_string()))
}

fn message_json(message: &Rejected) -> Value {
    let Rejected { id, body, attributes, group, reason, sent_ms, .. } = message;
    let attributes: Value =
        attributes.iter().map(|one| (one.name.clone(), Value::from(Rejected::attribute_text(one)))).collect();
    let worker = match reason {
        Reason::Worker { worker, .. } => Some(worker),
        Reason::TooManyReceives => None,
    };
    json!({
        "id": id, "sources": message.sources(), "stage": reason.stage(), "error": reason.error(), "worker": worker,
        "sent_ms": sent_ms, "group": group, "attributes": attributes, "body": body,
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// "41s", "2m", "3h", "5d".
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn messages(count: u64) -> String {
    format!("{count} {}", plural(count, "message"))
}

fn are(count: usize) -> String {
    if count == 1 { "1 message is".to_owned() } else { format!("{count} messages are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_terminals_width() {
        let row = |reason: &str| ["1", "2m", "s3://photos/owl.jpg", "make", reason].map(str::to_owned);
        let rows = || vec![row("the file is truncated"), row("no")];
        let text = columns(["COUNT", "NEWEST", "PHOTO", "STAGE", "REASON"], rows(), Some(51));
        assert_eq!(
            text,
            "  COUNT  NEWEST  PHOTO                STAGE  REASON\n  \
             1      2m      s3://photos/owl.jpg  make   the f…\n  \
             1      2m      s3://photos/owl.jpg  make   no\n"
        );
        assert!(columns(["", "", "", "", ""], rows(), None).contains("the file is truncated"));
    }

    #[test]
    fn an_age_has_one_unit() {
        let words = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 1_209_600].map(|s| age(Duration::from_secs(s)));
        assert_eq!(words, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "14d"]);
    }
}
