//! A status as text. Pure.

use anstyle::{AnsiColor, Style};

use super::{Drift, Group, LastActivity, Queue, Status, Worker, Working};
use crate::text::{ago, plural, printable};

/// The whole status: a line a part, a line a worker, and what is wrong.
pub fn block(status: &Status, now_s: u64) -> String {
    let Status { stack, account, region, queue, rejected, thumbnails, group, workers, drift, usd_a_month, problems } =
        status;
    let bold = Style::new().bold();
    let mut lines = vec![format!("{bold}Stack {stack}{bold:#}   account {account}   {region}"), String::new()];
    let mut row = |label: &str, text: String| lines.push(format!("{label:<11} {text}"));
    row("Queue", queue.as_ref().map_or_else(|| "does not exist".to_owned(), queue_text));
    row(
        "Rejected",
        match rejected {
            None => "no dead-letter queue".to_owned(),
            Some(0) => "none".to_owned(),
            Some(count) => format!("{red}{count}{red:#}   thumb dlq", red = AnsiColor::Red.on_default().bold()),
        },
    );
    let who = match (thumbnails.exists, thumbnails.public) {
        (false, _) => "does not exist",
        (true, true) => "public",
        (true, false) => "private",
    };
    row("Thumbnails", format!("s3://{}   {who}", thumbnails.bucket));
    if let Some(group) = group {
        group_rows(group, now_s, &mut row);
    }
    row("Drift", drift_text(drift));
    if let Some(usd) = usd_a_month {
        row("Cost", format!("about ${usd:.2} a month for what runs"));
    }
    if !workers.is_empty() {
        lines.push(String::new());
        lines.extend(table(workers));
    }
    if !problems.is_empty() {
        lines.push(String::new());
        let red = AnsiColor::Red.on_default().bold();
        lines.extend(problems.iter().map(|problem| format!("{red}!{red:#} {}", printable(problem))));
    }
    lines.join("\n") + "\n"
}

/// One line, for a pipe: "2026-11-28T01:02:03Z  183 waiting, 16 in progress, 2 rejected, 2 of 3 workers".
pub fn line(status: &Status, now_s: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now_s);
    let queue = status.queue.as_ref().map_or_else(|| "no queue".to_owned(), queue_text);
    let well = status.workers.iter().filter(|worker| worker.problem.is_none()).count();
    let workers = status.workers.len();
    let rejected = status.rejected.unwrap_or_default();
    let mut text = format!(
        "{}  {queue}, {rejected} rejected, {well} of {workers} {} well",
        humantime::format_rfc3339_seconds(time),
        plural(workers as u64, "worker")
    );
    if !status.problems.is_empty() {
        let problems: Vec<_> = status.problems.iter().map(|problem| printable(problem)).collect();
        text.push_str(&format!("; {}", problems.join("; ")));
    }
    text + "\n"
}

fn queue_text(queue: &Queue) -> String {
    let Queue { name: _, counts, oldest_s, done_a_second } = queue;
    let mut parts = vec![format!("{} waiting", counts.waiting)];
    if counts.in_flight > 0 {
        parts.push(format!("{} in progress", counts.in_flight));
    }
    if counts.delayed > 0 {
        parts.push(format!("{} delayed", counts.delayed));
    }
    let mut text = parts.join(", ");
    if let Some(oldest_s) = oldest_s {
        text.push_str(&format!("   oldest {}", ago(*oldest_s)));
    }
    if let Some(rate) = done_a_second.filter(|rate| *rate > 0.0) {
        text.push_str(&format!("   {rate:.1}/s"));
    }
    text
}

fn group_rows(group: &Group, now_s: u64, row: &mut impl FnMut(&str, String)) {
    let Group { desired, min, max, refresh, last_activity } = group;
    let refresh = refresh.as_ref().map(|refresh| format!("   refresh: {refresh}")).unwrap_or_default();
    row("Fleet", format!("{desired} {} of {min} to {max}{refresh}", plural((*desired).into(), "instance")));
    if let Some(LastActivity { what, status, cause, began_s }) = last_activity {
        let seconds = now_s.saturating_sub(u64::try_from(*began_s).unwrap_or_default());
        row("", format!("{} ago: {} ({status})", ago(seconds), printable(what)));
        if !cause.is_empty() {
            row("", format!("because {}", printable(cause)));
        }
    }
}

fn drift_text(drift: &Drift) -> String {
    let Drift { changes, blocked } = drift;
    let count = (changes.len() + blocked.len()) as u64;
    match count {
        0 => "none".to_owned(),
        _ => format!("{count} {}   thumb plan", plural(count, "change")),
    }
}

