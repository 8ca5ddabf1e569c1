//! Rejects a key template by which photographs from two places would overwrite each other's thumbnails.

use super::reader::Mistakes;
use super::{Sources, UrlSources};
use crate::config::key_template::KeyTemplate;

/// Reports such a template: at the offset `given` of `key`, or, where `key` has its default, at `otherwise`, the offset of
/// the setting that allows several places.
pub fn check(
    key: &KeyTemplate,
    given: Option<usize>,
    otherwise: usize,
    sources: &Sources,
    urls: UrlSources,
    mistakes: &Mistakes,
) {
    if key.names_the_bucket() {
        return;
    }
    let Some(why) = several(sources, urls) else { return };
    let (at, whose) = match given {
        Some(at) => (at, "`key`"),
        None => (otherwise, "the default of `key` in [thumbnail]"),
    };
    let better = key.with_bucket();
    mistakes.add(at, format!("{whose}, \"{key}\", lacks {{bucket}}, and {why}; write key = \"{better}\""));
}

/// Why photographs may come from several places; `None` if they come from one.
fn several(sources: &Sources, urls: UrlSources) -> Option<String> {
    const ALIKE: &str = "photographs with the same key in two buckets would overwrite each other's thumbnails";
    let buckets = match sources {
        Sources::Any => return Some(format!("`sources` is \"*\": {ALIKE}")),
        Sources::Buckets(buckets) => buckets,
    };
    match buckets.first() {
        Some(first) if buckets.iter().any(|bucket| bucket != first) => {
            Some(format!("`sources` names several buckets: {ALIKE}"))
        }
        Some(_) if urls != UrlSources::Off => Some(format!(
            "`url_sources` is \"{urls}\": a photograph from a URL and one from the bucket could overwrite each other's \
             thumbnails"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("name = \"cats\"\n{text}"), "thumb.toml").map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_key_that_does_not_tell_the_places_apart_is_refused_with_what_to_write() {
        let reports: Vec<String> = [
            "[thumbnail]\nkey = \"t/{stem}-{width}x{height}.jpg\"\n[buckets]\nsources = [\"photos\", \"more-photos\"]",
            "[buckets]\nsources = [\"*\"]",
            "[buckets]\nsources = [\"photos\"]\n[worker]\nurl_sources = \"public\"",
        ]
        .iter()
        .map(|text| parse(text).unwrap_err())
        .collect();
        insta::assert_snapshot!(reports.join("\n"));
    }

    #[test]
    fn one_place_needs_no_bucket_in_the_key() {
        for text in [
            "",
            "[buckets]\nsources = [\"photos\"]",
            "[buckets]\nsources = [\"photos\", \"photos\"]",
            "[worker]\nurl_sources = \"any\"",
            "[buckets]\nsources = [\"*\"]\n[thumbnail]\nkey = \"{bucket}/{name}-{width}x{height}.jpg\"",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }
}
