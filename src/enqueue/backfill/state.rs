//! The file of a backfill, beside thumb.toml: the keys to be queued, one JSON string a line after a first line about the run, and
//! in a second file how many of them are queued. A run that was interrupted goes on from there.
//!
//! It is a local file, and no object in a bucket: whoever may send requests may not be allowed to write one.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Lines, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};

/// The version of the files; another one is not read.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    version: u32,
    pub stack: String,
    pub bucket: String,
    pub prefix: String,
    /// The message group of all its messages.
    pub group: String,
}

/// Where a backfill keeps its files.
#[derive(Clone, Debug)]
pub struct Files {
    keys: PathBuf,
    done: PathBuf,
}

/// Writes the keys.
pub struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
}

/// Reads the keys that are not queued yet.
pub struct Reader {
    pub run: Run,
    /// Keys that were queued before.
    pub done: u64,
    pub total: u64,
    lines: Lines<BufReader<File>>,
    path: PathBuf,
}

impl Run {
    pub fn new(stack: &str, bucket: &str, prefix: &str) -> Self {
        // One group for all: it is the noisy one, and new uploads pass it (SQS developer guide, "Fair queues").
        let group = format!("backfill-{:016x}", fastrand::u64(..));
        Self { version: VERSION, stack: stack.into(), bucket: bucket.into(), prefix: prefix.into(), group }
    }
}

impl Files {
    /// Beside thumb.toml, one pair for each stack and bucket.
    pub fn beside(config: &Path, stack: &str, bucket: &str) -> Self {
        let dir = config.parent().unwrap_or(Path::new(""));
        let name = |what: &str| dir.join(format!(".thumb-backfill-{stack}-{bucket}.{what}"));
        Self { keys: name("keys"), done: name("done") }
    }

    /// Whether an earlier run has left something to do.
    pub fn exist(&self) -> bool {
        self.keys.exists()
    }

    /// Begins a run; what an earlier one has left is forgotten.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self, run: &Run) -> Result<Writer> {
        // First, so that it never belongs to other keys.
        self.remove_file(&self.done)?;
        let file = File::create(&self.keys).map_err(|error| cannot("write", &self.keys, &error))?;
        let mut writer = Writer { file: BufWriter::new(file), path: self.keys.clone() };
        writer.line(run)?;
        Ok(writer)
    }

    /// Opens a run at the first key that is not known to be queued.
    ///
    /// # Errors
    /// There is none, or its files cannot be read.
    pub fn resume(&self) -> Result<Reader> {
        let shown = self.keys.display();
        let not_ours = || Failure::new(format!("{shown} is not a backfill of this version of thumb; delete it"));
        let open = || File::open(&self.keys).map_err(|error| cannot("read", &self.keys, &error));
        let total = BufReader::new(open()?).split(b'\n').count() as u64;
        let mut lines = BufReader::new(open()?).lines();
        let first = lines.next().and_then(|line| line.ok()).unwrap_or_default();
        let run: Run = serde_json::from_str(&first).map_err(|_| not_ours())?;
        if run.version != VERSION {
            return Err(not_ours());
        }
        let done = match fs::read_to_string(&self.done) {
            Ok(text) => text.trim().parse().map_err(|_| not_ours())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(cannot("read", &self.done, &error)),
        };
        for _ in 0..done {
            if lines.next().is_none() {
                break;
            }
        }
        Ok(Reader { run, done, total: total.saturating_sub(1), lines, path: self.keys.clone() })
    }

    /// Records that the first `done` keys are queued. The file appears whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record(&self, done: u64) -> Result<()> {
        let dir = self.done.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            writeln!(file, "{done}")?;
            file.persist(&self.done).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| cannot("write", &self.done, &error))
    }

    /// The run is over.
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub fn remove(&self) -> Result<()> {
        self.remove_file(&self.keys)?;
        self.remove_file(&self.done)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("delete", path, &error)),
            _ => Ok(()),
        }
    }
}

impl Writer {
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, key: &str) -> Result<()> {
        self.line(key)
    }

    fn line(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let line = serde_json::to_string(value).map_err(|error| Failure::bug("a key is no JSON").caused_by(&error))?;
        writeln!(self.file, "{line}").map_err(|error| cannot("write", &self.path, &error))
    }

    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|error| cannot("write", &self.path, &error))
    }
}

impl Iterator for Reader {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?.map_err(|error| cannot("read", &self.path, &error));
        Some(line.and_then(|line| {
            serde_json::from_str(&line)
                .map_err(|error| Failure::new(format!("{} is damaged", self.path.display())).caused_by(&error))
        }))
    }
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}", path.display())).caused_by(error)
}
