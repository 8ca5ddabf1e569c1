//! The worker's numbers as a line of CloudWatch's Embedded Metric Format, of which CloudWatch makes metrics (CloudWatch user guide,
//! "Specification: Embedded metric format"). Pure.

use serde_json::{Map, Value, json};

use crate::worker::report::stats::Minute;

/// The namespace of the metrics.
pub const NAMESPACE: &str = "thumb";
/// Their only dimension. One for each instance would make metrics of its own for each that ever ran, at $0.30 a month each.
pub const DIMENSION: &str = "Stack";
/// Values of one metric in one document.
pub const MAX_VALUES: usize = 100;

/// One line. `at_ms`: milliseconds since 1970.
pub fn document(minute: &Minute, stack: &str, at_ms: u64) -> String {
    let Minute { photographs, thumbnails, rejected, retried, bytes, fetch_ms, render_ms, store_ms, memory_bytes } =
        minute;
    let metrics = [
        ("Photographs", "Count", json!(photographs)),
        ("Thumbnails", "Count", json!(thumbnails)),
        ("Rejected", "Count", json!(rejected)),
        ("Retried", "Count", json!(retried)),
        ("Bytes", "Bytes", json!(bytes)),
        ("FetchMs", "Milliseconds", json!(fetch_ms)),
        ("RenderMs", "Milliseconds", json!(render_ms)),
        ("StoreMs", "Milliseconds", json!(store_ms)),
        ("Memory", "Bytes", json!(memory_bytes)),
    ];
    // A metric without a value is no metric.
    let known = |value: &Value| !value.is_null() && value.as_array().is_none_or(|values| !values.is_empty());
    let metrics: Vec<_> = metrics.into_iter().filter(|(.., value)| known(value)).collect();
    let definitions: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": definitions });
    let mut root = Map::new();
    root.insert("_aws".into(), json!({ "Timestamp": at_ms, "CloudWatchMetrics": [directive] }));
    root.insert(DIMENSION.into(), stack.into());
    root.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value)));
    Value::Object(root).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Minute {
        Minute {
            photographs: 2,
            thumbnails: 4,
            rejected: 1,
            retried: 0,
            bytes: 3_000_000,
            fetch_ms: vec![12.5, 14.0],
            render_ms: vec![31.0, 29.5],
            store_ms: vec![9.0, 8.0],
            memory_bytes: Some(80 << 20),
        }
    }

    /// The rules of the specification, by its JSON schema and its text.
    fn check(document: &str) {
        const UNITS: [&str; 3] = ["Count", "Bytes", "Milliseconds"];
        assert!(document.len() <= 1 << 20 && !document.contains('\n'));
        let root: Value = serde_json::from_str(document).unwrap();
        let aws = root["_aws"].as_object().unwrap();
        assert!(aws["Timestamp"].is_u64() && aws.len() == 2, "{aws:?}");
        let directives = aws["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 1);
        let directive = directives[0].as_object().unwrap();
        let members: Vec<&String> = directive.keys().collect();
        assert_eq!(members, ["Dimensions", "Metrics", "Namespace"], "no additional members");
        let namespace = directive["Namespace"].as_str().unwrap();
        assert!((1..=255).contains(&namespace.len()) && !namespace.starts_with("AWS/"));
        for set in directive["Dimensions"].as_array().unwrap() {
            let set = set.as_array().unwrap();
            assert!(set.len() <= 30);
            assert!(
                set.iter().all(|name| root[name.as_str().unwrap()].is_string()),
                "a dimension's target is a string"
            );
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{metric}");
            match &root[metric["Name"].as_str().unwrap()] {
                Value::Array(values) => {
                    assert!((1..=100).contains(&values.len()) && values.iter().all(Value::is_number), "{metric}");
                }
                value => assert!(value.is_number(), "{metric}: {value}"),
            }
        }
    }

    #[test]
    fn a_minute_is_a_document_of_the_specification() {
        let text = document(&minute(), "cats", 1_790_000_000_000);
        check(&text);
        insta::assert_snapshot!(text);
        check(&document(&Minute { fetch_ms: vec![1.0; MAX_VALUES], ..minute() }, "cats", 0));
        let rejected = Minute { fetch_ms: vec![], render_ms: vec![], store_ms: vec![], memory_bytes: None, ..minute() };
        let text = document(&rejected, "cats", 0);
        check(&text);
        assert!(!text.contains("FetchMs") && !text.contains("Memory"), "{text}");
    }
}
