//! Files that appear whole or not at all, and walks over directories.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

/// Files and directories that one walk looks at.
const MAX_ENTRIES: u64 = 5_000_000;
/// Directories within directories.
const MAX_DEPTH: usize = 64;

/// Calls `each` for every file of a directory and of those below it, in no order: with its path, and with its path below the
/// directory. Hidden ones and symbolic links to directories are left out.
///
/// # Errors
/// A directory cannot be read, there are too many, or those of `each`.
pub fn walk(dir: &Path, mut each: impl FnMut(&Path, &Path) -> Result<()>) -> Result<()> {
    let mut waiting = vec![(dir.to_owned(), PathBuf::new(), 0)];
    let mut looked = 0;
    while let Some((dir, below, depth)) = waiting.pop() {
        let cannot = |error: io::Error| Failure::new(format!("cannot read {}", dir.display())).caused_by(&error);
        for entry in fs::read_dir(&dir).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            looked += 1;
            if looked > MAX_ENTRIES {
                return Err(Failure::new(format!("{} has more than {MAX_ENTRIES} files", dir.display())));
            }
            let (name, path) = (entry.file_name(), entry.path());
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match entry.file_type().map_err(cannot)?.is_dir() {
                true if depth == MAX_DEPTH => {
                    return Err(Failure::new(format!("{} has too many directories within each other", dir.display())));
                }
                true => waiting.push((path, below.join(name), depth + 1)),
                false => each(&path, &below.join(name))?,
            }
        }
    }
    Ok(())
}

/// Writes a temporary file in the same directory, then renames it. After an error nothing is left.
///
/// # Errors
/// The directory does not exist or cannot be written to.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".thumb-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The usual mode of a new file; a temporary file would be readable by its owner only.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken.jpg");
        std::fs::create_dir(&taken).unwrap();
        assert!(write_whole(&taken, b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
