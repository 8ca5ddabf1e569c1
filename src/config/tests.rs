use super::*;

fn parse(text: &str) -> Config {
    Config::parse(text, "thumb.toml").unwrap_or_else(|failure| panic!("{failure}"))
}

fn mistakes(text: &str) -> String {
    Config::parse(text, "thumb.toml").unwrap_err().to_string()
}

#[test]
fn a_name_is_enough() {
    let config = parse("name = \"cats\"");
    assert_eq!(
        (&*config.queue.name, &*config.queue.dlq, config.buckets.thumbnails, config.buckets.code),
        ("cats", "cats-dlq", None, None)
    );
    assert_eq!(
        (&*config.profile.name, &*config.profile.role, &*config.security_group.name),
        ("cats-worker", "cats-worker", "cats-worker")
    );
    assert_eq!(
        (config.queue.visibility_timeout_s, config.queue.retention_s, config.queue.max_receives),
        (60, 1_209_600, 10)
    );
    assert_eq!(config.instance.image, Image::Ubuntu2404);
    assert_eq!(config.buckets.access, Access::PublicRead);
    assert_eq!(config.worker.url_sources, UrlSources::Off);
}

#[test]
fn every_mistake_is_named_at_once_with_its_place() {
    let text = r#"name = "Cats"
regoin = "us-east-1"
account = 123456789012

[queue]
visibility_timeout = "13h"
retention = 4
max_receives = 0

[buckets]
thumbnails = "Cats_and_dogs"
access = "public"
sources = ["ok-bucket", "NO", 3]

[security_group]
ssh_from = ["203.0.113.7", "anywhere"]

[instance]
image = "ubuntu"
type = "micro"

[thumbnail]
key = "{stem}.jpg"
fit = "crop"

[tags]
"aws:x" = "y"
n = 1

[workers]
"#;
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn a_syntax_error_has_its_line_and_column() {
    insta::assert_snapshot!(mistakes("name = \"cats\"\n[queue\nmax_receives = = 3\n"));
}

#[test]
fn what_is_missing_or_twice_the_same_is_named() {
    insta::assert_snapshot!(
        [
            mistakes("region = \"us-east-1\""),
            mistakes("name = \"cats\"\n[queue]\ndlq = \"cats\""),
            mistakes("name = \"cats\"\n[buckets]\nthumbnails = \"both\"\ncode = \"both\""),
            mistakes("name = \"cats\"\nqueue = 3"),
            mistakes("name = \"Holiday_Photos\""),
            mistakes("name = \"Holiday_Photos\"\n[buckets]\ncode = \"mine\""),
            mistakes("name ="),
            mistakes(
                "name = \"cats\"\n[instance]\nkey-pair = \"me\"\nlicence = 1\n[queue]\nvisibility_timeout = \"60\""
            ),
            mistakes(
                "name = \"cats\"\naccount = \"123\"\n[queue]\nretention = \"15d\"\nvisibility_timeout = \"60500ms\""
            ),
        ]
        .join("\n\n")
    );
}

#[test]
fn the_sizes_of_one_photograph_are_bounded_together() {
    let sizes = |sizes: &str| format!("name = \"cats\"\n[thumbnail]\nsizes = [{sizes}]");
    assert!(Config::parse(&sizes("\"8192x8192\""), "").is_ok());
    assert_eq!(
        mistakes(&sizes("\"8192x8192\", \"1x1\"")),
        "thumb.toml:3:9: `sizes` have 68 million pixels together; at most 67 million are made of one photograph"
    );
}

#[test]
fn tag_keys_that_are_one_to_iam_are_refused() {
    assert_eq!(
        mistakes("name = \"cats\"\n[tags]\nProject = \"a\"\nother = \"b\"\nproject = \"c\""),
        "thumb.toml:5:1: `project` and `Project` in [tags] differ only in case; IAM treats them as the same key"
    );
}

#[test]
fn a_column_counts_characters_not_bytes() {
    assert_eq!(place("a\nüü x", 7), (2, 4));
    assert_eq!(place("", 0), (1, 1));
}

#[test]
fn a_networks_host_bits_are_cleared_as_on_ec2() {
    let config = parse("name = \"cats\"\n[security_group]\nssh_from = [\"203.0.113.7/24\", \"::/0\"]");
    let networks: Vec<String> = config.security_group.ssh_from.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["203.0.113.0/24", "::/0"]);
}

#[test]
fn a_file_that_is_not_there_says_what_to_do() {
    let failure = Config::load(Path::new("/nowhere/thumb.toml")).unwrap_err();
    assert_eq!(failure.exit(), crate::error::Exit::Usage);
    assert!(
        failure.to_string().contains("hint: `thumb init` writes one; or name a file: `thumb --config FILE"),
        "{failure}"
    );
}

#[test]
fn credits_are_for_the_types_that_have_some() {
    let parse = |instance: &str| Config::parse(&format!("name = \"cats\"\n[instance]\n{instance}"), "thumb.toml");
    assert_eq!(parse("").unwrap().instance.credits, Credits::Standard);
    let unlimited = parse("type = \"t4g.small\"\ncredits = \"unlimited\"").unwrap();
    assert_eq!(unlimited.instance.credits, Credits::Unlimited);
    for (lines, why) in [
        ("credits = \"some\"", "thumb.toml:3:11: `credits` must be standard or unlimited, not \"some\""),
        (
            "type = \"c7g.large\"\ncredits = \"standard\"",
            "thumb.toml:4:11: `credits` is for the types t2, t3, t3a and t4g; c7g.large has no CPU credits",
        ),
    ] {
        assert_eq!(parse(lines).unwrap_err().to_string(), why);
    }
}
