//! The book in docs/ tells the truth: its links lead somewhere, its reference of the command line is the program's own help,
//! and every `console` block of the tutorial and the guides prints what it shows.
//!
//! `UPDATE_DOCS=1 cargo test --release --test docs` writes the reference, and the outputs that differ, into the pages. Read
//! the difference, and put `…` where an output varies.

mod commands;
mod console;
mod links;
mod messages;
#[path = "../support/moto.rs"]
mod moto;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether to write into the pages instead of complaining.
fn update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1")
}

/// The Markdown files below a directory of the repository, sorted, as paths from the repository's root.
fn pages(directory: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    found.sort();
    found
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}
