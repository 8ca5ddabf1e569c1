//! A model of the fleet, second by second: arrivals, the queue, SQS's metrics of one minute, the group's policies and their alarms,
//! instances that boot, work, and are interrupted. Deterministic: the same seed gives the same run.
//!
//! What it leaves out: throttling, failures, and that photographs differ (each takes the mean time).

use std::collections::VecDeque;

use thumb::stack::capacity::{backlog_per_instance, pictures_a_second};

/// From SetDesiredCapacity to the first photograph, in seconds: EC2 starts the machine, Linux boots, the program is fetched and
/// started (docs/internals/boot.md: 10 to 17 s of user data; the rest is EC2's and the kernel's).
pub const BOOT_S: u32 = 75;
/// SQS's metrics of a minute are there a minute later.
const METRICS_DELAY_MIN: usize = 1;
/// The metrics of a queue that was idle for so long sleep (SQS developer guide, "Available CloudWatch metrics") …
const METRICS_SLEEP_AFTER_MIN: usize = 360;
/// … and come back up to so much later.
const METRICS_WAKE_MIN: usize = 15;
/// Datapoints of Auto Scaling's own alarms for target tracking: up and down.
const TARGET_HIGH_MIN: usize = 3;
const TARGET_LOW_MIN: usize = 15;
/// A Spot instance is interrupted about once in so many hours (EC2's Spot Instance advisor has most types below 5 % a month; this
/// is much worse).
const SPOT_HOURS: f64 = 50.0;
/// Requests that a worker has in progress at once, as `[worker] concurrency` is on two CPUs.
const IN_FLIGHT: f64 = 16.0;

/// How the fleet is sized.
#[derive(Clone, Copy, Debug)]
pub enum Fleet {
    Fixed(u32),
    Group(Group),
}

/// A group and which policies it has.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub min: u32,
    pub max: u32,
    pub acceptable_latency_s: u32,
    /// Whether whoever sends wakes the group.
    pub woken: bool,
    pub shrink: bool,
    /// Target tracking ends instances, too.
    pub tracking_scales_in: bool,
    pub spot: bool,
}

impl Default for Group {
    /// thumb's defaults.
    fn default() -> Self {
        Self {
            min: 0,
            max: 10,
            acceptable_latency_s: 60,
            woken: true,
            shrink: true,
            tracking_scales_in: false,
            spot: true,
        }
    }
}

/// Photographs that arrive, in each second; and a backfill that is queued at the start, behind which new uploads pass.
pub struct Arrivals {
    pub a_second: Vec<u32>,
    pub backfill: u64,
}

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub arrived: u64,
    pub served: u64,
    /// Of uploads, in seconds.
    pub p50_s: u32,
    pub p99_s: u32,
    pub max_s: u32,
    /// When the backfill was done.
    pub backfilled_s: Option<u32>,
    pub instance_hours: f64,
    /// Each minute: what waits, backfill included, and instances that work or boot.
    pub minutes: Vec<(u64, u32)>,
}

/// One minute's metrics.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    visible: f64,
    in_flight: f64,
    done: f64,
    in_service: f64,
    desired: f64,
    /// Whether SQS published its part.
    published: bool,
}

#[derive(Clone, Copy, Debug)]
struct Instance {
    works_from_s: u32,
}

struct State {
    uploads: VecDeque<(u32, u64)>,
    waiting: u64,
    backfill: u64,
    instances: Vec<Instance>,
    desired: u32,
    minutes: Vec<Minute>,
    latencies: Vec<u64>,
    outcome: Outcome,
    /// Of instances, what they could have done and had nothing to do for is lost; what is left of a photograph is not.
    credit: f64,
    random: fastrand::Rng,
}

