//! `thumb render`: the engine on local files, without AWS. Thumbnails are written atomically and never overwrite a
//! source.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Failure, Result};
use crate::files::write_whole;
use crate::thumbnail::{self, Format, Options, Output, Spec, Thumbnail};

/// A thumbnail that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub path: PathBuf,
    pub width: u32,
    pub height: u32,
    pub bytes: usize,
}

/// One source and its thumbnails.
pub struct Job {
    pub source: PathBuf,
    /// A path for each spec, without the extension, which is the thumbnail's own.
    pub targets: Vec<(Spec, PathBuf)>,
}

/// Plans where each thumbnail goes: `{stem}-{width}x{height}.{format}`, in `out` or beside its source.
///
/// A source is an error if its thumbnail would overwrite a source or another thumbnail of this run.
pub fn plan(sources: &[PathBuf], specs: &[Spec], out: Option<&Path>) -> Vec<Result<Job>> {
    let mut taken: HashSet<PathBuf> = sources.iter().map(|source| absolute(source)).collect();
    sources
        .iter()
        .map(|source| {
            let stem = source.file_stem().ok_or_else(|| Failure::new(format!("{} is not a file", source.display())))?;
            let dir = out.or(source.parent()).unwrap_or(Path::new(""));
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
fn file(path: &Path, format: Format) -> PathBuf {
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
        let Thumbnail { width, height, format, bytes, .. } = thumbnail;
        let path = file(path, format);
        write_whole(&path, &bytes)
            .map_err(|error| Failure::new(format!("cannot write {}", path.display())).caused_by(&error))?;
        rendered.push(Rendered { path, width, height, bytes: bytes.len() });
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

    fn paths(plan: &[Result<Job>]) -> Vec<String> {
        let path = |(_, path): &(Spec, PathBuf)| path.display().to_string();
        plan.iter().flatten().flat_map(|job| job.targets.iter().map(path)).collect()
    }

    #[test]
    fn a_thumbnail_stands_beside_its_source_or_in_out() {
        let sources = ["a/cat.jpg".into(), "owl".into()];
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
            path
        };
        let sources = [file("cat.jpg"), file("cat-4x3.jpg"), file("cat.jpeg")];
        let planned = plan(&sources, &[spec(4, 3)], None);
        assert!(planned[0].is_err() && planned[1].is_ok() && planned[2].is_err());
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
