//! The sources of `thumb render`, and where their thumbnails go. Thumbnails are written atomically and never overwrite a
//! source.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::enqueue::is_photograph;
use crate::error::{Failure, Result};
use crate::files::{walk, write_whole};
use crate::thumbnail::{self, Format, Options, Output, Placeholder, Spec, Thumbnail};

/// Files that one run takes.
const MAX_SOURCES: usize = 1_000_000;

/// A thumbnail that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub path: PathBuf,
    pub width: u32,
    pub height: u32,
    pub format: Format,
    pub placeholder: Placeholder,
    pub bytes: usize,
}

/// A picture to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub path: PathBuf,
    /// The directory below the one that was given; empty for a file that was given itself.
    below: PathBuf,
}

/// One source and its thumbnails.
pub struct Job {
    pub source: PathBuf,
    /// A path for each spec, without the extension, which is the thumbnail's own.
    pub targets: Vec<(Spec, PathBuf)>,
}

/// The files among `given`, and the pictures in its directories and below them, by their extensions. Thumbnails that an earlier
/// run of the same sizes has left there, and what is in `out`, are left out.
///
/// # Errors
/// A directory cannot be read, or there are too many files.
pub fn sources(given: &[PathBuf], specs: &[Spec], out: Option<&Path>) -> Result<Vec<Source>> {
    let out = out.and_then(|out| out.canonicalize().ok());
    let is_thumbnail = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        specs.iter().any(|spec| stem.ends_with(&format!("-{}", spec.size)))
    };
    let mut found = Vec::new();
    for path in given {
        if !path.is_dir() {
            found.push(Source { path: path.clone(), below: PathBuf::new() });
            continue;
        }
        let whole = path.canonicalize().ok();
        let mut here = Vec::new();
        walk(path, |file, below| {
            let in_out = match (&whole, &out) {
                (Some(whole), Some(out)) if whole != out && out.starts_with(whole) => {
                    whole.join(below).starts_with(out)
                }
                _ => false,
            };
            if is_photograph(&file.to_string_lossy()) && !is_thumbnail(file) && !in_out {
                let below = below.parent().unwrap_or(Path::new("")).to_owned();
                here.push(Source { path: file.to_owned(), below });
            }
            match here.len() + found.len() > MAX_SOURCES {
                true => Err(Failure::new(format!("there are more than {MAX_SOURCES} pictures"))),
                false => Ok(()),
            }
        })?;
        if here.is_empty() {
            return Err(Failure::new(format!("there is no picture in {}", path.display())));
        }
        here.sort_by(|a, b| a.path.cmp(&b.path));
        found.append(&mut here);
    }
    Ok(found)
}

/// Plans where each thumbnail goes: `{stem}-{width}x{height}.{format}`, in `out` (there in the directories that the sources have
/// below a given one) or beside its source.
///
/// A source is an error if its thumbnail would overwrite a source or another thumbnail of this run.
pub fn plan(sources: &[Source], specs: &[Spec], out: Option<&Path>) -> Vec<Result<Job>> {
    // One that is not there is not written over.
    let there = sources.iter().filter(|source| source.path.exists());
    let mut taken: HashSet<PathBuf> = there.map(|source| absolute(&source.path)).collect();
    sources
        .iter()
        .map(|Source { path: source, below }| {
            let stem = source.file_stem().ok_or_else(|| Failure::new(format!("{} is not a file", source.display())))?;
            let dir = match out {
                Some(out) => out.join(below),
                None => source.parent().unwrap_or(Path::new("")).to_owned(),
            };
            let target = |spec: &Spec| {
                let mut name = stem.to_owned();
                name.push(format!("-{}", spec.size));
                (*spec, dir.join(name))
            };
            let targets: Vec<_> = specs.iter().map(target).collect();
            for path in targets
                .iter()
                .flat_map(|(spec, path)| formats(spec.output).into_iter().map(|format| file(path, format)))
            {
                if !taken.insert(absolute(&path)) {
                    return Err(Failure::new(format!(
                        "skipped {}: its thumbnail would overwrite {}, a source or another thumbnail",
                        source.display(),
                        path.display()
                    ))
                    .hint("render it separately, or use another --out"));
                }
            }
            Ok(Job { source: source.clone(), targets })
        })
        .collect()
}

/// The formats that a thumbnail may have.
fn formats(output: Output) -> Vec<Format> {
    output.format().map_or_else(|| vec![Format::Jpeg, Format::Webp, Format::Png], |format| vec![format])
}

/// A path with a format's extension added.
pub fn file(path: &Path, format: Format) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", format.extension()));
    name.into()
}

