//! Renders a plan as text. The short form has a line for what is created or deleted, in words, and in full what is changed
//! or replaced; what a user must know before answering (blocks, warnings, counts, cost) stands last. The long form has every
//! attribute. Pure; it reads only the plan, so the JSON contains everything the text does.
//!
//! The text contains ANSI colours; the caller strips them where they are not wanted.

mod attributes;

use std::fmt::Write;

use super::change::{Action, Purpose, Summary};
use super::cost::{Estimate, FleetEstimate};
use super::operation::{Change, Plan};
use super::resources::binary;
use crate::stack::address::Address;
use crate::text::{plural, printable, wrap};
use anstyle::{AnsiColor, Style};
use attributes::{Row, rows};

/// Columns assumed where there is no terminal.
pub const DEFAULT_WIDTH: usize = 100;
/// The narrowest width that text is wrapped to.
const MIN_WIDTH: usize = 40;
const INDENT: usize = 6;
/// Before the address: the symbol and a space.
const SYMBOL: usize = 4;
/// Names up to this long share a column.
const MAX_NAME: usize = 24;
/// A description that would get fewer columns goes on the next line.
const MIN_DESCRIPTION: usize = 20;

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Short,
    /// Every attribute of everything that changes.
    Long,
}

/// The whole plan, ending in a newline.
pub fn render(plan: &Plan, form: Form, width: usize) -> String {
    let width = width.max(MIN_WIDTH);
    let mut out = String::new();
    let Plan {
        version: _,
        purpose,
        stack,
        account,
        region,
        region_from,
        changes,
        summary: _,
        warnings,
        notes,
        estimate: _,
        fleet_estimate: _,
        usd_a_month_before: _,
        only: _,
    } = plan;
    let from = region_from.as_ref().map(|from| format!(" ({from})")).unwrap_or_default();
    paragraph(&mut out, "", &format!("Stack {stack}   account {account}   {region}{from}"), width);
    let changes = || changes.iter().filter(|change| change.action != Action::None);
    let blocked: Vec<&Change> = changes().filter(|change| change.action == Action::Blocked).collect();
    let others: Vec<&Change> = changes().filter(|change| change.action != Action::Blocked).collect();
    if !others.is_empty() {
        line(&mut out, "");
    }
    match form {
        Form::Long => render_all(&mut out, &others, width),
        // Nothing will be done; what stands in the way is what matters.
        Form::Short if !blocked.is_empty() && *purpose == Purpose::Apply && !others.is_empty() => {
            let count = others.len() as u64;
            line(&mut out, &format!("  {count} other {} (--details shows all)", plural(count, "change")));
        }
        Form::Short => render_short(&mut out, &others, width),
    }
    render_blocked(&mut out, &blocked, *purpose, form, width);
    let nothing_is_done = *purpose == Purpose::Apply && !blocked.is_empty();
    if form == Form::Long || !nothing_is_done {
        remarks(&mut out, AnsiColor::Yellow.on_default().bold(), "Warning: ", warnings, width);
        remarks(&mut out, Style::new().bold(), "Note: ", notes, width);
    }
    line(&mut out, "");
    paragraph(&mut out, "", &summary(plan), width);
    if let Some(cost) = cost(plan).filter(|_| !nothing_is_done) {
        paragraph(&mut out, "", &cost, width);
    }
    out
}

/// Blocks of a line or more, with empty lines between those that have several.
fn render_all(out: &mut String, changes: &[&Change], width: usize) {
    for (number, change) in changes.iter().enumerate() {
        if number > 0 {
            line(out, "");
        }
        render_change(out, change, Columns::none(), Form::Long, width);
    }
}

fn render_short(out: &mut String, changes: &[&Change], width: usize) {
    // What is deleted and contains nothing that could be lost is named only.
    let named = |change: &&Change| change.action == Action::Delete && change.description.is_none();
    let (bare, shown): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|change| named(change));
    let bare = if bare.len() > 2 { bare } else { Vec::new() };
    let shown = if bare.is_empty() { changes.to_vec() } else { shown };
    let columns = Columns::of(&shown);
    for change in shown {
        render_change(out, change, columns, Form::Short, width);
    }
    if !bare.is_empty() {
        let addresses: Vec<String> = bare.iter().map(|change| change.address.to_string()).collect();
        let (symbol, style) = style(Action::Delete);
        let head = format!("{style}{symbol}{style:#} ");
        let count = bare.len();
        let text = format!("{count} more: {}", addresses.join(", "));
        hanging(out, &head, SYMBOL, &text, width);
    }
}