/// The workers, a line each.
fn table(workers: &[Worker]) -> Vec<String> {
    let heads = ["Instance", "ID", "State", "Worker", "Version", "Seen", "Made", "Rejected"].map(str::to_owned);
    let mut rows = vec![heads];
    // The instances of a group have no addresses.
    if workers.iter().all(|worker| worker.address.is_empty()) {
        rows[0][0].clear();
    }
    rows.extend(workers.iter().map(|worker| {
        let Worker { address, id, state, worker, thumb, seen_s, made, rejected, problem: _ } = worker;
        [
            address.clone(),
            id.clone(),
            printable(state).into_owned(),
            worker.as_str().to_owned(),
            thumb.as_deref().map(|thumb| printable(thumb).into_owned()).unwrap_or_default(),
            seen_s.map(ago).unwrap_or_default(),
            made.to_string(),
            rejected.to_string(),
        ]
    }));
    let widths: Vec<usize> =
        (0..8).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let silent = |row: usize| row > 0 && matches!(workers[row - 1].worker, Working::Silent | Working::Unknown);
    let line = |(number, row): (usize, &[String; 8])| {
        let cells = row.iter().zip(&widths).enumerate();
        // An empty column, as the addresses of a group's instances are, has no room.
        let cells = cells.filter(|(_, (_, width))| **width > 0);
        let text: Vec<String> = cells
            .map(
                |(column, (cell, width))| {
                    if column >= 5 { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        let text = text.join("  ").trim_end().to_owned();
        let style = match number {
            0 => Style::new().dimmed(),
            _ if silent(number) => AnsiColor::Red.on_default(),
            _ => Style::new(),
        };
        format!("{style}{text}{style:#}")
    };
    rows.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::QueueCounts;
    use crate::status::Thumbnails;

    fn worker(address: &str, id: &str, worker: Working, problem: Option<&str>) -> Worker {
        Worker {
            address: address.into(),
            id: id.into(),
            state: "running".into(),
            worker,
            thumb: Some("0.1.0".into()),
            seen_s: Some(12),
            made: 2_140,
            rejected: 2,
            problem: problem.map(str::to_owned),
        }
    }

    fn status() -> Status {
        Status {
            stack: "holiday".into(),
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            queue: Some(Queue {
                name: "holiday".into(),
                counts: QueueCounts { waiting: 183, in_flight: 16, delayed: 2 },
                oldest_s: Some(41),
                done_a_second: Some(46.25),
            }),
            rejected: Some(2),
            thumbnails: Thumbnails { bucket: "holiday-thumbnails-123456789012".into(), exists: true, public: false },
            group: None,
            workers: vec![
                worker("instance.1", "i-0a498c2eba886f18f", Working::Working, None),
                worker("instance.2", "i-0771a98846439dc2d", Working::Silent, Some("instance.2 is silent")),
            ],
            drift: Drift::default(),
            usd_a_month: Some(24.9),
            problems: vec!["2 requests were rejected: see `thumb dlq`".into(), "instance.2 is silent".into()],
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn everything_is_on_one_screen() {
        let text = plain(&block(&status(), 1_800_000_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_group_says_what_it_did_last_and_why() {
        let group = Group {
            desired: 1,
            min: 0,
            max: 10,
            refresh: Some("InProgress, 40 %".into()),
            last_activity: Some(LastActivity {
                what: "Launching a new EC2 instance: i-0a498c2eba886f18f".into(),
                status: "Successful".into(),
                cause: "an alarm has been in state ALARM".into(),
                began_s: 1_799_999_700,
            }),
        };
        let workers = vec![worker("", "i-0a498c2eba886f18f", Working::Idle, None)];
        let drift = Drift { changes: vec!["queue".into()], blocked: Vec::new() };
        let status = Status { group: Some(group), workers, drift, problems: Vec::new(), rejected: Some(0), ..status() };
        insta::assert_snapshot!(plain(&block(&status, 1_800_000_000)));
    }

    #[test]
    fn a_pipe_gets_a_line() {
        assert_eq!(
            line(&status(), 1_800_000_000),
            "2027-01-15T08:00:00Z  183 waiting, 16 in progress, 2 delayed   oldest 41s   46.2/s, 2 rejected, 1 of 2 workers \
             well; 2 requests were rejected: see `thumb dlq`; instance.2 is silent\n"
        );
    }
}
