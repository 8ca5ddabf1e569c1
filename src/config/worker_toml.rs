//! The thumb.toml of an instance: only what `thumb work` needs to behave there as it does here. It is a part of the
//! instance's user data, so the same settings must always give the same text.

use std::time::Duration;

use super::{Config, Queue, Sources, Thumbnail, Trigger, Worker, worker};

impl Config {
    /// The smallest thumb.toml with which `thumb work` behaves as with this one. Every default is written out, so that a
    /// later `thumb` with other defaults cannot change what an instance does without a change in `plan`. `account`: the
    /// account that the buckets are in. `topic`: the ARN of the stack's topic.
    pub fn worker_toml(&self, account: &str, topic: &str) -> String {
        let mut text = Text::default();
        text.string("name", &self.name);
        if let Some(region) = &self.region {
            text.string("region", region);
        }
        text.string("account", account);

        let Queue { name, dlq, visibility_timeout_s, retention_s: _, max_receives } = &self.queue;
        text.section("queue");
        text.string("name", name);
        text.string("dlq", dlq);
        text.seconds("visibility_timeout", *visibility_timeout_s);
        text.number("max_receives", *max_receives);

        text.section("buckets");
        text.string("thumbnails", &self.thumbnails_bucket(account));
        text.string("code", &self.code_bucket(account));
        text.string("access", &self.buckets.access.to_string());
        match &self.buckets.sources {
            Sources::Any => text.strings("sources", &["*"]),
            Sources::Buckets(buckets) => text.strings("sources", buckets),
        }

        let Thumbnail {
            key,
            formats,
            fit,
            focus,
            enlarge,
            sharpen,
            quality,
            background,
            keep_copyright,
            sizes,
            manifest,
            follow_deletes,
            cache_control,
            storage_class,
        } = &self.thumbnail;
        text.section("thumbnail");
        text.string("key", &key.to_string());
        text.words("formats", formats);
        text.string("fit", &fit.to_string());
        text.string("focus", &focus.to_string());
        text.line("enlarge", enlarge);
        text.string("sharpen", &sharpen.to_string());
        text.number("quality", *quality);
        text.string("background", &background.to_string());
        text.line("keep_copyright", keep_copyright);
        text.words("sizes", sizes);
        text.line("manifest", manifest);
        text.line("follow_deletes", follow_deletes);
        if let Some(cache_control) = cache_control {
            text.string("cache_control", cache_control);
        }
        text.string("storage_class", &storage_class.to_string());

        let Worker {
            concurrency,
            max_memory_bytes,
            max_source_bytes,
            max_source_pixels,
            grace_s,
            skip_existing,
            truncated,
            url_sources,
            formats,
            // An instance has the stack's own.
            log_group: _,
            topic: _,
        } = &self.worker;
        text.section("worker");
        if let Some(concurrency) = concurrency {
            text.number("concurrency", *concurrency);
        }
        if let Some(bytes) = max_memory_bytes {
            text.number("max_memory_bytes", *bytes);
        }
        text.number("max_source_bytes", *max_source_bytes);
        text.number("max_source_pixels", *max_source_pixels);
        text.seconds("grace", *grace_s);
        text.line("skip_existing", skip_existing);
        text.string("truncated", worker::truncated_word(*truncated));
        text.string("url_sources", &url_sources.to_string());
        text.words("formats", formats.iter());
        if self.logs.is_some() {
            text.string("log_group", &self.log_group());
        }
        if self.notify.as_ref().is_some_and(|notify| notify.events) {
            text.string("topic", topic);
        }
        // Those without sizes ask for the ones of [thumbnail].
        for trigger in self.triggers.iter().filter(|trigger| !trigger.sizes.is_empty()) {
            let Trigger { bucket, prefix, suffix, sizes } = trigger;
            text.array_section("trigger");
            text.string("bucket", bucket);
            for (key, part) in [("prefix", prefix), ("suffix", suffix)] {
                if !part.is_empty() {
                    text.string(key, part);
                }
            }
            text.words("sizes", sizes);
        }
        text.0
    }
}

