//! `thumb gallery`: pages of thumbnails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use indicatif::ProgressBar;

use super::enqueue::style;
use super::{Global, print, tell};
use crate::aws::{Clients, RegionalS3, account_number, everyone_can_read, s3_config};
use crate::config::key_template::KeyTemplate;
use crate::config::{self, Access, Config};
use crate::error::{Failure, Result};
use crate::gallery::{self, Collection, Gallery, Written, listing, thousands};
use crate::text::{plural, printable};

/// Make pages that show thumbnails, for a browser.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "gallery",
    help_triggers("-h", "--help"),
    example = "thumb gallery                          # of the stack's thumbnails\n\
               thumb gallery thumbnails -o pages      # of files on this machine",
    note = "The pages work from a disk and from any web server; they load nothing but thumbnails. Those of a directory have paths \
            relative to the pages: copy both together. Those of a bucket have the bucket's public address, or what --base says."
)]
pub struct Args {
    /// the bucket of the thumbnails (default: the stack's)
    #[argh(option, arg_name = "BUCKET")]
    bucket: Option<String>,
    /// only thumbnails whose keys begin so
    #[argh(option, arg_name = "P", default = "String::new()")]
    prefix: String,
    /// where the pages find a bucket's thumbnails: an https address, or ../ for pages in a folder of the bucket
    #[argh(option, arg_name = "URL", from_str_fn(base))]
    base: Option<String>,
    /// what stands at the top (default: the bucket's or the directory's name)
    #[argh(option, arg_name = "TEXT")]
    title: Option<String>,
    /// directory for the pages (default: gallery)
    #[argh(option, short = 'o', arg_name = "DIR", default = "PathBuf::from(\"gallery\")")]
    out: PathBuf,
    /// a directory of thumbnails on this machine, instead of a bucket
    #[argh(positional, arg_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What was found, and where the pages find it.
struct Found {
    collection: Collection,
    title: String,
    base: String,
    /// What a bucket's pages may lack.
    warning: Option<String>,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let Args { bucket, prefix, base, title, out, dir } = args;
    // Beside a directory or a named bucket, thumb.toml only says how the keys look.
    let config = match dir.is_none() && bucket.is_none() || global.config.exists() {
        true => Some(global.load_config()?),
        false => None,
    };
    let found = match (dir, bucket) {
        (Some(_), Some(_)) => return Err(Failure::usage("a directory and --bucket exclude each other")),
        (Some(_), None) if base.is_some() || !prefix.is_empty() => {
            return Err(Failure::usage("--base and --prefix are for a bucket"));
        }
        (Some(dir), None) => of_directory(&dir, &out, config.as_ref())?,
        (None, bucket) => of_bucket(bucket, &prefix, base, config.as_ref()).await?,
    };
    let (pictures, others) = found.collection.finish();
    let (count, thumbnails) = (pictures.len(), pictures.iter().map(|picture| picture.thumbnails.len()).sum::<usize>());
    let gallery = Gallery { title: title.unwrap_or(found.title), base: found.base, pictures };
    let Written { start, pages } = gallery::write(&gallery, &out)?;
    if let Some(warning) = found.warning {
        tell(&format!("warning: {warning}"));
    }
    if others > 0 {
        tell(&format!(
            "note: {} left out: not named like thumbnails (`key` in thumb.toml)",
            counted(others as usize, "file")
        ));
    }
    if count == 0 {
        tell("note: there are no thumbnails; the page is empty");
    }
    print(&format!(
        "wrote {} with {} and {} to {}\n",
        counted(pages, "page"),
        counted(count, "picture"),
        counted(thumbnails, "thumbnail"),
        printable(&start.display().to_string())
    ))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{} {}", thousands(count), plural(count as u64, noun))
}

/// The template of thumb.toml, where there is one.
fn collection(config: Option<&Config>) -> Collection {
    config.map_or_else(|| Collection::new(&KeyTemplate::default()), |config| Collection::new(&config.thumbnail.key))
}

fn of_directory(dir: &Path, out: &Path, config: Option<&Config>) -> Result<Found> {
    if !dir.is_dir() {
        return Err(Failure::new(format!("{} is not a directory", dir.display())));
    }
    let mut collection = collection(config);
    let bar = looking();
    listing::directory(dir, &mut collection, |looked| bar.set_position(looked))?;
    bar.finish_and_clear();
    std::fs::create_dir_all(out)
        .map_err(|error| Failure::new(format!("cannot create the directory {}", out.display())).caused_by(&error))?;
    let base = gallery::relative_base(out, dir)?;
    let name = dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    Ok(Found { collection, title: name.unwrap_or_else(|| "Thumbnails".into()), base, warning: None })
}

async fn of_bucket(
    given: Option<String>,
    prefix: &str,
    base: Option<String>,
    config: Option<&Config>,
) -> Result<Found> {
    let clients = Clients::connect(config.and_then(|config| config.region.as_deref())).await?;
    // The stack's bucket must be of the account; another one may be anybody's.
    let (bucket, owner) = match (given, config) {
        (Some(bucket), _) => {
            config::bucket_name(&bucket).map_err(|why| Failure::usage(format!("the bucket {bucket:?} {why}")))?;
            (bucket, None)
        }
        (None, Some(config)) => {
            let account = account_number(config.account.as_deref(), &clients).await?;
            (config.thumbnails_bucket(&account), Some(account))
        }
        (None, None) => return Err(Failure::usage("missing --bucket")),
    };
    let s3 = RegionalS3::new(s3_config(&clients.sdk));
    let mut collection = collection(config);
    let bar = looking();
    listing::bucket(&s3, &bucket, prefix, owner.as_deref(), &mut collection, |looked| bar.set_position(looked)).await?;
    bar.finish_and_clear();
    let (base, warning) = match base {
        Some(base) => (base, None),
        None => {
            let region = s3.region_of(&bucket).await;
            let region = region.map_err(|error| error.failure(format!("cannot find the region of {bucket}")))?;
            let declared = config.filter(|_| owner.is_some()).map(|config| config.buckets.access);
            let warning = match collection.any_key() {
                Some(key) => unreadable(&clients, &bucket, key, declared).await,
                None => None,
            };
            (public_base(clients.endpoint.as_deref(), &region, &bucket), warning)
        }
    };
    Ok(Found { collection, title: bucket, base, warning })
}

/// A bucket's public address (S3 user guide, "Virtual hosting of buckets"). A name with dots does not fit S3's certificate.
fn public_base(endpoint: Option<&str>, region: &str, bucket: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    match endpoint {
        Some(endpoint) => format!("{}/{bucket}/", endpoint.trim_end_matches('/')),
        None if bucket.contains('.') => format!("https://s3.{region}.{domain}/{bucket}/"),
        None => format!("https://{bucket}.s3.{region}.{domain}/"),
    }
}

/// Looks at one thumbnail as everyone does: what to say if it cannot be read.
async fn unreadable(clients: &Clients, bucket: &str, key: &str, declared: Option<Access>) -> Option<String> {
    let named = declared.map_or(String::new(), |access| format!(" (`access` is {access})"));
    let why = match everyone_can_read(clients, bucket, key).await {
        Ok(true) => return None,
        Ok(false) => format!("the thumbnails are not public{named}, so a browser cannot load them"),
        Err(error) => return Some(format!("it was not checked whether everyone can read the thumbnails: {error}")),
    };
    Some(format!(
        "{why} from S3. Either copy them and make pages of the copy (`aws s3 sync s3://{bucket} thumbnails`, `thumb gallery \
         thumbnails`), or serve the bucket, by CloudFront for example, and name its address with --base"
    ))
}

/// A web address or a relative path, with a slash at its end.
fn base(text: &str) -> Result<String, String> {
    let wrong = || {
        format!("{text:?} is neither an address such as https://images.example.com/ nor a relative path such as ../")
    };
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    // The characters of a URL but the comma, which separates URLs in `srcset` (RFC 3986, 2.2 and 2.3). A colon begins a scheme.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c) || (is_web && ":[]@!$&'()*+;=".contains(c));
    if text.is_empty() || !text.chars().all(fits) {
        return Err(wrong());
    }
    Ok(if text.ends_with('/') { text.to_owned() } else { format!("{text}/") })
}

/// Shown on a terminal only.
fn looking() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(style("{spinner} {human_pos} files"));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_an_address_that_its_certificate_fits() {
        let base = |region, bucket| public_base(None, region, bucket);
        assert_eq!(base("eu-west-1", "cats"), "https://cats.s3.eu-west-1.amazonaws.com/");
        assert_eq!(base("eu-west-1", "my.cats"), "https://s3.eu-west-1.amazonaws.com/my.cats/");
        assert_eq!(base("cn-north-1", "cats"), "https://cats.s3.cn-north-1.amazonaws.com.cn/");
        assert_eq!(public_base(Some("http://127.0.0.1:1/"), "us-east-1", "cats"), "http://127.0.0.1:1/cats/");
    }

    #[test]
    fn a_base_is_an_address_or_a_relative_path() {
        assert_eq!(base("../").as_deref(), Ok("../"));
        assert_eq!(base("https://images.example.com:8443/a").as_deref(), Ok("https://images.example.com:8443/a/"));
        for text in ["", "javascript:alert(1)", "a b", "https://x/,y", "\"", "a?b#c"] {
            assert!(base(text).is_err(), "{text}");
        }
    }
}