/// Runs the model over all arrivals, and on until the queue is empty.
///
/// # Panics
/// The queue is not empty after a week more: the fleet is too small, or does not wake.
pub fn run(arrivals: &Arrivals, fleet: Fleet, seed: u64) -> Outcome {
    let a_second = pictures_a_second(2);
    let start = match fleet {
        Fleet::Fixed(count) => count,
        Fleet::Group(group) => group.min,
    };
    let mut state = State {
        uploads: VecDeque::new(),
        waiting: 0,
        backfill: arrivals.backfill,
        instances: vec![Instance { works_from_s: 0 }; start as usize],
        desired: start,
        // Idle for hours before: the metrics sleep.
        minutes: vec![Minute::default(); METRICS_SLEEP_AFTER_MIN],
        latencies: Vec::new(),
        outcome: Outcome::default(),
        credit: 0.0,
        random: fastrand::Rng::with_seed(seed),
    };
    state.outcome.arrived = arrivals.backfill;
    let mut done_in_minute = 0;
    let end = arrivals.a_second.len() as u32;
    let mut now = 0;
    loop {
        let arriving = arrivals.a_second.get(now as usize).copied().unwrap_or_default();
        state.arrive(now, u64::from(arriving));
        if let Fleet::Group(group) = fleet {
            if group.woken && (arriving > 0 || now == 0) {
                // As `thumb enqueue` does, with what it has sent; it never lets the group get smaller.
                let each = backlog_per_instance(group.acceptable_latency_s, 2);
                let wanted = ((state.waiting + state.backfill) as f64 / each).ceil() as u32;
                if wanted.min(group.max) > state.desired {
                    state.set_desired(wanted.min(group.max), now);
                }
            }
            if group.spot {
                state.interrupt(now);
            }
        }
        done_in_minute += state.serve(now, a_second);
        state.outcome.instance_hours += state.instances.len() as f64 / 3_600.0;
        if now % 60 == 59 {
            state.close_minute(now, done_in_minute);
            done_in_minute = 0;
            if let Fleet::Group(group) = fleet {
                state.follow(group, a_second, now);
            }
        }
        now += 1;
        if now >= end && state.waiting + state.backfill == 0 {
            break;
        }
        assert!(now < end + 7 * 86_400, "the queue does not get empty: {} wait", state.waiting + state.backfill);
    }
    state.finish()
}

impl State {
    fn arrive(&mut self, now: u32, count: u64) {
        if count > 0 {
            self.uploads.push_back((now, count));
            self.waiting += count;
            self.outcome.arrived += count;
        }
    }

    fn in_service(&self, now: u32) -> usize {
        self.instances.iter().filter(|instance| instance.works_from_s <= now).count()
    }

    /// Serves a second; uploads first, for fair queues let them pass the backfill. Returns how many were done.
    fn serve(&mut self, now: u32, a_second: f64) -> u64 {
        self.credit += self.in_service(now) as f64 * a_second;
        let mut can = self.credit.floor() as u64;
        self.credit -= can as f64;
        let mut done = 0;
        while can > 0 {
            let Some((since, count)) = self.uploads.front_mut() else { break };
            let served = can.min(*count);
            let latency = (now - *since) as usize;
            if self.latencies.len() <= latency {
                self.latencies.resize(latency + 1, 0);
            }
            self.latencies[latency] += served;
            *count -= served;
            (can, done, self.waiting) = (can - served, done + served, self.waiting - served);
            if *count == 0 {
                self.uploads.pop_front();
            }
        }
        let served = can.min(self.backfill);
        if served > 0 {
            self.backfill -= served;
            if self.backfill == 0 {
                self.outcome.backfilled_s = Some(now);
            }
        }
        self.outcome.served += done + served;
        done + served
    }

    /// A Spot instance goes; the worker drains, its unfinished messages come back, and the group replaces it.
    fn interrupt(&mut self, now: u32) {
        let chance = self.instances.len() as f64 / (SPOT_HOURS * 3_600.0);
        if !self.instances.is_empty() && self.random.f64() < chance {
            let index = self.random.usize(..self.instances.len());
            self.instances[index] = Instance { works_from_s: now + BOOT_S };
        }
    }

