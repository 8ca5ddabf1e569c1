//! Tells the program which build it is: `THUMB_IDENTITY` and `THUMB_COMMIT` (see src/version.rs).
//!
//! Two builds of one commit are the same program, though their bytes may differ; so a stack is not replaced because a
//! colleague has built it too. Whatever is not exactly a commit has no identity, and counts by its hash.

use std::path::Path;
use std::process::Command;

/// What the program is made of: a change elsewhere, in a test or a page, does not make another program.
const SOURCES: [&str; 6] =
    ["src", "crates/engine/src", "crates/engine/Cargo.toml", "Cargo.toml", "Cargo.lock", "build.rs"];
/// Digits of a commit's hash that are shown and compared.
const COMMIT_DIGITS: usize = 12;

fn main() {
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = packaged_commit().or_else(checked_out_commit);
    let (commit, clean) = commit.unwrap_or_default();
    let version = env("CARGO_PKG_VERSION");
    let arch = env("CARGO_CFG_TARGET_ARCH");
    let without: String = ["heic", "webp"]
        .into_iter()
        .filter(|feature| std::env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase())).is_none())
        .map(|feature| format!("-no{feature}"))
        .collect();
    let identity = if clean { format!("{version}-{commit}-{arch}{without}") } else { String::new() };
    let shown = match (commit.as_str(), clean) {
        ("", _) => String::new(),
        (commit, true) => commit.to_owned(),
        (commit, false) => format!("{commit}, with changes"),
    };
    println!("cargo::rustc-env=THUMB_IDENTITY={identity}");
    println!("cargo::rustc-env=THUMB_COMMIT={shown}");
    println!("cargo::rustc-env=THUMB_TARGET={}", env("TARGET"));
}

/// In a published package, cargo has noted the commit.
fn packaged_commit() -> Option<(String, bool)> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    let commit = rest.get(..COMMIT_DIGITS)?;
    Some((commit.to_owned(), !text.contains("\"dirty\": true")))
}

/// The commit of this checkout, and whether [`SOURCES`] are as it has them; None without git.
fn checked_out_commit() -> Option<(String, bool)> {
    // Of a directory above, when this is a dependency's copy: not ours to name.
    if !Path::new(".git").exists() {
        return None;
    }
    // Moves with every commit and checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    let commit = git(&["rev-parse", &format!("--short={COMMIT_DIGITS}"), "HEAD"])?;
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    status.extend(SOURCES);
    Some((commit, git(&status)?.is_empty()))
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// A variable that cargo always sets.
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by cargo"))
}