/// What is blocked, each with its reason and the one fitting command.
fn render_blocked(out: &mut String, blocked: &[&Change], purpose: Purpose, form: Form, width: usize) {
    if blocked.is_empty() {
        return;
    }
    line(out, "");
    if purpose == Purpose::Destroy && form == Form::Short {
        let addresses: Vec<String> = blocked.iter().map(|change| change.address.to_string()).collect();
        let text = format!("Not this stack's, and left alone: {}.", addresses.join(", "));
        return paragraph(out, "", &text, width);
    }
    let heading = match purpose {
        Purpose::Apply => "Blocked, so nothing will be applied:",
        Purpose::Destroy => "Not this stack's, and left alone:",
    };
    line(out, heading);
    let columns = Columns::of(blocked);
    for change in blocked {
        render_change(out, change, columns, form, width);
    }
}

/// The plan's counts.
pub fn summary(plan: &Plan) -> String {
    let Summary { create, update, replace, delete, blocked } = plan.summary;
    if plan.is_empty() {
        return match (plan.purpose, &plan.only[..]) {
            (Purpose::Apply, []) => "No changes. Your infrastructure matches the configuration.".into(),
            (Purpose::Apply, only) => {
                let only: Vec<String> = only.iter().map(Address::to_string).collect();
                format!("No changes to {}. Nothing else was compared.", only.join(", "))
            }
            (Purpose::Destroy, _) => "Nothing to destroy: no resource of this stack exists.".into(),
        };
    }
    let counts = [(create, "create"), (update, "change"), (replace, "replace"), (delete, "destroy")];
    let mut counts: Vec<String> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, verb)| format!("{count} to {verb}")).collect();
    match plan.purpose {
        Purpose::Destroy if counts.is_empty() => return "Nothing to destroy.".into(),
        Purpose::Apply if blocked > 0 => counts.push(format!("{blocked} blocked")),
        _ => {}
    }
    format!("Plan: {}.", counts.join(", "))
}

/// What it costs, before and after.
fn cost(plan: &Plan) -> Option<String> {
    let before = plan.usd_a_month_before;
    match (plan.purpose, &plan.estimate, &plan.fleet_estimate) {
        _ if plan.is_empty() => None,
        (Purpose::Destroy, ..) => before
            .filter(|usd| *usd > 0.0)
            .map(|usd| format!("Saves about ${usd:.2} a month, plus storage and requests.")),
        (Purpose::Apply, Some(estimate), _) => Some(Estimate::sentence(estimate, before)),
        (Purpose::Apply, None, Some(estimate)) => Some(FleetEstimate::sentence(estimate, before)),
        (Purpose::Apply, None, None) => {
            before.filter(|usd| *usd > 0.0).map(|usd| format!("Cost: ${usd:.2} -> $0 a month for instances."))
        }
    }
}

fn style(action: Action) -> (&'static str, Style) {
    let color = |color: AnsiColor| color.on_default();
    match action {
        Action::None => ("   ", Style::new()),
        Action::Create => ("  +", color(AnsiColor::Green)),
        Action::Update => ("  ~", color(AnsiColor::Yellow)),
        // Terraform's symbol for what is created before the old one is destroyed.
        Action::Replace => ("+/-", color(AnsiColor::Yellow)),
        Action::Delete => ("  -", color(AnsiColor::Red)),
        Action::Blocked => ("  !", color(AnsiColor::Magenta).bold()),
    }
}

/// The widths of the columns of addresses and names.
#[derive(Clone, Copy)]
struct Columns {
    address: usize,
    name: usize,
}

impl Columns {
    fn of(changes: &[&Change]) -> Self {
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
        let width = |change: &&Change| shown_name(change).chars().count();
        // A binary's name is as long as its build has one, and would move the others' column.
        let named = changes.iter().filter(|change| change.address != Address::Binary);
        Self {
            address: widest(&mut changes.iter().map(|change| change.address.to_string().len())),
            name: widest(&mut named.map(width).filter(|width| *width <= MAX_NAME)),
        }
    }

