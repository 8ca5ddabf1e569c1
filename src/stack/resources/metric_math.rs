//! Metric math: metrics and an expression over them, as scaling policies and alarms are told them (CloudWatch user guide, "Using
//! math expressions with CloudWatch metrics"). Pure.

#[cfg(test)]
pub mod evaluator;

use std::fmt;

/// The metrics are published every minute.
pub const PERIOD_S: i32 = 60;

/// Where a metric comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in the expression: "visible".
    pub id: String,
    /// "AWS/SQS".
    pub namespace: String,
    pub name: String,
    /// Its only dimension, such as QueueName, and the value.
    pub dimension: (String, String),
    /// "Sum", "Average".
    pub stat: String,
}

/// An expression over metrics, all of them of one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formula {
    /// Sorted by ID.
    pub metrics: Vec<Metric>,
    pub expression: String,
}

/// The ID of the expression's own result.
pub const RESULT: &str = "result";

impl Formula {
    pub fn new(metrics: impl IntoIterator<Item = Metric>, expression: impl Into<String>) -> Self {
        let mut metrics: Vec<Metric> = metrics.into_iter().collect();
        metrics.sort_by(|a, b| a.id.cmp(&b.id));
        Self { metrics, expression: expression.into() }
    }
}

impl fmt::Display for Formula {
    /// The expression, and what its names mean.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)?;
        for (index, Metric { id, namespace, name, dimension: (_, value), stat }) in self.metrics.iter().enumerate() {
            let before = if index == 0 { ", where " } else { ", " };
            write!(f, "{before}{id} is {namespace} {name} of {value} ({stat} a minute)")?;
        }
        Ok(())
    }
}

/// A metric of a queue (SQS developer guide, "Available CloudWatch metrics for Amazon SQS").
pub fn of_queue(id: &str, queue: &str, name: &str, stat: &str) -> Metric {
    Metric {
        id: id.to_owned(),
        namespace: "AWS/SQS".to_owned(),
        name: name.to_owned(),
        dimension: ("QueueName".to_owned(), queue.to_owned()),
        stat: stat.to_owned(),
    }
}

/// A metric of a group (EC2 Auto Scaling user guide, "Auto Scaling group metrics").
pub fn of_group(id: &str, group: &str, name: &str, stat: &str) -> Metric {
    Metric {
        id: id.to_owned(),
        namespace: "AWS/AutoScaling".to_owned(),
        name: name.to_owned(),
        dimension: ("AutoScalingGroupName".to_owned(), group.to_owned()),
        stat: stat.to_owned(),
    }
}
