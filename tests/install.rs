//! install.sh against a mirror in a directory: what it installs, and that it installs nothing else.
//!
//! A `curl` of the test's own stands before the system's in PATH and copies from the directory, so no network and no HTTP
//! server is needed. The released program is a script that prints a version.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const SCRIPT: &str = include_str!("../install.sh");
/// curl as install.sh calls it: `--output FILE` among the options, the URL last.
const CURL: &str = r#"#!/bin/sh
while [ $# -gt 1 ]; do
    [ "$1" = --output ] && output=$2
    shift
done
cp "$MIRROR/${1#https://mirror.test/}" "$output"
"#;

/// A mirror with release 1.2.3, the newest, and a directory to install into.
struct Mirror {
    root: TempDir,
    archive: String,
}

impl Mirror {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let top = format!("thumb-1.2.3-{}-unknown-linux-gnu", std::env::consts::ARCH);
        let archive = format!("{top}.tar.gz");
        let mirror = Self { root, archive };
        mirror.executable("tools/curl", CURL);
        mirror.executable(&format!("{top}/thumb"), "#!/bin/sh\necho thumb 1.2.3\n");
        let latest = mirror.path("latest/download");
        fs::create_dir_all(&latest).unwrap();
        mirror.run(&format!("tar -czf latest/download/{} {top}", mirror.archive));
        mirror.run("cd latest/download && sha256sum * > SHA256SUMS");
        mirror.run("mkdir download && cp -r latest/download download/v1.2.3");
        mirror
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }

    fn executable(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, command: &str) {
        let status = Command::new("sh").args(["-c", command]).current_dir(self.root.path()).status().unwrap();
        assert!(status.success(), "{command}");
    }

    fn install(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.path("tools").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_clear().env("PATH", path).env("MIRROR", self.root.path());
        command.env("PREFIX", self.path("prefix")).env("TMPDIR", self.root.path()).env("THUMB_LIBC", "gnu");
        command.env("THUMB_RELEASES", "https://mirror.test").envs(variables.iter().copied());
        command.output().unwrap()
    }

    /// Installs, and expects to be refused with nothing installed and nothing left behind.
    fn refusal(&self, variables: &[(&str, &str)]) -> String {
        let before = self.names();
        let output = self.install(SCRIPT, variables);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!self.path("prefix").exists(), "{output:?}");
        assert_eq!(self.names(), before, "something is left behind");
        String::from_utf8(output.stderr).unwrap()
    }

    fn names(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> = fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }
}

#[test]
fn the_newest_release_is_installed_or_the_one_that_is_asked_for() {
    for version in ["", "1.2.3", "v1.2.3"] {
        let mirror = Mirror::new();
        let output = mirror.install(SCRIPT, &[("THUMB_VERSION", version)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("installed thumb 1.2.3 as ") && said.contains("is not in PATH yet"), "{said}");
        let installed = Command::new(mirror.path("prefix/bin/thumb")).output().unwrap();
        assert_eq!(installed.stdout, b"thumb 1.2.3\n");
        let files = fs::read_dir(mirror.path("prefix/bin")).unwrap().count();
        assert_eq!(files, 1, "the temporary file is gone");
    }
}

#[test]
fn a_damaged_archive_is_refused() {
    let mirror = Mirror::new();
    let archive = mirror.path("latest/download").join(&mirror.archive);
    let mut content = fs::read(&archive).unwrap();
    content.push(0);
    fs::write(&archive, content).unwrap();
    assert!(mirror.refusal(&[]).contains("is damaged or was tampered with"));
}

#[test]
fn an_archive_that_the_sums_do_not_name_is_refused() {
    let mirror = Mirror::new();
    fs::write(mirror.path("latest/download/SHA256SUMS"), format!("{}  ../{}\n", "0".repeat(64), mirror.archive))
        .unwrap();
    assert!(mirror.refusal(&[]).contains("has no archive for "));
    assert!(mirror.refusal(&[("THUMB_LIBC", "musl")]).contains("-linux-musl"));
}

#[test]
fn what_is_not_there_or_no_version_is_named() {
    let mirror = Mirror::new();
    assert!(mirror.refusal(&[("THUMB_VERSION", "9.9.9")]).contains("https://mirror.test/download/v9.9.9/SHA256SUMS"));
    assert!(mirror.refusal(&[("THUMB_VERSION", "../x")]).contains("\"../x\", which is no version"));
    assert!(mirror.refusal(&[("THUMB_LIBC", "bionic")]).contains("\"bionic\""));
}

#[test]
fn a_script_that_broke_off_does_nothing() {
    let mirror = Mirror::new();
    let body = SCRIPT.strip_suffix("main \"$@\"\n").expect("the last line calls main");
    for (end, _) in body.match_indices('\n') {
        mirror.install(&SCRIPT[..=end], &[]);
        assert!(!mirror.path("prefix").exists(), "{end} bytes of it have installed something");
    }
}
