//! The whole program without an AWS account: starts the AWS emulator moto, as strict as AWS, uploads a few photographs, and
//! runs `thumb` as a user would: apply, enqueue, work, an upload that asks for its thumbnails itself, plan, destroy, gallery.
//! The thumbnails and pages that show them stay in target/quickstart.
//!
//!     cargo run --release --example quickstart [-- --photos DIR] [--keep]
//!
//! Every command is its own process, with its own output and exit code. Cargo builds only the example here, so the
//! example contains `thumb`: called by that name, it runs the program.

#[path = "../../tests/support/moto.rs"]
mod moto;
mod photos;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use moto::Moto;
use photos::Photo;
use thumb::config::image::{Arch, Image};
use thumb::thumbnail::Format;

/// The codelab's five test requests, width x height.
const SIZES: [(u32, u32); 5] = [(400, 400), (300, 600), (150, 100), (1000, 400), (51, 49)];

const STACK: &str = "quickstart";
const SOURCE_BUCKET: &str = "quickstart-photos";
/// Its uploads make their thumbnails by themselves.
const UPLOADS_BUCKET: &str = "quickstart-uploads";
/// Of an upload.
const UPLOAD_SIZE: &str = "150x150";
/// The folder in the bucket; the thumbnails' keys keep it.
const FOLDER: &str = "photos";
/// The folder of the thumbnails, beside the page.
const THUMBNAILS: &str = "thumbnails";

const USAGE: &str = "usage: quickstart [--photos DIR] [--keep]\n  --photos DIR  your own pictures\n  --keep        leaves \
                     the emulator running, with the stack in it";

/// The error is a sentence.
type Result<T, E = String> = std::result::Result<T, E>;

fn main() -> ExitCode {
    if std::env::args().next().as_deref() == Some("thumb") {
        return thumb::cli::main();
    }
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    /// The folder of the photographs.
    photos: PathBuf,
    /// Whether to keep the emulator running, with the stack in it.
    keep: bool,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let photos = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/photos");
        let mut options = Self { photos: photos.into(), keep: false };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => options.keep = true,
                "--photos" => options.photos = words.next().ok_or("--photos needs a directory")?.into(),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let photos = photos::find(&options.photos)?;
    let folder = moto::target_dir()?.join("quickstart");
    make_folder(&folder)?;

    let emulator = Moto::try_start_strict_at_once()?;
    heading(&format!("{} photographs in the emulator, at {}", photos.len(), emulator.endpoint()));
    upload(&emulator, &photos)?;
    fs::write(folder.join("thumb.toml"), configuration()?).map_err(cannot("write", &folder))?;
    let thumb = Thumb { emulator: &emulator, folder: &folder };

    thumb.run("Show the plan, and create it", &["apply", "--yes"])?;
    let sizes: Vec<String> = SIZES.iter().map(|(width, height)| format!("{width}x{height}")).collect();
    let prefix = format!("{FOLDER}/");
    let place = format!("s3://{SOURCE_BUCKET}/{prefix}");
    let mut enqueue = vec!["enqueue", &place];
    enqueue.extend(sizes.iter().flat_map(|size| ["--size", size]));
    thumb.run("Ask for thumbnails", &enqueue)?;
    let mut made = thumb.work("Make them, here as an instance would on AWS")?;
    let engine_ms = engine_ms(&made);
    let first = photos.first().ok_or("there are no photographs")?;
    heading(&format!("Upload one more, to a bucket with a [[trigger]]: s3://{UPLOADS_BUCKET}/{}", first.name));
    put(&emulator, &format!("/{UPLOADS_BUCKET}/{}", photos::encode(&first.name)), &first.read()?)?;
    made.extend(thumb.work("S3 has told the queue of it")?);
    thumb.run("Check that nothing has drifted: AWS is as thumb.toml declares it", &["plan", "--detailed-exitcode"])?;
    let expected = photos.len() * SIZES.len() + 1;
    let bytes = download(&emulator, &made, &folder)?;
    if !options.keep {
        thumb.run("Delete everything", &["destroy", "--yes"])?;
    }

    thumb.run("Show the thumbnails on a page", &["gallery", THUMBNAILS, "--out", "."])?;

    heading("Summary");
    let (count, folder_shown) = (made.len(), folder.display());
    println!("engine      {engine_ms:.0} ms a thumbnail, on average, of photographs with up to 12 megapixels");
    println!("thumbnails  {count} of {expected}, {} KB", bytes / 1000);
    println!("page        {folder_shown}/index.html");
    println!("time        {:.1} s in total", started.elapsed().as_secs_f64());
    if count != expected {
        return Err(format!("{} thumbnails are missing; see the worker's messages above", expected - count));
    }
    if options.keep {
        keep(emulator, &folder);
    } else {
        println!("left over   only target/quickstart");
        println!("\nNext, on AWS: docs/tutorial.md. `-- --keep` leaves the emulator running, to try commands with.");
    }
    Ok(())
}

