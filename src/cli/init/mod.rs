//! `thumb init`: writes a thumb.toml to begin with. Asks at a terminal for what no option says.

mod declaration;
mod questions;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{Global, print, tell};
use crate::aws::{Clients, Kind, RegionalS3, first_call, s3_config};
use crate::config::{self, Access, one_of};
use crate::error::{Failure, Result};
use declaration::{Declaration, suggested_name};
use questions::Questions;

/// Where nothing says which region: the one that AWS's own tools begin with.
const REGION: &str = "us-east-1";
/// How long S3 may take to tell a bucket's region; without a network the file is written all the same.
const LOOK: Duration = Duration::from_secs(15);

/// Write a thumb.toml to begin with.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "init",
    help_triggers("-h", "--help"),
    example = "thumb init\nthumb init --name holiday --source my-photographs --access private",
    note = "Asks at a terminal for what no option says. Writes thumb.toml, or the file of --config; never over one that exists. Makes \
            one call to AWS for each bucket: whether it exists, and in which region."
)]
pub struct Args {
    /// the stack's name, the prefix of every resource's name
    #[argh(option, arg_name = "NAME")]
    name: Option<String>,
    /// a bucket of photos that the workers may read (repeatable)
    #[argh(option, long = "source", arg_name = "BUCKET")]
    sources: Vec<String>,
    /// the AWS region (default: that of the first bucket, else of the AWS profile)
    #[argh(option, arg_name = "REGION")]
    region: Option<String>,
    /// who can see the thumbnails: private (the default), public-read or policy (everyone)
    #[argh(option, arg_name = "WHO", from_str_fn(access))]
    access: Option<Access>,
}

fn access(text: &str) -> Result<Access, String> {
    one_of(text, [Access::Private, Access::PublicRead, Access::Policy])
}

/// What S3 says about a bucket.
enum Look {
    /// Its region.
    There(String),
    Absent,
    /// Why it is not known.
    Unknown(String),
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let path = &global.config;
    if path.exists() {
        return Err(exists(path));
    }
    let home = home_region().await;
    let declaration = if io::stdin().is_terminal() && io::stderr().is_terminal() {
        at_a_terminal(args, &home).await?
    } else {
        from_options(args, &home).await?
    };
    declaration.check().map_err(Failure::usage)?;
    write_new(path, &declaration.toml())?;
    let file = path.display();
    let other = if path == Path::new("thumb.toml") { String::new() } else { format!(" --config {file}") };
    print(&format!("Wrote {file}. Next: thumb plan{other}\n"))
}

fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} exists already", path.display()))
        .hint("edit it, or write another file: thumb init --config FILE")
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::new(format!("cannot write {}", path.display())).caused_by(&error),
    })
}

/// Only what the options say, and what S3 says about their buckets.
async fn from_options(args: Args, home: &str) -> Result<Declaration> {
    let Args { name, sources, region, access } = args;
    let name = name.ok_or_else(|| {
        Failure::usage("missing --name").hint("at a terminal, `thumb init` asks; here: thumb init --name NAME")
    })?;
    let mut declaration = Declaration { name, region, sources: Vec::new(), access: access.unwrap_or(Access::Private) };
    let mut first_region = None;
    for bucket in sources {
        let region = source(&bucket, home).await.map_err(Failure::usage)?;
        if let Err(why) = &region {
            tell(&format!("note: {why}"));
        }
        first_region = first_region.or(region.ok());
        declaration.sources.push(bucket);
    }
    declaration.region.get_or_insert_with(|| first_region.unwrap_or_else(|| home.to_owned()));
    Ok(declaration)
}

