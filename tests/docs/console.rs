//! The tutorial and the guides are run, page by page, against a strict emulator. Each page begins in an empty directory.
//!
//! - A `console` block: lines after `$ ` are commands of a shell, the lines below are what the command prints (stdout and
//!   stderr). `…` stands for anything; as a line of its own, for any number of lines. A command that ends with `&` runs until
//!   `kill %1`, or until the page is over. A command may fail only where its output says `error:`.
//! - A block with `>FILE` or `>>FILE` behind its language is written to that file, or added to it.
//! - An `sh` block is not run, because it needs what is not here (`aws`, `git`, an account). But the test does itself what
//!   `aws s3 mb` and `aws s3 cp FILE s3://…` do, because the page goes on from there.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::moto::{AT_ONCE, Moto};
use crate::{pages, read, root, update};

/// The longest that a command may take: they take a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Stands for what varies.
const ANYTHING: &str = "…";

#[test]
fn the_tutorial_prints_what_it_shows() {
    run(&[PathBuf::from("docs/tutorial.md")]);
}

#[test]
fn the_guides_print_what_they_show() {
    run(&pages("docs/guides"));
}

/// Runs pages one after the other in an emulator.
#[track_caller]
fn run(pages: &[PathBuf]) {
    let moto = Moto::start_strict(&AT_ONCE);
    let mut complaints = Vec::new();
    for page in pages {
        let text = read(page);
        let (rewritten, complaint) = Reader::new(&moto).read(&text);
        if update() && rewritten != text {
            fs::write(root().join(page), rewritten).unwrap();
        } else if !update() {
            complaints.extend(complaint.into_iter().map(|complaint| format!("{}: {complaint}", page.display())));
        }
    }
    assert!(
        complaints.is_empty(),
        "\n{}\nUPDATE_DOCS=1 cargo test --release --test docs writes what was printed",
        complaints.join("\n")
    );
}

/// Somebody who does what a page says.
struct Reader<'a> {
    moto: &'a Moto,
    /// Has a link to `examples`, as a clone of the repository.
    clone: tempfile::TempDir,
    background: Vec<Child>,
    complaints: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(moto: &'a Moto) -> Self {
        let clone = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root().join("examples"), clone.path().join("examples")).unwrap();
        fs::create_dir(clone.path().join("try")).unwrap();
        Self { moto, clone, background: Vec::new(), complaints: Vec::new() }
    }

    fn directory(&self) -> PathBuf {
        self.clone.path().join("try")
    }

    /// The page with the outputs as they are, and where they are not as they were.
    fn read(mut self, page: &str) -> (String, Vec<String>) {
        let mut rewritten = String::new();
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            rewritten += &format!("{line}\n");
            let Some(info) = line.strip_prefix("```") else { continue };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            rewritten += &format!("{}```\n", self.block(info, &block));
        }
        // The next page finds the account as empty as this one did.
        self.end_background();
        if self.directory().join("thumb.toml").exists() {
            self.run("thumb destroy --yes");
        }
        (rewritten, std::mem::take(&mut self.complaints))
    }

    /// Does what a block says; the block as it should be.
    fn block(&mut self, info: &str, block: &[&str]) -> String {
        let unchanged: String = block.iter().map(|line| format!("{line}\n")).collect();
        if let Some((_, file)) = info.split_once(" >") {
            let path = self.directory().join(file.trim_start_matches('>'));
            let mut options = File::options();
            let append = file.starts_with('>');
            options.create(true).write(true).append(append).truncate(!append);
            options.open(path).unwrap().write_all(unchanged.as_bytes()).unwrap();
        } else if info == "console" {
            return self.session(block);
        } else if info == "sh" {
            block.iter().for_each(|line| self.aws(line));
        }
        unchanged
    }

    fn session(&mut self, block: &[&str]) -> String {
        let mut rewritten = String::new();
        let mut lines = block.iter().peekable();
        while let Some(line) = lines.next() {
            let Some(command) = line.strip_prefix("$ ") else {
                self.complaints.push(format!("a console block begins with a command, and not with {line:?}"));
                continue;
            };
            let shown: Vec<&str> =
                std::iter::from_fn(|| lines.next_if(|line| !line.starts_with("$ ")).copied()).collect();
            rewritten += &format!("{line}\n");
            if let Some(command) = command.strip_suffix('&') {
                self.background.push(self.shell(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
                continue;
            }
            if command == "kill %1" {
                self.end_background();
                continue;
            }
            let (printed, succeeded) = self.run(command);
            let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
            let matching = same(&shown, &printed);
            let kept = if matching { shown.clone() } else { merged(&shown, &printed) };
            kept.iter().for_each(|line| rewritten += &format!("{line}\n"));
            if !matching {
                self.complaints.push(format!(
                    "$ {command}\n  shows:\n{}\n  prints:\n{}",
                    shown.join("\n"),
                    printed.join("\n")
                ));
            } else if !succeeded && !shown.iter().any(|line| line.starts_with("error:")) {
                self.complaints
                    .push(format!("$ {command}\n  fails, and the page does not say so:\n{}", printed.join("\n")));
            }
        }
        rewritten
    }

    fn end_background(&mut self) {
        for mut child in self.background.drain(..) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A command of a shell that finds `thumb`, and the emulator instead of AWS.
    fn shell(&self, command: &str) -> Command {
        let thumb = Path::new(env!("CARGO_BIN_EXE_thumb")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(thumb).chain(std::env::split_paths(&path))).unwrap();
        let mut shell = self.moto.command("sh");
        shell.env("PATH", path).current_dir(self.directory()).stdin(Stdio::null());
        // What stands for the shell can be ended as the program itself.
        let exec = if command.contains(['|', ';']) { "" } else { "exec " };
        shell.args(["-c", &format!("{exec}{command}")]);
        shell
    }

    /// What a command prints, and whether it succeeds.
    fn run(&self, command: &str) -> (String, bool) {
        let path = self.clone.path().join("output");
        let output = File::create(&path).unwrap();
        let mut child = self.shell(command).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                child.kill().unwrap();
            }
            std::thread::sleep(POLL);
        };
        (fs::read_to_string(path).unwrap(), status.success())
    }

    /// Does what `aws s3 mb s3://BUCKET` and `aws s3 cp FILE|DIRECTORY s3://BUCKET/PREFIX` do; other commands are left alone.
    fn aws(&self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with('-')).collect();
        match words[..] {
            ["aws", "s3", "mb", bucket] => self.put(&bucket.replacen("s3:/", "", 1), b""),
            ["aws", "s3", "cp", from, to, ..] if to.starts_with("s3://") && from != "-" => {
                let from = self.directory().join(from);
                let to = to.replacen("s3:/", "", 1);
                let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
                if from.is_dir() {
                    for entry in fs::read_dir(from).unwrap() {
                        let path = entry.unwrap().path();
                        self.put(&format!("{to}{}", name(&path)), &fs::read(&path).unwrap());
                    }
                } else {
                    let to = if to.ends_with('/') { format!("{to}{}", name(&from)) } else { to };
                    self.put(&to, &fs::read(from).unwrap());
                }
            }
            _ => {}
        }
    }

    fn put(&self, path: &str, body: &[u8]) {
        let answer = self.moto.request_as_owner("PUT", path, body).unwrap();
        assert_eq!(answer.status, 200, "PUT {path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.end_background();
    }
}

