//! What the dashboard shows (CloudWatch API reference, "Dashboard body structure and syntax"). Pure.

use serde_json::{Value, json};

use crate::stack::resources::scaling_group;

/// The width of the grid, in columns.
const COLUMNS: usize = 24;
const WIDTH: usize = 12;
const HEIGHT: usize = 6;

/// What the body is made from.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    pub stack: &'a str,
    pub region: &'a str,
    pub queue: &'a str,
    pub dlq: &'a str,
    /// Whether there is a group.
    pub scaling: bool,
    /// Whether the workers send their numbers.
    pub numbers: bool,
    /// The ARNs of the alarms that tell somebody.
    pub alarms: &'a [String],
}

/// A metric of a graph: namespace, name, dimension, its label and statistic.
fn metric(namespace: &str, name: &str, dimension: (&str, &str), label: &str, stat: &str) -> Value {
    json!([namespace, name, dimension.0, dimension.1, { "label": label, "stat": stat }])
}

pub fn body(basis: &Basis<'_>) -> Value {
    let Basis { stack, region, queue, dlq, scaling, numbers, alarms } = *basis;
    let of_queue =
        |queue: &str, name: &str, label: &str, stat: &str| metric("AWS/SQS", name, ("QueueName", queue), label, stat);
    let visible = "ApproximateNumberOfMessagesVisible";
    let mut graphs = vec![
        (
            "Messages",
            vec![
                of_queue(queue, visible, "waiting", "Maximum"),
                of_queue(queue, "ApproximateNumberOfMessagesNotVisible", "in progress", "Maximum"),
                of_queue(dlq, visible, "rejected", "Maximum"),
            ],
        ),
        (
            "Age of the oldest message, seconds",
            vec![of_queue(queue, "ApproximateAgeOfOldestMessage", "oldest", "Maximum")],
        ),
        (
            "Messages a minute",
            vec![
                of_queue(queue, "NumberOfMessagesSent", "arrived", "Sum"),
                of_queue(queue, "NumberOfMessagesDeleted", "finished", "Sum"),
            ],
        ),
    ];
    if scaling {
        let group = scaling_group::name(stack);
        let of_group = |name: &str, label: &str| {
            metric("AWS/AutoScaling", name, ("AutoScalingGroupName", &group), label, "Maximum")
        };
        let instances = vec![
            of_group("GroupDesiredCapacity", "wanted"),
            of_group("GroupInServiceInstances", "in service"),
            of_group("GroupMaxSize", "at most"),
        ];
        graphs.push(("Instances", instances));
    }
    if numbers {
        let own = |name: &str, label: &str, stat: &str| metric("thumb", name, ("Stack", stack), label, stat);
        let counts = [
            ("Photographs", "photos"),
            ("Thumbnails", "thumbnails"),
            ("Rejected", "rejected"),
            ("Retried", "tried again"),
        ];
        graphs.push(("Done a minute", counts.map(|(name, label)| own(name, label, "Sum")).to_vec()));
        let times = [("FetchMs", "fetch"), ("RenderMs", "render"), ("StoreMs", "store")];
        let both = |stat: &'static str| times.map(|(name, label)| own(name, &format!("{label} {stat}"), stat));
        graphs.push(("Milliseconds a photo", [both("p50"), both("p95")].concat()));
        graphs.push(("Memory of a worker, bytes", vec![own("Memory", "largest", "Maximum")]));
    }
    let heading = format!(
        "# {stack}\nMade by `thumb apply` from `[dashboard]` in thumb.toml, which changes it back. `thumb logs` and \
         `thumb dlq` say more."
    );
    let mut widgets = vec![json!({
        "type": "text", "x": 0, "y": 0, "width": COLUMNS, "height": 2, "properties": { "markdown": heading },
    })];
    let mut top = 2;
    if !alarms.is_empty() {
        let properties = json!({ "title": "Alarms", "alarms": alarms });
        widgets.push(
            json!({ "type": "alarm", "x": 0, "y": top, "width": COLUMNS, "height": 2, "properties": properties }),
        );
        top += 2;
    }
    widgets.extend(graphs.into_iter().enumerate().map(|(index, (title, metrics))| {
        let (x, y) = (index % 2 * WIDTH, top + index / 2 * HEIGHT);
        let properties =
            json!({ "title": title, "region": region, "view": "timeSeries", "period": 60, "metrics": metrics });
        json!({ "type": "metric", "x": x, "y": y, "width": WIDTH, "height": HEIGHT, "properties": properties })
    }));
    json!({ "widgets": widgets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis<'a>(scaling: bool, numbers: bool, alarms: &'a [String]) -> Basis<'a> {
        Basis { stack: "cats", region: "eu-west-1", queue: "cats", dlq: "cats-dlq", scaling, numbers, alarms }
    }

    #[test]
    fn it_shows_what_the_stack_has() {
        let alarms = ["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:cats-rejected".to_owned()];
        let titles = |body: Value| {
            let widgets = body["widgets"].as_array().unwrap().clone();
            let title = |widget: &Value| widget["properties"]["title"].as_str().map(str::to_owned);
            widgets.iter().filter_map(title).collect::<Vec<_>>().join(", ")
        };
        let least = "Messages, Age of the oldest message, seconds, Messages a minute";
        assert_eq!(titles(body(&basis(false, false, &[]))), least);
        let all = body(&basis(true, true, &alarms));
        assert_eq!(
            titles(all.clone()),
            format!("Alarms, {least}, Instances, Done a minute, Milliseconds a photo, Memory of a worker, bytes")
        );
        insta::assert_snapshot!(serde_json::to_string_pretty(&all).unwrap());
    }

    #[test]
    fn no_widget_lies_on_another() {
        let alarms = ["arn".to_owned()];
        let body = body(&basis(true, true, &alarms));
        let number = |widget: &Value, name: &str| widget[name].as_u64().unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for widget in body["widgets"].as_array().unwrap() {
            assert!(number(widget, "x") + number(widget, "width") <= COLUMNS as u64);
            for x in 0..number(widget, "width") {
                for y in 0..number(widget, "height") {
                    assert!(taken.insert((number(widget, "x") + x, number(widget, "y") + y)), "{widget}");
                }
            }
        }
    }
}