/// `thumb` as a user runs it: in a folder with a thumb.toml, with environment variables that point to the emulator.
struct Thumb<'a> {
    emulator: &'a Moto,
    folder: &'a Path,
}

impl Thumb<'_> {
    fn command(&self, words: &[&str]) -> Result<Command> {
        let this = std::env::current_exe().map_err(|error| format!("cannot find the running executable: {error}"))?;
        let mut command = self.emulator.command(this);
        command.arg0("thumb").args(words).current_dir(self.folder).stdin(Stdio::null());
        // These decide whether it prints colours.
        for name in ["TERM", "COLORTERM", "NO_COLOR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        Ok(command)
    }

    /// Runs one command, which shares our stdout and stderr and must exit with 0.
    fn run(&self, title: &str, words: &[&str]) -> Result<()> {
        heading(title);
        println!("$ thumb {}\n", words.join(" "));
        let status = self.command(words)?.status().map_err(|error| format!("cannot start thumb: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("`thumb {}` failed: {status}", words.join(" "))) }
    }

    /// Runs a worker until the queue is empty; returns the lines of JSON it wrote, one for each thumbnail.
    fn work(&self, title: &str) -> Result<Vec<serde_json::Value>> {
        let words = ["work", "--drain", "--json"];
        heading(title);
        println!("$ thumb {}\n", words.join(" "));
        let output = self.command(&words)?.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot start thumb: {error}"))?;
        let mut made = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let event: serde_json::Value =
                serde_json::from_str(line).map_err(|error| format!("thumb work wrote {line:?}: {error}"))?;
            match event["event"].as_str() {
                Some("made") => {
                    println!("made {}, {} bytes", text(&event["key"]), event["bytes"]);
                    made.push(event);
                }
                Some(kind @ ("retrying" | "rejected" | "skipped")) => {
                    println!("{kind} {}: {}", text(&event["source"]), text(&event["why"]));
                }
                _ => {} // the start, the end and the statistics
            }
        }
        if output.status.success() { Ok(made) } else { Err(format!("`thumb work` failed: {}", output.status)) }
    }
}

/// A string without its quotes.
fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn heading(text: &str) {
    println!("\n=== {text}\n");
}

/// Makes the folder, and removes only what an earlier run put there.
fn make_folder(folder: &Path) -> Result<()> {
    let part = folder.join(THUMBNAILS);
    if part.exists() {
        fs::remove_dir_all(&part).map_err(cannot("remove", &part))?;
    }
    fs::create_dir_all(&part).map_err(cannot("make", &part))
}

/// How long the engine took for one thumbnail: all those of a photograph are made together, and report the same time.
fn engine_ms(made: &[serde_json::Value]) -> f64 {
    let total: f64 = made.iter().filter_map(|event| event["make_ms"].as_f64()).sum();
    total / SIZES.len() as f64 / made.len().max(1) as f64
}

fn upload(emulator: &Moto, photos: &[Photo]) -> Result<()> {
    for bucket in [SOURCE_BUCKET, UPLOADS_BUCKET] {
        put(emulator, &format!("/{bucket}"), b"")?;
    }
    for photo in photos {
        let key = format!("{FOLDER}/{}", photo.name);
        put(emulator, &format!("/{SOURCE_BUCKET}/{}", photos::encode(&key)), &photo.read()?)?;
        println!("s3://{SOURCE_BUCKET}/{key}  {}x{}, {} KB", photo.width, photo.height, photo.bytes / 1000);
    }
    Ok(())
}

fn put(emulator: &Moto, path: &str, body: &[u8]) -> Result<()> {
    match emulator.request_as_owner("PUT", path, body) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("S3 answers {} for {path}", answer.status)),
        Err(error) => Err(format!("cannot upload {path}: {error}")),
    }
}