/// Makes the thumbnails of one source, and returns how long the engine took.
///
/// # Errors
/// The source cannot be read, is not a picture or exceeds a limit, or a thumbnail cannot be written. Thumbnails written
/// before are complete.
pub fn render(job: &Job, options: &Options) -> Result<(Vec<Rendered>, Duration)> {
    let shown = job.source.display();
    let source = read_bounded(&job.source, options.limits.max_source_bytes)
        .map_err(|error| Failure::new(format!("cannot read {shown}")).caused_by(&error))?;
    let specs: Vec<Spec> = job.targets.iter().map(|(spec, _)| *spec).collect();
    let began = Instant::now();
    let thumbnails = thumbnail::thumbnails(&source, &specs, options)
        .map_err(|error| Failure::new(format!("cannot make a thumbnail of {shown}")).caused_by(&error))?;
    let took = began.elapsed();
    let mut rendered = Vec::with_capacity(thumbnails.len());
    for (thumbnail, (_, path)) in thumbnails.into_iter().zip(&job.targets) {
        let Thumbnail { width, height, format, bytes, placeholder } = thumbnail;
        let path = file(path, format);
        let cannot = |error: io::Error| Failure::new(format!("cannot write {}", path.display())).caused_by(&error);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(cannot)?;
        }
        write_whole(&path, &bytes).map_err(cannot)?;
        let bytes = bytes.len();
        rendered.push(Rendered { path, width, height, format, placeholder, bytes });
    }
    Ok((rendered, took))
}

/// Reads at most `max` bytes, and one more if the file is longer.
fn read_bounded(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length.min(max) + 1);
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The canonical path; for a file that does not exist, that of its directory plus the file name.
fn absolute(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let whole = || Some(dir.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(whole).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thumbnail::Size;

    fn spec(width: u32, height: u32) -> Spec {
        Spec::new(Size::new(width, height))
    }

    fn given(path: &str) -> Source {
        Source { path: path.into(), below: PathBuf::new() }
    }

    #[test]
    fn a_directory_is_its_pictures_and_not_their_thumbnails() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("2026/out")).unwrap();
        for name in
            ["owl.JPG", "owl-4x3.jpg", "owl-8x8.jpg", "notes.txt", ".hidden.jpg", "2026/cat.webp", "2026/out/x.png"]
        {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let out = dir.path().join("2026/out");
        let found = sources(&[dir.path().to_owned(), "no.jpg".into()], &[spec(4, 3)], Some(&out)).unwrap();
        let names: Vec<String> = found
            .iter()
            .map(|source| source.path.strip_prefix(dir.path()).unwrap_or(&source.path).display().to_string())
            .collect();
        assert_eq!(names, ["2026/cat.webp", "owl-8x8.jpg", "owl.JPG", "no.jpg"]);
        let planned = paths(&plan(&found, &[spec(4, 3)], Some(Path::new("t"))));
        assert_eq!(planned, ["t/2026/cat-4x3", "t/owl-8x8-4x3", "t/owl-4x3", "t/no-4x3"]);
        // What is given itself is meant.
        let inside = sources(&[out], &[spec(4, 3)], Some(dir.path())).unwrap();
        assert_eq!(inside.len(), 1);
        let none = sources(&[tempfile::tempdir().unwrap().path().to_owned()], &[spec(4, 3)], None);
        assert!(none.unwrap_err().to_string().starts_with("there is no picture in "));
    }

    fn paths(plan: &[Result<Job>]) -> Vec<String> {
        let path = |(_, path): &(Spec, PathBuf)| path.display().to_string();
        plan.iter().flatten().flat_map(|job| job.targets.iter().map(path)).collect()
    }

    #[test]
    fn a_thumbnail_stands_beside_its_source_or_in_out() {
        let sources = ["a/cat.jpg", "owl"].map(given);
        let specs = [spec(4, 3), spec(2, 2)];
        assert_eq!(paths(&plan(&sources, &specs, None)), ["a/cat-4x3", "a/cat-2x2", "owl-4x3", "owl-2x2"]);
        assert_eq!(paths(&plan(&sources[..1], &specs, Some(Path::new("out")))), ["out/cat-4x3", "out/cat-2x2"]);
    }

    #[test]
    fn nothing_is_written_over_a_source_or_another_thumbnail() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            Source { path, below: PathBuf::new() }
        };
        let sources = [file("cat.jpg"), file("cat-4x3.jpg"), file("cat.jpeg")];
        let planned = plan(&sources, &[spec(4, 3)], None);
        assert!(planned[0].is_err() && planned[1].is_ok() && planned[2].is_err());
        let missing = ["cat.jpg", "cat-4x3.jpg"].map(|name| given(&dir.path().join("no").join(name).to_string_lossy()));
        assert!(plan(&missing, &[spec(4, 3)], None)[0].is_ok(), "there is nothing to be written over");
        let auto = Spec { output: Output::Auto, ..spec(4, 3) };
        let planned = plan(&[file("owl.png"), file("owl-4x3.webp")], &[auto], None);
        assert!(planned[0].is_err() && planned[1].is_ok(), "it may become a WebP");
    }

    #[test]
    fn a_source_that_is_too_long_is_not_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        std::fs::write(&path, [0; 100]).unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap().len(), 11);
        assert_eq!(read_bounded(&path, 100).unwrap().len(), 100);
    }
}