/// Asks for what the options do not say.
async fn at_a_terminal(args: Args, home: &str) -> Result<Declaration> {
    let mut questions = Questions { input: io::stdin().lock(), output: anstream::stderr() };
    let Args { name, sources, region, access } = args;
    let mut declaration = Declaration::default();
    let directory = std::env::current_dir().ok();
    let directory = directory.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let suggested = suggested_name(&directory);
    let named = async |name: &str| {
        let declaration = Declaration { name: name.to_owned(), ..Declaration::default() };
        declaration.check().map(|()| name.to_owned())
    };
    declaration.name = match name {
        Some(name) => name,
        None => questions.ask("Stack name (prefix of every resource)", suggested.as_deref(), named).await?,
    };
    let mut first_region = None;
    let sources = if sources.is_empty() {
        let answer = async |bucket: &str| match bucket {
            "" => Ok(None),
            bucket => source(bucket, home).await.map(|region| Some((bucket.to_owned(), region))),
        };
        let found = questions.ask("Bucket with your photos (empty: none yet)", None, answer).await?;
        Vec::from_iter(found)
    } else {
        let mut found = Vec::new();
        for bucket in sources {
            let region = source(&bucket, home).await.map_err(Failure::usage)?;
            found.push((bucket, region));
        }
        found
    };
    for (bucket, region) in sources {
        questions.say(&match &region {
            Ok(region) => format!("  ✓ {bucket} exists, in {region}\n"),
            Err(why) => format!("  - {why}\n"),
        })?;
        first_region = first_region.or(region.ok());
        declaration.sources.push(bucket);
    }
    declaration.region = Some(match region {
        Some(region) => region,
        None => {
            let base = declaration.clone();
            let default = first_region.as_deref().unwrap_or(home);
            let answer = async |region: &str| {
                let declaration = Declaration { region: Some(region.to_owned()), ..base.clone() };
                declaration.check().map(|()| region.to_owned())
            };
            questions.ask("Region", Some(default), answer).await?
        }
    });
    declaration.access = match access {
        Some(access) => access,
        None => {
            questions.ask("Can everyone see the thumbnails? (y/n)", Some("n"), async |answer| yes_or_no(answer)).await?
        }
    };
    Ok(declaration)
}

fn yes_or_no(answer: &str) -> Result<Access, String> {
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(Access::PublicRead),
        "n" | "no" => Ok(Access::Private),
        other => Err(format!("{other:?} is neither y nor n")),
    }
}

/// A source bucket's region; the inner error says why it is not known.
///
/// # Errors
/// There is no such bucket, or there can be none.
async fn source(bucket: &str, home: &str) -> Result<Result<String, String>, String> {
    config::bucket_name(bucket).map_err(|why| format!("the bucket's name {bucket:?} {why}"))?;
    match look(bucket, home).await {
        Look::There(region) => Ok(Ok(region)),
        Look::Absent => Err(format!("bucket \"{bucket}\" does not exist in any region: create it, or check its name")),
        Look::Unknown(why) => Ok(Err(format!("it was not checked whether the bucket {bucket} exists: {why}"))),
    }
}

async fn look(bucket: &str, home: &str) -> Look {
    let clients = match Clients::connect(Some(home)).await {
        Ok(clients) => clients,
        Err(failure) => return Look::Unknown(failure.what().to_owned()),
    };
    let s3 = RegionalS3::new(s3_config(&clients.sdk).retry_config(first_call()));
    match tokio::time::timeout(LOOK, s3.region_of(bucket)).await {
        Ok(Ok(region)) => Look::There(region),
        Ok(Err(error)) if error.kind == Kind::NotFound => Look::Absent,
        Ok(Err(error)) if error.kind == Kind::Credentials => Look::Unknown(
            "there are no valid AWS credentials (`aws configure`, `aws sso login`, AWS_PROFILE)".to_owned(),
        ),
        Ok(Err(error)) if error.kind == Kind::Denied => {
            Look::Unknown("these credentials may not list it (s3:ListBucket), or it is another account's".to_owned())
        }
        Ok(Err(error)) => Look::Unknown(error.to_string()),
        Err(_) => Look::Unknown(format!("S3 gave no answer in {} s", LOOK.as_secs())),
    }
}

/// The region of AWS_REGION or of the profile.
async fn home_region() -> String {
    Clients::connect(None).await.map_or_else(|_| REGION.to_owned(), |clients| clients.region)
}
