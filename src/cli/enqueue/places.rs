//! Where the photographs are, from the words of the command line.

use super::Args;
use crate::config::{self, Config, UrlSources};
use crate::enqueue::{Place, Sources};
use crate::error::{Failure, Result};

/// # Errors
/// Exit code 2: nothing is named, a bucket's name is none, or the workers may not read what is named.
pub fn sources(args: &Args, config: &Config) -> Result<Sources> {
    let Args { bucket, more_keys, prefix, urls, stdin, photos, no_check, .. } = args;
    let default = || match (bucket, &config.buckets.sources) {
        (Some(bucket), _) => Ok(bucket.clone()),
        (None, config::Sources::Buckets(buckets)) if buckets.len() == 1 => Ok(buckets[0].clone()),
        (None, _) => Err(Failure::usage("missing --bucket")
            .hint("--bucket B names the bucket of the photos; or write s3://BUCKET/KEY")),
    };
    let mut places = Vec::new();
    for photo in photos {
        places.push(match place(photo) {
            Some(place) => place,
            None => Place::Object { bucket: default()?, key: photo.clone() },
        });
    }
    for key in more_keys {
        places.push(Place::Object { bucket: default()?, key: key.clone() });
    }
    places.extend(urls.iter().cloned().map(Place::Url));
    if let Some(prefix) = prefix {
        places.push(Place::Prefix { bucket: default()?, prefix: prefix.clone() });
    }
    if *stdin {
        places.push(Place::Stdin { bucket: default()? });
    }
    if places.is_empty() {
        return Err(Failure::usage("nothing to enqueue")
            .hint("name photos: s3://BUCKET/KEY, s3://BUCKET/PREFIX/, https://…, keys, or - to read keys from stdin"));
    }
    for place in &places {
        check(place, config, *no_check)?;
    }
    Ok(Sources { places, check: !no_check })
}

/// A word that says itself where the photograph is: a URL, or s3://bucket/key, or with a slash at its end a prefix.
fn place(word: &str) -> Option<Place> {
    if word.starts_with("http://") || word.starts_with("https://") {
        return Some(Place::Url(word.to_owned()));
    }
    let rest = word.strip_prefix("s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    Some(if key.is_empty() || key.ends_with('/') {
        Place::Prefix { bucket, prefix: key }
    } else {
        Place::Object { bucket, key }
    })
}

/// Whether the workers can fetch from there.
fn check(place: &Place, config: &Config, no_check: bool) -> Result<()> {
    let bucket = match place {
        Place::Url(_) if config.worker.url_sources == UrlSources::Off => {
            return Err(Failure::usage("the workers of this stack do not fetch URLs")
                .hint("set url_sources = \"public\" in [worker] of thumb.toml, then run `thumb apply`"));
        }
        Place::Url(_) => return Ok(()),
        Place::Object { bucket, .. } | Place::Prefix { bucket, .. } | Place::Stdin { bucket } => bucket,
    };
    config::bucket_name(bucket).map_err(|why| Failure::usage(format!("the bucket {bucket:?} {why}")))?;
    let may_read = match &config.buckets.sources {
        config::Sources::Any => true,
        config::Sources::Buckets(sources) => sources.contains(bucket),
    };
    // What managed policies allow is not known here.
    if may_read || no_check || !config.profile.policies.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!("the workers of this stack may not read the bucket {bucket}")).hint(
        "add it to `sources` in [buckets] of thumb.toml, then run `thumb apply`; --no-check queues requests anyway",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_where_a_photograph_is() {
        let object = |key: &str| Some(Place::Object { bucket: "photos".into(), key: key.into() });
        let prefix = |prefix: &str| Some(Place::Prefix { bucket: "photos".into(), prefix: prefix.into() });
        assert_eq!(place("s3://photos/2026/a b.jpg"), object("2026/a b.jpg"));
        assert_eq!(place("s3://photos/2026/"), prefix("2026/"));
        assert_eq!([place("s3://photos/"), place("s3://photos")], [prefix(""), prefix("")]);
        assert_eq!(place("https://example.com/a.jpg"), Some(Place::Url("https://example.com/a.jpg".into())));
        assert_eq!([place("2026/a.jpg"), place("S3 backup.jpg")], [None, None]);
    }
}