    /// One space between the parts.
    fn none() -> Self {
        Self { address: 0, name: 0 }
    }
}

/// A binary's name is its key in the bucket, which nobody wants to read.
pub fn shown_name(change: &Change) -> String {
    match (change.address, binary::parse(&change.name)) {
        (Address::Binary, Some(key)) => key.to_string(),
        _ => printable(&change.name).into_owned(),
    }
}

fn render_change(out: &mut String, change: &Change, columns: Columns, form: Form, width: usize) {
    let Change { address, name, action, description, reason, remedy, attributes, steps: _, removals: _ } = change;
    let (symbol, style) = style(*action);
    let bold = Style::new().bold();
    let aligned = columns.address > 0;
    let shown = if form == Form::Long { printable(name).into_owned() } else { shown_name(change) };
    let gap = if aligned { "  " } else { " " };
    let address_width = columns.address;
    let mut head = format!("{style}{symbol}{style:#} {bold}{:address_width$}{bold:#}{gap}{shown}", address.to_string());
    let at_name = SYMBOL + columns.address.max(address.to_string().len()) + gap.len();
    let reasons = reason.as_deref().unwrap_or_default();
    let words: Vec<&str> = match (form, action) {
        (Form::Long, _) => Vec::new(),
        (Form::Short, Action::Create | Action::Delete) => {
            description.as_deref().into_iter().chain(reason.as_deref()).collect()
        }
        (Form::Short, Action::Update | Action::Replace | Action::Blocked | Action::None) => reasons.lines().collect(),
    };
    // The words stand beside the name, or below it where there is no room.
    let used = at_name + shown.chars().count();
    let at_words = used.max(at_name + columns.name) + 2;
    let fits = width.saturating_sub(at_words) >= MIN_DESCRIPTION;
    let mut lines = words.iter().flat_map(|text| {
        let room = if fits { width - at_words } else { width.saturating_sub(at_name) };
        wrap(&printable(text), room)
    });
    if fits && let Some(first) = lines.next() {
        let pad = at_words - used;
        head = format!("{head}{:pad$}{first}", "");
    }
    line(out, &head);
    for text in lines {
        line(out, &format!("{:indent$}{text}", "", indent = if fits { at_words } else { at_name }));
    }
    if form == Form::Long {
        for text in reasons.lines() {
            for wrapped in wrap(&printable(text), width.saturating_sub(INDENT + 2)) {
                line(out, &format!("{:INDENT$}# {wrapped}", ""));
            }
        }
    }
    if let Some(remedy) = remedy {
        let indent = if form == Form::Long { INDENT } else { at_name };
        line(out, &format!("{:indent$}{}", "", printable(remedy)));
    }
    let rows: Vec<Row> = match (form, action) {
        (Form::Short, Action::Create | Action::Delete | Action::Blocked | Action::None) => Vec::new(),
        // What only the new one has is not why it is replaced.
        (Form::Short, Action::Replace) => {
            let differs = attributes.iter().filter(|attribute| !attribute.before.is_null() && attribute.name != "id");
            differs.flat_map(|attribute| rows(attribute, *action)).collect()
        }
        _ => attributes.iter().flat_map(|attribute| rows(attribute, *action)).collect(),
    };
    render_rows(out, &rows, width);
}

fn render_rows(out: &mut String, rows: &[Row], width: usize) {
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

/// Sentences of one kind, each after an empty line or the one before it.
fn remarks(out: &mut String, style: Style, head: &str, sentences: &[String], width: usize) {
    if !sentences.is_empty() {
        line(out, "");
    }
    for sentence in sentences {
        hanging(out, &format!("{style}{}{style:#} ", head.trim_end()), head.len(), &printable(sentence), width);
    }
}

fn paragraph(out: &mut String, head: &str, text: &str, width: usize) {
    hanging(out, head, head.len(), text, width);
}

/// A text after a head that takes up `indent` columns, its further lines below its beginning.
fn hanging(out: &mut String, head: &str, indent: usize, text: &str, width: usize) {
    for (number, text) in wrap(text, width.saturating_sub(indent)).iter().enumerate() {
        match number {
            0 => line(out, &format!("{head}{text}")),
            _ => line(out, &format!("{:indent$}{text}", "")),
        }
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", text.trim_end());
}