/// A TOML document being written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn section(&mut self, name: &str) {
        self.0.push_str(&format!("\n[{name}]\n"));
    }

    fn array_section(&mut self, name: &str) {
        self.0.push_str(&format!("\n[[{name}]]\n"));
    }

    fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn number(&mut self, key: &str, value: impl Into<u64>) {
        self.line(key, value.into());
    }

    fn seconds(&mut self, key: &str, seconds: u32) {
        let duration = humantime::format_duration(Duration::from_secs(seconds.into()));
        self.string(key, &duration.to_string());
    }

    fn string(&mut self, key: &str, value: &str) {
        self.line(key, quoted(value));
    }

    fn words(&mut self, key: &str, values: impl IntoIterator<Item = impl ToString>) {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.strings(key, &values);
    }

    fn strings(&mut self, key: &str, values: &[impl AsRef<str>]) {
        let values: Vec<String> = values.iter().map(|value| quoted(value.as_ref())).collect();
        self.line(key, format_args!("[{}]", values.join(", ")));
    }
}

/// A basic string of TOML 1.0, with backslashes, quotation marks and control characters escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Buckets;

    const ACCOUNT: &str = "123456789012";
    const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:cats-events";

    const FULL: &str = r##"
name = "cats"
region = "eu-west-1"
account = "123456789012"
[queue]
name = "requests"
dlq = "dead"
visibility_timeout = "90m"
retention = "1h"
max_receives = 7
[buckets]
thumbnails = "cats-thumbs"
code = "cats-binaries"
access = "private"
sources = ["photos", "more-photos"]
[instance]
count = 3
type = "c7g.large"
[thumbnail]
key = "t/\"\\{bucket}/{stem}-{version}-{width}x{height}.{format}"
formats = ["png", "jpeg"]
fit = "contain"
focus = "0.25,1"
enlarge = false
sharpen = "light"
quality = 71
background = "#102030"
keep_copyright = true
sizes = ["400x300", "50x.webp"]
manifest = true
cache_control = "max-age=60"
storage_class = "ONEZONE_IA"
[tags]
a = "b"
[worker]
concurrency = 7
max_memory_bytes = 1000000000
max_source_bytes = 1000
max_source_pixels = 2000
grace = "3m"
skip_existing = true
truncated = "best-effort"
url_sources = "any"
formats = ["png", "heic"]
[notify]
topic = true
"##;

    fn parse(text: &str) -> Config {
        Config::parse(text, "thumb.toml").unwrap_or_else(|failure| panic!("{failure}\n{text}"))
    }

    #[test]
    fn the_instance_does_what_the_laptop_would() {
        // It has a topic where the stack has one: the worker's own configuration knows only its ARN.
        let full = FULL.replace("[notify]\ntopic = true\n", "");
        for text in ["name = \"cats\"", "name = \"cats\"\n[buckets]\nsources = [\"photos\"]", &full] {
            let here = parse(text);
            let there = parse(&here.worker_toml(ACCOUNT, TOPIC));
            let worker = |config: &Config| {
                let Config { name, region, buckets, thumbnail, worker, queue, .. } = config.clone();
                let names = (Some(config.thumbnails_bucket(ACCOUNT)), Some(config.code_bucket(ACCOUNT)));
                let buckets = Buckets { thumbnails: names.0, code: names.1, ..buckets };
                let worker = Worker { log_group: None, topic: None, ..worker };
                (name, region, buckets, thumbnail, worker, Queue { retention_s: 0, ..queue })
            };
            assert_eq!(worker(&there), worker(&here));
            assert_eq!(there.account.as_deref(), Some(ACCOUNT));
            assert_eq!(there.worker_toml(ACCOUNT, TOPIC), here.worker_toml(ACCOUNT, TOPIC));
        }
    }

    #[test]
    fn a_string_is_toml_whatever_it_holds() {
        let text = "\"\\\t\n\u{7f}\u{9b}é🦉";
        let table: toml::Table = format!("key = {}", quoted(text)).parse().unwrap();
        assert_eq!(table["key"].as_str(), Some(text));
    }

    #[test]
    fn it_says_nothing_that_the_worker_does_not_need() {
        insta::assert_snapshot!(parse(FULL).worker_toml(ACCOUNT, TOPIC));
    }
}