    fn set_desired(&mut self, desired: u32, now: u32) {
        self.desired = desired;
        // The youngest go first: what has not begun to work is no loss.
        self.instances.sort_by_key(|instance| instance.works_from_s);
        self.instances.truncate(desired as usize);
        self.instances.resize(desired as usize, Instance { works_from_s: now + BOOT_S });
    }

    fn close_minute(&mut self, now: u32, done: u64) {
        let waits = self.waiting + self.backfill;
        let in_service = self.in_service(now) as f64;
        let in_flight = (waits as f64).min(in_service * IN_FLIGHT);
        let idle = |minute: &Minute| minute.visible + minute.in_flight + minute.done == 0.0;
        // A queue that was idle for hours is not heard of for a while.
        let busy = self.minutes.iter().rev().take_while(|minute| !idle(minute)).count();
        let before = self.minutes.iter().rev().skip(busy).take_while(|minute| idle(minute)).count();
        let sleeps = before >= METRICS_SLEEP_AFTER_MIN && busy < METRICS_WAKE_MIN;
        self.minutes.push(Minute {
            visible: waits as f64 - in_flight,
            in_flight,
            done: done as f64,
            in_service,
            desired: f64::from(self.desired),
            published: !sleeps,
        });
        self.outcome.minutes.push((waits, self.instances.len() as u32));
    }

    /// The policies, with the parameters of src/stack/resources/scaling_rules.rs.
    fn follow(&mut self, group: Group, a_second: f64, now: u32) {
        let known = &self.minutes[..self.minutes.len() - METRICS_DELAY_MIN];
        let last = |count: usize| known[known.len() - count.min(known.len())..].iter();
        let target = backlog_per_instance(group.acceptable_latency_s, 2);
        let share = |minute: &Minute| minute.visible / minute.in_service;
        let mut desired = self.desired;
        let high = |minute: &Minute| minute.published && minute.in_service > 0.0 && share(minute) > target;
        if last(TARGET_HIGH_MIN).all(high) {
            let wanted = known.last().map_or(0.0, |minute| minute.visible / target).ceil() as u32;
            desired = desired.max(wanted);
        }
        let wakes = |minute: &Minute| minute.published && minute.desired < 1.0 && minute.visible >= 1.0;
        if desired == 0 && last(1).all(wakes) {
            let visible = known.last().map_or(0.0, |minute| minute.visible);
            desired = (visible / target).ceil() as u32;
        }
        if desired <= self.desired {
            let quiet = |minute: &Minute| minute.published && minute.in_service > 0.0;
            let low = |minute: &Minute| quiet(minute) && share(minute) < 0.9 * target;
            if group.tracking_scales_in && desired > 1 && last(TARGET_LOW_MIN).all(low) {
                desired -= 1;
            }
            let little = |minute: &Minute| {
                let used = minute.done / (minute.in_service * a_second * 60.0);
                quiet(minute) && minute.in_service > 1.0 && minute.visible < 1.0 && used < 0.3
            };
            if group.shrink && last(TARGET_LOW_MIN).all(little) {
                desired -= (desired / 4).max(1);
            }
            let nothing = |minute: &Minute| quiet(minute) && minute.visible + minute.in_flight + minute.done < 1.0;
            if last(TARGET_LOW_MIN).all(nothing) {
                desired = 0;
            }
        }
        let desired = desired.clamp(group.min, group.max);
        if desired != self.desired {
            self.set_desired(desired, now);
        }
    }

