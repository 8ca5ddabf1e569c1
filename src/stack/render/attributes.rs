//! The attributes of a change as rows: documents compared field by field, policy statements as sentences.

use std::fmt::Write;

use serde_json::Value;

use crate::stack::change::{Action, Attribute};
use crate::text::{is_command, wrap};

/// Between the value before and after.
const ARROW: &str = "->";

/// One line of a change: a label, and the value before or after.
pub struct Row {
    pub label: String,
    pub value: Shown,
}

pub enum Shown {
    After(String),
    Changed(String, String),
}

impl Shown {
    /// In this many columns: on one line if it fits, otherwise the value after below the value before.
    pub fn lines(&self, room: usize) -> Vec<String> {
        match self {
            Self::After(value) => wrap(value, room),
            Self::Changed(before, after) => {
                let one = format!("{before} {ARROW} {after}");
                if one.chars().count() <= room {
                    return vec![one];
                }
                let indent = ARROW.len() + 1;
                let mut lines = wrap(before, room);
                for (number, text) in wrap(after, room.saturating_sub(indent)).into_iter().enumerate() {
                    let arrow = if number == 0 { ARROW } else { "" };
                    lines.push(format!("{arrow:indent$}{text}"));
                }
                lines
            }
        }
    }
}

/// The rows of one attribute.
pub fn rows(attribute: &Attribute, action: Action) -> Vec<Row> {
    let Attribute { name, before, after, after_unknown } = attribute;
    let mut rows = Vec::new();
    if *after_unknown {
        let value = match before {
            Value::Null => Shown::After("(known after apply)".into()),
            before => Shown::Changed(scalar(before), "(known after apply)".into()),
        };
        rows.push(Row { label: name.clone(), value });
    } else if action == Action::Delete {
        flatten(name, before, &mut |label, value| rows.push(Row { label, value: Shown::After(scalar(value)) }));
    } else if before.is_null() && action == Action::Create {
        flatten(name, after, &mut |label, value| rows.push(Row { label, value: Shown::After(scalar(value)) }));
    } else {
        compare(name, before, after, &mut rows);
    }
    rows
}

/// A document as its leaves, each with its path: `tags.assignment`; a policy document as its statements, a sentence each.
fn flatten(path: &str, value: &Value, leaf: &mut impl FnMut(String, &Value)) {
    match value {
        Value::Object(fields) if fields.get("Statement").is_some_and(Value::is_array) => {
            let statements = fields["Statement"].as_array().into_iter().flatten();
            for statement in statements {
                leaf(statement_path(path, statement), &sentence(statement).into());
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                flatten(&join(path, key), value, leaf);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, leaf);
            }
        }
        value => leaf(path.to_owned(), value),
    }
}

/// A policy's statement is known by its Sid, if it has one.
fn statement_path(policy: &str, statement: &Value) -> String {
    statement["Sid"].as_str().map_or_else(|| policy.to_owned(), |sid| join(policy, sid))
}

/// A policy statement in words: "Allow s3:GetObject on arn:…".
fn sentence(statement: &Value) -> String {
    let mut text = format!("{} {}", scalar(&statement["Effect"]), scalar(&statement["Action"]));
    let mut part = |word: &str, value: &Value| {
        if !value.is_null() {
            // Writing to a String cannot fail.
            let _ = write!(text, " {word} {}", scalar(value));
        }
    };
    part("on", &statement["Resource"]);
    match &statement["Principal"] {
        Value::Object(principals) => principals.values().for_each(|principal| part("for", principal)),
        Value::Null => {}
        _ => part("for", &"everyone".into()),
    }
    let mut word = "if";
    for (operator, test) in statement["Condition"].as_object().into_iter().flatten() {
        for (key, value) in test.as_object().into_iter().flatten() {
            let is = if operator == "StringEquals" { "is" } else { operator };
            part(&format!("{word} {key} {is}"), value);
            word = "and";
        }
    }
    text
}

/// Two documents, where they differ.
fn compare(path: &str, before: &Value, after: &Value, rows: &mut Vec<Row>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(b), Value::Object(a)) => {
            for key in b.keys().chain(a.keys().filter(|key| !b.contains_key(*key))) {
                let value = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                compare(&join(path, key), &value(b), &value(a), rows);
            }
        }
        (Value::Array(b), Value::Array(a)) if path.ends_with(STATEMENTS) && (named(b) && named(a)) => {
            let policy = path.strip_suffix(STATEMENTS).unwrap_or(path);
            for statement in b.iter().chain(a.iter().filter(|statement| same(b, statement).is_none())) {
                compare_statement(&statement_path(policy, statement), same(b, statement), same(a, statement), rows);
            }
        }
        (Value::Array(b), Value::Array(a)) if path.ends_with(STATEMENTS) => {
            for index in 0..b.len().max(a.len()) {
                compare_statement(&format!("{path}[{index}]"), b.get(index), a.get(index), rows);
            }
        }
        (Value::Array(b), Value::Array(a)) if nested(b) || nested(a) => {
            for index in 0..b.len().max(a.len()) {
                let value = |items: &[Value]| items.get(index).cloned().unwrap_or_default();
                compare(&format!("{path}[{index}]"), &value(b), &value(a), rows);
            }
        }
        (Value::Null, after @ (Value::Object(_) | Value::Array(_))) => flatten(path, after, &mut |label, value| {
            rows.push(Row { label, value: Shown::Changed("(none)".into(), scalar(value)) });
        }),
        (before @ (Value::Object(_) | Value::Array(_)), Value::Null) => flatten(path, before, &mut |label, value| {
            rows.push(Row { label, value: Shown::Changed(scalar(value), "(none)".into()) });
        }),
        (before, after) => {
            rows.push(Row { label: path.to_owned(), value: Shown::Changed(scalar(before), scalar(after)) });
        }
    }
}

/// Where a policy's statements are in it.
const STATEMENTS: &str = ".Statement";

/// Whether every statement has a Sid, by which it is known wherever it stands.
fn named(statements: &[Value]) -> bool {
    statements.iter().all(|statement| statement["Sid"].is_string())
}

fn same<'a>(statements: &'a [Value], statement: &Value) -> Option<&'a Value> {
    statements.iter().find(|other| other["Sid"] == statement["Sid"])
}

/// An added or removed statement is shown as a sentence; a changed one field by field.
fn compare_statement(path: &str, before: Option<&Value>, after: Option<&Value>, rows: &mut Vec<Row>) {
    let words = |statement: Option<&Value>| statement.map_or_else(|| "(none)".into(), sentence);
    match (before, after) {
        (Some(before), Some(after)) => compare(path, before, after, rows),
        _ => rows.push(Row { label: path.to_owned(), value: Shown::Changed(words(before), words(after)) }),
    }
}

fn nested(items: &[Value]) -> bool {
    items.iter().any(|item| item.is_object() || item.is_array())
}

/// A key that holds a dot or a space is quoted, so that a path stays readable.
fn join(path: &str, key: &str) -> String {
    if key.is_empty() || key.contains(['.', ' ', '[']) { format!("{path}[{key:?}]") } else { format!("{path}.{key}") }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "(none)".into(),
        // A control character in a tag or an AWS message must not reach the terminal.
        Value::String(text) if text.is_empty() || text.contains(is_command) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "(none)".into(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
