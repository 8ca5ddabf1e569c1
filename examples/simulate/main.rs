//! The model behind the fleet's defaults: what several policies make of the same arrivals, as a table and as plots.
//!
//! `cargo run --release --example simulate` prints the tables of docs/guides/scaling.md; with a folder as its argument it writes the plots
//! there as well.

mod model;
mod plot;

use std::path::Path;

use model::{Arrivals, Fleet, Group, Outcome, run};
use plot::{Line, svg};

/// What an instance with two CPUs costs an hour, in dollars: c7i.large on demand (EC2 pricing, us-east-1), and two fifths of it for
/// Spot, whose prices change.
const ON_DEMAND_HOUR: f64 = 0.08925;
const SPOT_SHARE: f64 = 0.4;
/// Lines of a plot: the first of a table.
const PLOTTED: usize = 5;
const SEED: u64 = 20_261_127;

struct Scenario {
    name: &'static str,
    file: &'static str,
    arrivals: Arrivals,
    fleets: Vec<(&'static str, Fleet)>,
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1);
    for Scenario { name, file, arrivals, fleets } in scenarios() {
        println!("### {name}\n");
        println!("| fleet | p50 | p99 | longest | backfill done | instance hours | cost |");
        println!("|---|---|---|---|---|---|---|");
        let mut outcomes = Vec::new();
        for (label, fleet) in fleets {
            let outcome = run(&arrivals, fleet, SEED);
            println!("{}", row(label, fleet, &outcome));
            outcomes.push((label, outcome));
        }
        println!();
        if let Some(folder) = &folder {
            let lines: Vec<Line<'_>> = outcomes
                .iter()
                .take(PLOTTED)
                .map(|(label, outcome)| Line {
                    name: label,
                    waiting: outcome.minutes.iter().map(|(waits, _)| *waits as f64).collect(),
                    instances: outcome.minutes.iter().map(|(_, count)| f64::from(*count)).collect(),
                })
                .collect();
            std::fs::write(Path::new(folder).join(format!("{file}.svg")), svg(name, &lines))?;
        }
    }
    Ok(())
}

fn row(label: &str, fleet: Fleet, outcome: &Outcome) -> String {
    let spot = matches!(fleet, Fleet::Group(Group { spot: true, .. }));
    let hour = ON_DEMAND_HOUR * if spot { SPOT_SHARE } else { 1.0 };
    let backfilled = outcome.backfilled_s.map_or_else(|| "-".to_owned(), time);
    format!(
        "| {label} | {} | {} | {} | {backfilled} | {:.1} | ${:.2} |",
        time(outcome.p50_s),
        time(outcome.p99_s),
        time(outcome.max_s),
        outcome.instance_hours,
        outcome.instance_hours * hour
    )
}

fn time(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{:.1} min", f64::from(seconds) / 60.0),
        _ => format!("{:.1} h", f64::from(seconds) / 3_600.0),
    }
}

fn scenarios() -> Vec<Scenario> {
    // Uploads come by S3's events, and nobody wakes the group; `thumb enqueue` and `thumb backfill` do.
    let group = Group { woken: false, ..Group::default() };
    let named = || {
        vec![
            ("thumb's defaults", Fleet::Group(group)),
            ("sent by thumb enqueue", Fleet::Group(Group { woken: true, ..group })),
            ("min = 1", Fleet::Group(Group { min: 1, ..group })),
            ("acceptable_latency = 5m", Fleet::Group(Group { acceptable_latency_s: 300, ..group })),
            ("without shrink", Fleet::Group(Group { shrink: false, ..group })),
            ("tracking scales in", Fleet::Group(Group { shrink: false, tracking_scales_in: true, ..group })),
            ("2 on-demand instances", Fleet::Fixed(2)),
            ("10 on-demand instances", Fleet::Fixed(10)),
        ]
    };
    // Ten thousand users upload in the same minute, to a fleet that sleeps.
    let mut minute = vec![167; 60];
    minute.resize(3_600, 0);
    let spike = Arrivals { a_second: minute, backfill: 0 };
    vec![
        Scenario { name: "10,000 pictures in a minute", file: "spike", arrivals: spike, fleets: named() },
        Scenario {
            name: "A day with a peak: 3.3 million pictures",
            file: "day",
            arrivals: Arrivals { a_second: day(), backfill: 0 },
            fleets: named(),
        },
        Scenario {
            name: "The same day over a backfill of a million",
            file: "backfill",
            arrivals: Arrivals { a_second: day(), backfill: 1_000_000 },
            fleets: named(),
        },
    ]
}

/// From two uploads a second at night to two hundred in the evening, as many sites have it.
fn day() -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..86_400_u32)
        .map(|second| {
            let hour = f64::from(second) / 3_600.0;
            // The peak at 20 h, four hours wide.
            let from_peak = (hour - 20.0).abs().min(24.0 - (hour - 20.0).abs());
            let rate = 2.0 + 198.0 * (-(from_peak / 2.5).powi(2)).exp();
            (rate.floor() as u32) + u32::from(random.f64() < rate.fract())
        })
        .collect()
}