    fn finish(mut self) -> Outcome {
        let total: u64 = self.latencies.iter().sum();
        let at = |percent: u64| {
            let mut seen = 0;
            let index = self.latencies.iter().position(|count| {
                seen += count;
                seen * 100 >= total * percent
            });
            index.unwrap_or_default() as u32
        };
        (self.outcome.p50_s, self.outcome.p99_s) = (at(50), at(99));
        self.outcome.max_s = self.latencies.len().saturating_sub(1) as u32;
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(count: u32) -> Arrivals {
        let mut a_second = vec![count / 60; 60];
        a_second.resize(3_600, 0);
        Arrivals { a_second, backfill: 0 }
    }

    #[test]
    fn every_photograph_is_served_once() {
        for fleet in
            [Fleet::Fixed(2), Fleet::Group(Group::default()), Fleet::Group(Group { woken: false, ..Group::default() })]
        {
            let arrivals = Arrivals { backfill: 5_000, ..burst(12_000) };
            let outcome = run(&arrivals, fleet, 1);
            assert_eq!((outcome.arrived, outcome.served), (17_000, 17_000), "{fleet:?}");
        }
    }

    /// One instance, steady arrivals below what it does: nobody waits. Above: the last waits as long as the difference adds up to.
    #[test]
    fn a_queue_with_known_answers_has_them() {
        let steady = |a_second: u32| Arrivals { a_second: vec![a_second; 600], backfill: 0 };
        let rate = pictures_a_second(2) as u32;
        let below = run(&steady(rate / 2), Fleet::Fixed(1), 1);
        assert_eq!((below.p50_s, below.max_s), (0, 0));
        let above = run(&steady(2 * rate), Fleet::Fixed(1), 1);
        assert!((599..=601).contains(&above.max_s), "{}", above.max_s);
        assert!((above.instance_hours - 1_200.0 / 3_600.0).abs() < 0.001, "{}", above.instance_hours);
    }

    /// Little's law: what waits on average is arrivals times the time that each waits.
    #[test]
    fn littles_law_holds() {
        let arrivals = burst(30_000);
        let outcome = run(&arrivals, Fleet::Fixed(3), 1);
        let rate = 3.0 * pictures_a_second(2);
        // 500 a second come for a minute, and `rate` a second go.
        let drained_s = 30_000.0 / rate;
        let mean_s = drained_s / 2.0 - 30.0;
        let p50 = f64::from(outcome.p50_s);
        assert!((p50 - mean_s).abs() < 3.0, "{p50} {mean_s}");
    }

    #[test]
    fn nothing_to_do_costs_nothing() {
        let outcome = run(&Arrivals { a_second: vec![0; 86_400], backfill: 0 }, Fleet::Group(Group::default()), 1);
        assert_eq!((outcome.arrived, outcome.instance_hours), (0, 0.0));
    }

    #[test]
    fn a_seed_gives_the_same_run_and_interruptions_lose_nothing() {
        let arrivals = Arrivals { a_second: vec![120; 4 * 3_600], backfill: 100_000 };
        let run = |seed: u64| run(&arrivals, Fleet::Group(Group::default()), seed);
        assert!(run(7) == run(7), "the same seed");
        let another = (8..20).map(run).find(|other| *other != run(7)).expect("some seed interrupts otherwise");
        assert_eq!(another.served, another.arrived);
    }

    #[test]
    fn uploads_pass_a_backfill() {
        let arrivals = Arrivals { a_second: vec![10; 3_600], backfill: 500_000 };
        let outcome = run(&arrivals, Fleet::Fixed(2), 1);
        assert_eq!(outcome.max_s, 0, "an upload does not wait behind it");
        assert!(outcome.backfilled_s.is_some_and(|at| at > 5_000));
    }

    #[test]
    fn after_a_peak_the_fleet_gets_smaller_where_it_may() {
        // A peak, and then a trickle for hours.
        let mut a_second = vec![400; 1_800];
        a_second.resize(6 * 3_600, 5);
        let arrivals = Arrivals { a_second, backfill: 0 };
        let hours = |shrink: bool| run(&arrivals, Fleet::Group(Group { shrink, ..Group::default() }), 1).instance_hours;
        assert!(hours(true) * 2.0 < hours(false), "{} {}", hours(true), hours(false));
    }
}