/// Whether lines are as shown.
fn same(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        ([first, rest @ ..], _) if *first == ANYTHING => {
            (0..=printed.len()).any(|skipped| same(rest, &printed[skipped..]))
        }
        ([first, rest @ ..], [line, others @ ..]) => same_line(first, line) && same(rest, others),
        _ => false,
    }
}

/// What is printed, with the `…` of what was shown where the rest of a line, or the next line, is as it was.
fn merged<'a>(shown: &[&'a str], printed: &[&'a str]) -> Vec<&'a str> {
    let mut merged = Vec::new();
    let mut rest = printed;
    let mut skip = false;
    for line in shown {
        if *line == ANYTHING {
            skip = true;
        } else if let Some(at) = rest.iter().position(|printed| same_line(line, printed)) {
            merged.extend_from_slice(if skip { &[ANYTHING] } else { &rest[..at] });
            merged.push(line);
            rest = &rest[at + 1..];
            skip = false;
        }
    }
    merged.extend_from_slice(if skip { &[ANYTHING] } else { rest });
    merged
}

fn same_line(shown: &str, printed: &str) -> bool {
    let Some((before, after)) = shown.split_once(ANYTHING) else { return shown == printed };
    printed.strip_prefix(before).is_some_and(|rest| {
        rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| same_line(after, &rest[at..]))
    })
}

#[test]
fn an_ellipsis_stands_for_anything() {
    let shown = ["begin", "…", "took … s, … done", "end"];
    assert!(same(&shown, &["begin", "a", "b", "took 1.2 s, 3 done", "end"]));
    assert!(same(&shown, &["begin", "took  s, all of it done", "end"]));
    assert!(!same(&shown, &["begin", "took 1.2 s, 3 done"]));
    assert!(!same(&shown, &["begin", "took 1.2 s, 3 failed", "end"]));
    assert!(!same(&["one"], &["one", "two"]));
}

#[test]
fn an_update_keeps_the_ellipses_that_still_fit() {
    let shown = ["Plan: 2", "…", "took … s", "gone", "id …"];
    let printed = ["Plan: 3", "a", "b", "took 9 s", "new", "id 7", "more"];
    let merged = merged(&shown, &printed);
    assert_eq!(merged, ["…", "took … s", "new", "id …", "more"]);
    assert!(same(&merged, &printed));
}
