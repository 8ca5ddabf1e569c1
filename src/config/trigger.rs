//! `[[trigger]]`: uploads to a bucket that make their thumbnails by themselves.

use super::reader::Section;
use super::thumbnail::variant;
use super::{Buckets, MAX_SIZES, Sources, Variant, names};

/// S3: notification rules of one bucket (S3 user guide, "Amazon S3 Event Notifications").
const MAX_TRIGGERS: usize = 100;
/// S3: bytes of a key, and so of a prefix or suffix.
const MAX_KEY_BYTES: usize = 1_024;

/// Uploads whose thumbnails are wanted: the objects of a bucket with this prefix and suffix.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub bucket: String,
    /// May be empty, as may the suffix.
    pub prefix: String,
    pub suffix: String,
    /// Empty: `sizes` in `[thumbnail]`.
    pub sizes: Vec<Variant>,
}

impl Trigger {
    /// Whether an object is one of this trigger's.
    pub fn covers(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }

    /// Whether an object could be one of both triggers', by S3's own rule: it refuses rules whose prefixes and whose
    /// suffixes overlap (S3 user guide, "Configuring event notifications with object key name filtering").
    pub fn overlaps(&self, other: &Trigger) -> bool {
        let prefixes = self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix);
        let suffixes = self.suffix.ends_with(&other.suffix) || other.suffix.ends_with(&self.suffix);
        self.bucket == other.bucket && prefixes && suffixes
    }
}

/// Reads the triggers. The worker may read their buckets: they become sources.
pub fn read(top: &mut Section<'_>, buckets: &mut Buckets) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    for (at, mut section) in top.sections("trigger", MAX_TRIGGERS) {
        let part = |text: &str| match text.len() {
            0..=MAX_KEY_BYTES => Ok(()),
            _ => Err(format!("is longer than {MAX_KEY_BYTES} bytes")),
        };
        let bucket = section.checked("bucket", names::bucket).map(|given| given.value);
        if bucket.is_none() && !section.has("bucket") {
            section.mistakes().add(at, "`bucket` is missing in [[trigger]]; it is where the uploads arrive");
        }
        let trigger = Trigger {
            bucket: bucket.unwrap_or_default(),
            prefix: section.checked("prefix", part).map(|given| given.value).unwrap_or_default(),
            suffix: section.checked("suffix", part).map(|given| given.value).unwrap_or_default(),
            sizes: section.list("sizes", MAX_SIZES, variant).unwrap_or_default(),
        };
        let own = [(&buckets.thumbnails, "thumbnails"), (&buckets.code, "code")];
        if let Some((_, which)) = own.into_iter().find(|(own, _)| own.as_ref() == Some(&trigger.bucket)) {
            let bucket = &trigger.bucket;
            section.mistakes().add(at, format!("[[trigger]] names {bucket}, the stack's own {which} bucket"));
        }
        if let Some(other) = triggers.iter().find(|other| !trigger.bucket.is_empty() && other.overlaps(&trigger)) {
            section.mistakes().add(at, overlapping(other, &trigger));
        }
        section.finish();
        triggers.push(trigger);
    }
    if let Sources::Buckets(sources) = &mut buckets.sources {
        for trigger in &triggers {
            if !sources.contains(&trigger.bucket) {
                sources.push(trigger.bucket.clone());
            }
        }
    }
    triggers
}

fn overlapping(one: &Trigger, other: &Trigger) -> String {
    let what = |trigger: &Trigger| format!("prefix {:?} with suffix {:?}", trigger.prefix, trigger.suffix);
    format!(
        "two triggers of the bucket {} overlap, which S3 refuses: {} and {}; make one of them narrower",
        one.bucket,
        what(one),
        what(other)
    )
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("name = \"cats\"\n{text}"), "thumb.toml").map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_triggers_bucket_is_a_source() {
        let config = parse("[[trigger]]\nbucket = \"uploads\"\nprefix = \"in/\"\nsizes = [\"100x100\"]").unwrap();
        let [trigger] = &config.triggers[..] else { panic!("{:?}", config.triggers) };
        assert_eq!((trigger.prefix.as_str(), trigger.suffix.as_str(), trigger.sizes.len()), ("in/", "", 1));
        assert_eq!(config.buckets.sources, Sources::Buckets(vec!["uploads".into()]));
        assert!(trigger.covers("uploads", "in/a.jpg") && !trigger.covers("uploads", "a.jpg"));
        assert!(!trigger.covers("other", "in/a.jpg"));
    }

    #[test]
    fn every_mistake_of_a_trigger_is_named() {
        let two = |a: &str, b: &str| {
            parse(&format!("[[trigger]]\nbucket = \"u-1\"\n{a}\n[[trigger]]\nbucket = \"u-1\"\n{b}"))
        };
        let errors = [
            two("prefix = \"a/\"", "prefix = \"a/b/\"").unwrap_err(),
            two("suffix = \".jpg\"", "").unwrap_err(),
            parse("[[trigger]]\nprefix = 3").unwrap_err(),
            parse("[trigger]\nbucket = \"uploads\"").unwrap_err(),
            parse("[buckets]\nthumbnails = \"thumbs\"\n[[trigger]]\nbucket = \"thumbs\"\nsize = \"1x1\"").unwrap_err(),
        ];
        insta::assert_snapshot!(errors.join("\n"));
        assert!(two("suffix = \".jpg\"", "suffix = \".png\"").is_ok());
        assert!(two("prefix = \"a/\"\nsuffix = \".jpg\"", "prefix = \"b/\"").is_ok());
    }
}
