//! Renders a plan as text: Terraform's symbols and sentences, one block per change, attributes aligned, documents
//! compared field by field. Pure; it reads only the plan, so the JSON contains everything the text does.
//!
//! The text contains ANSI colours; the caller strips them where they are not wanted.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::change::{Action, Attribute, Purpose};
use super::cost::{Estimate, FleetEstimate};
use super::operation::{Change, Plan};
use crate::text::{is_command, printable};

/// Columns assumed where there is no terminal.
pub const DEFAULT_WIDTH: usize = 100;
/// The narrowest width that text is wrapped to.
const MIN_WIDTH: usize = 40;
const INDENT: usize = 6;
/// Between the value before and after.
const ARROW: &str = "->";

/// The whole plan, ending in a newline.
pub fn render(plan: &Plan, width: usize) -> String {
    let width = width.max(MIN_WIDTH);
    let mut out = String::new();
    let Plan {
        version: _,
        purpose: _,
        stack,
        account,
        region,
        region_from,
        changes,
        summary: _,
        notes,
        estimate,
        fleet_estimate,
    } = plan;
    let from = region_from.as_ref().map(|from| format!(" ({from})")).unwrap_or_default();
    for text in wrap(&format!("Stack {stack} in account {account}, region {region}{from}"), width) {
        line(&mut out, &text);
    }
    line(&mut out, "");
    for change in changes.iter().filter(|change| change.action != Action::None) {
        render_change(&mut out, change, width);
        line(&mut out, "");
    }
    for note in notes {
        for text in wrap(&printable(&format!("Note: {note}")), width) {
            line(&mut out, &text);
        }
    }
    if !notes.is_empty() {
        line(&mut out, "");
    }
    line(&mut out, &summary(plan));
    let sentences = estimate.iter().map(Estimate::sentence).chain(fleet_estimate.iter().map(FleetEstimate::sentence));
    for sentence in sentences.filter(|_| !plan.is_empty()) {
        for text in wrap(&sentence, width) {
            line(&mut out, &text);
        }
    }
    out
}

/// The plan's last line.
pub fn summary(plan: &Plan) -> String {
    let super::change::Summary { create, update, replace, delete, blocked } = plan.summary;
    if plan.is_empty() {
        return match plan.purpose {
            Purpose::Apply => "No changes. Your infrastructure matches the configuration.".into(),
            Purpose::Destroy => "Nothing to destroy: no resource of this stack exists.".into(),
        };
    }
    // A replacement counts as one added and one destroyed, as in Terraform.
    let counts = format!("{} to add, {update} to change, {} to destroy", create + replace, delete + replace);
    match blocked {
        0 => format!("Plan: {counts}."),
        n => format!("Plan: {counts}; {n} blocked."),
    }
}

fn style(action: Action) -> (&'static str, Style) {
    let color = |color: AnsiColor| color.on_default();
    match action {
        Action::None => ("   ", Style::new()),
        Action::Create => ("  +", color(AnsiColor::Green)),
        Action::Update => ("  ~", color(AnsiColor::Yellow)),
        Action::Replace => ("-/+", color(AnsiColor::Red)),
        Action::Delete => ("  -", color(AnsiColor::Red)),
        Action::Blocked => ("  !", color(AnsiColor::Magenta).bold()),
    }
}

fn render_change(out: &mut String, change: &Change, width: usize) {
    let Change { address, name, action, reason, attributes, steps: _, removals: _ } = change;
    let (symbol, style) = style(*action);
    let bold = Style::new().bold();
    line(out, &format!("{style}{symbol}{style:#} {bold}{address}{bold:#} {}", printable(name)));
    if let Some(reason) = reason {
        for text in reason.lines() {
            for wrapped in wrap(&printable(text), width.saturating_sub(INDENT + 2)) {
                line(out, &format!("{:INDENT$}# {wrapped}", ""));
            }
        }
    }
    let rows: Vec<Row> = attributes.iter().flat_map(|attribute| rows(attribute, *action)).collect();
    let longest = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    for row in rows {
        let label = format!("{}:", printable(&row.label));
        let label_width = longest + 2;
        let room = width.saturating_sub(INDENT + label_width);
        for (number, text) in row.value.lines(room).iter().enumerate() {
            let label = if number == 0 { label.as_str() } else { "" };
            line(out, &format!("{:INDENT$}{label:label_width$}{text}", ""));
        }
    }
}

/// One line of a change: a label, and the value before or after.
struct Row {
    label: String,
    value: Shown,
}

enum Shown {
    After(String),
    Changed(String, String),
}

impl Shown {
    /// In this many columns: on one line if it fits, otherwise the value after below the value before.
    fn lines(&self, room: usize) -> Vec<String> {
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

fn rows(attribute: &Attribute, action: Action) -> Vec<Row> {
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

/// Lines of at most `width` characters, broken at spaces where there are any; a longer word stays whole, so that it
/// can be copied.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", text.trim_end());
}
