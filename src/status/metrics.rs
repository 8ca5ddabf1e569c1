//! What CloudWatch knows of the queue: SQS publishes it once a minute, some minutes late (SQS developer guide, "Available
//! CloudWatch metrics for Amazon SQS").

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use aws_smithy_types::DateTime;

use crate::aws::Clients;

/// Looked at so far back, in seconds: SQS publishes late.
const WINDOW_S: u64 = 600;
/// Of one value, in seconds.
const PERIOD_S: i32 = 60;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    pub oldest_s: Option<u64>,
    pub done_a_second: Option<f64>,
}

/// The newest values; empty where CloudWatch has none or may not be asked: they only add to the counts.
pub async fn read(clients: &Clients, queue: &str, now_s: u64) -> Metrics {
    let query = |id: &str, name: &str, statistic: &str| {
        let dimension = Dimension::builder().name("QueueName").value(queue).build();
        let metric = Metric::builder().namespace("AWS/SQS").metric_name(name).dimensions(dimension).build();
        let stat = MetricStat::builder().metric(metric).period(PERIOD_S).stat(statistic).build();
        MetricDataQuery::builder().id(id).metric_stat(stat).build()
    };
    let time = |seconds: u64| DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let call = clients
        .cloudwatch
        .get_metric_data()
        .start_time(time(now_s.saturating_sub(WINDOW_S)))
        .end_time(time(now_s))
        .metric_data_queries(query("oldest", "ApproximateAgeOfOldestMessage", "Maximum"))
        .metric_data_queries(query("done", "NumberOfMessagesDeleted", "Sum"));
    let Ok(answer) = call.send().await else { return Metrics::default() };
    // The newest first (API GetMetricData, `ScanBy`).
    let newest = |id: &str| {
        let results = answer.metric_data_results();
        results.iter().find(|result| result.id() == Some(id))?.values().first().copied()
    };
    Metrics {
        oldest_s: newest("oldest").filter(|age| age.is_finite() && *age >= 0.0).map(|age| age as u64),
        done_a_second: newest("done").map(|count| count / f64::from(PERIOD_S)),
    }
}
