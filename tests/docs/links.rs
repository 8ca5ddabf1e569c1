//! Every relative link of the documentation leads to a file that exists, and to a heading of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::{pages, read, root};

/// What is read beside docs/.
const OTHERS: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
const SUMMARY: &str = "docs/SUMMARY.md";

#[test]
fn every_link_leads_somewhere() {
    let mut complaints = Vec::new();
    for page in pages("docs").into_iter().chain(OTHERS.map(PathBuf::from)) {
        let text = read(&page);
        for link in links(&text) {
            if let Err(why) = follow(&page, &link) {
                complaints.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_page_is_in_the_summary_once() {
    let mut count: BTreeMap<PathBuf, usize> =
        pages("docs").into_iter().filter(|page| page != Path::new(SUMMARY)).map(|page| (page, 0)).collect();
    for link in links(&read(Path::new(SUMMARY))) {
        *count.entry(Path::new("docs").join(link)).or_default() += 1;
    }
    let wrong: Vec<_> = count.into_iter().filter(|(_, count)| *count != 1).collect();
    assert!(wrong.is_empty(), "how often {SUMMARY} has these pages: {wrong:?}");
}

/// Whether a link of a page leads to a file of the repository, and to a heading of it. A page of the book may link to the
/// book only: nothing else is there when it is built.
fn follow(page: &Path, link: &str) -> Result<(), String> {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { page.to_owned() } else { resolve(page.parent().unwrap(), path) };
    if !root().join(&target).is_file() {
        return Err(format!("there is no file {}", target.display()));
    }
    if page.starts_with("docs") && !target.starts_with("docs") {
        return Err("a page of the book cannot link to what is outside of it".to_owned());
    }
    if page.starts_with("docs") && target.ends_with("README.md") {
        return Err("mdBook makes index.html of it, and links to README.html: name it index.md".to_owned());
    }
    match anchor {
        Some(anchor) if !anchors(&read(&target)).contains(anchor) => {
            Err(format!("{} has no such heading", target.display()))
        }
        _ => Ok(()),
    }
}

/// A path from a directory, without its `..`.
fn resolve(directory: &Path, path: &str) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in directory.join(path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            part => resolved.push(part),
        }
    }
    resolved
}

/// The targets of inline links and images, of reference definitions, and of mdBook's includes.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let end = after.find(')').unwrap_or(after.len());
            found.push(after[..end].to_owned());
            rest = &after[end..];
        }
        if let Some((label, target)) = line.split_once("]: ")
            && label.starts_with('[')
        {
            found.push(target.trim().to_owned());
        }
    }
    found
}

/// The lines outside of code blocks, without their code spans.
fn prose(text: &str) -> Vec<String> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let ticks = line.trim_start();
        let ticks = &ticks[..ticks.len() - ticks.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() => fence = None,
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(_) => {}
            None => lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("")),
        }
    }
    lines
}

/// The anchors of a page's headings, as mdBook and GitHub make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if in_code || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|char| if char == ' ' { '-' } else { char }).collect();
        let repeated = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *repeated == 0 { anchor } else { format!("{anchor}-{repeated}") });
        *repeated += 1;
    }
    anchors
}

#[test]
fn links_and_anchors_are_found() {
    let text = "# A `b` c, d!\n[x](y.md#z) `[no](no.md)` ![i](i.svg)\n```\n# no\n[no](no.md)\n```\n## Twice\n## Twice\n[r]: r.md\n";
    assert_eq!(links(text), ["y.md#z", "i.svg", "r.md"]);
    assert_eq!(anchors(text), ["a-b-c-d", "twice", "twice-1"].map(str::to_owned).into());
    assert_eq!(resolve(Path::new("docs/guides"), "../reference/a.md"), Path::new("docs/reference/a.md"));
}

#[test]
fn a_broken_link_is_found() {
    let page = Path::new("docs/introduction.md");
    assert!(follow(page, "nowhere.md").is_err());
    assert!(follow(page, "tutorial.md#nowhere").is_err());
    assert!(follow(page, "../README.md").is_err(), "not in the book");
    assert!(follow(page, "https://example.com/nowhere").is_ok(), "not looked at");
    assert!(follow(page, "tutorial.md").is_ok());
}
