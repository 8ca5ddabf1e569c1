//! Writes the pages into a directory. Of the files there, only those of an earlier gallery are replaced or removed.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::page::{Gallery, MARK, NAMES_FILE, NAMES_MARK, Page, file_name};
use crate::error::{Failure, Result};
use crate::files::write_whole;
use crate::text::url_path;

/// Where a page has its [`MARK`].
const HEAD_BYTES: u64 = 1_024;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The page to open first.
    pub start: PathBuf,
    pub pages: usize,
}

/// Writes the pages, each whole or not at all. Pages of an earlier, larger gallery are removed.
///
/// # Errors
/// The directory cannot be written to, or has a file of such a name that no gallery wrote.
pub fn write(gallery: &Gallery, dir: &Path) -> Result<Written> {
    fs::create_dir_all(dir)
        .map_err(|error| Failure::new(format!("cannot create the directory {}", dir.display())).caused_by(&error))?;
    let pages = gallery.page_count();
    let all = (0..pages).map(|page| gallery.page(page)).chain(gallery.index()).chain(gallery.names());
    for Page { file, html } in all {
        let path = dir.join(file);
        check(&path)?;
        let cannot = |error: io::Error| Failure::new(format!("cannot write {}", path.display())).caused_by(&error);
        write_whole(&path, html.as_bytes()).map_err(cannot)?;
    }
    remove_stale(dir, pages)?;
    Ok(Written { start: dir.join(file_name(0)), pages })
}

/// # Errors
/// There is a file that no gallery wrote.
fn check(path: &Path) -> Result<()> {
    match is_ours(path) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(false) => Err(Failure::new(format!("{} exists, and `thumb gallery` did not write it", path.display()))
            .hint("choose another directory with --out, or remove the file")),
        Err(error) => Err(Failure::new(format!("cannot read {}", path.display())).caused_by(&error)),
    }
}

fn is_ours(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    let head = String::from_utf8_lossy(&head);
    Ok(head.contains(MARK) || head.starts_with(NAMES_MARK))
}

/// Removes pages behind the last one, and of a gallery of one page the index and the names, if an earlier gallery wrote them.
fn remove_stale(dir: &Path, pages: usize) -> Result<()> {
    let mut stale: Vec<PathBuf> = Vec::new();
    if pages == 1 {
        stale.extend([super::page::INDEX_FILE, NAMES_FILE].map(|file| dir.join(file)));
    }
    // They are numbered without gaps.
    let later = (pages..).map(|page| dir.join(file_name(page)));
    for path in stale.into_iter().filter(|path| path.exists()).chain(later.take_while(|path| path.exists())) {
        let cannot = |error: io::Error| Failure::new(format!("cannot remove {}", path.display())).caused_by(&error);
        if is_ours(&path).map_err(cannot)? {
            fs::remove_file(&path).map_err(cannot)?;
        }
    }
    Ok(())
}

/// The URL of `to` relative to the pages in `from`; both exist. It ends with a slash, unless it is empty.
///
/// # Errors
/// One of them cannot be found.
pub fn relative_base(from: &Path, to: &Path) -> Result<String> {
    let whole = |path: &Path| {
        let cannot = |error: io::Error| Failure::new(format!("cannot find {}", path.display())).caused_by(&error);
        path.canonicalize().map_err(cannot)
    };
    let (from, to) = (whole(from)?, whole(to)?);
    let (from, to): (Vec<Component>, Vec<Component>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut base = "../".repeat(from.len() - common);
    for part in &to[common..] {
        base += &url_path(part.as_os_str().as_encoded_bytes());
        base.push('/');
    }
    Ok(base)
}