/// Fetches the thumbnails without credentials, as anyone on the internet could: fails unless they have a public-read ACL.
/// Returns their bytes.
fn download(emulator: &Moto, made: &[serde_json::Value], folder: &Path) -> Result<usize> {
    let mut bytes = 0;
    for event in made {
        let (key, format) = (text(&event["key"]), text(&event["format"]).parse::<Format>());
        let format = format.map_err(|error| format!("thumb work wrote {event}: {error}"))?;
        let path = format!("/{STACK}-thumbnails-{}/{}", moto::ACCOUNT, photos::encode(key));
        let answer = emulator.request("GET", &path, b"").map_err(|error| format!("cannot fetch {path}: {error}"))?;
        if answer.status != 200 || answer.header("Content-Type") != Some(format.media_type()) {
            return Err(format!("S3 answers {} for {path}, {:?}", answer.status, answer.header("Content-Type")));
        }
        // The key has no extension, because the picture decides the format.
        let name = key.rsplit('/').next().unwrap_or(key);
        let file = folder.join(THUMBNAILS).join(format!("{name}.{}", format.extension()));
        bytes += answer.body.len();
        fs::write(&file, answer.body).map_err(cannot("write", &file))?;
    }
    Ok(bytes)
}

/// A thumb.toml with an instance on which this executable can start. Where there is none (on macOS, for example), it has
/// no instance: the worker runs here anyway.
fn configuration() -> Result<String> {
    let this = std::env::current_exe().and_then(fs::read);
    let this = this.map_err(|error| format!("cannot read the running executable: {error}"))?;
    let instance = match thumb::stack::resources::binary::elf::inspect(&this) {
        Err(_) => "count = 0".to_owned(),
        Ok(executable) => {
            let kind = match executable.arch {
                Arch::X86_64 => "t3.micro",
                Arch::Arm64 => "t4g.micro",
            };
            let newest_first = [Image::Ubuntu2404, Image::Debian12, Image::Ubuntu2204, Image::AmazonLinux2023];
            let fits = |image: &Image| {
                thumb::stack::resources::binary::elf::check(&executable, executable.arch, image).is_ok()
            };
            match newest_first.into_iter().find(fits) {
                Some(image) => format!("type = \"{kind}\"\nimage = \"{image}\""),
                None => "count = 0".to_owned(),
            }
        }
    };
    Ok(format!(
        "# Written by the quickstart.\nname = \"{STACK}\"\nregion = \"{}\"\n\n[buckets]\nsources = [\"{SOURCE_BUCKET}\"]\n\n\
         [thumbnail]\nformats = [\"auto\"]\nkey = \"{{bucket}}/{{dir}}{{name}}-{{width}}x{{height}}\"\n\n[instance]\n{instance}\n\n\
         [[trigger]]   # uploads that make their thumbnails by themselves\nbucket = \"{UPLOADS_BUCKET}\"\nsuffix = \".jpg\"\nsizes = \
         [\"{UPLOAD_SIZE}\"]\n",
        moto::REGION
    ))
}

/// Leaves the emulator running, and says how to use it.
fn keep(emulator: Moto, folder: &Path) {
    heading("The emulator keeps running. To use `thumb` and `aws` with it in another terminal:");
    println!("cd {}", folder.display());
    for (name, value) in emulator.env() {
        println!("export {name}={value}");
    }
    let (pid, log) = emulator.keep();
    println!("\nIts log is {}. To stop it and delete everything in it: kill {pid}", log.display());
}

fn cannot(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> String {
    let shown = format!("cannot {what} {}", path.display());
    move |error| format!("{shown}: {error}")
}
