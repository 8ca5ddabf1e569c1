//! `thumb enqueue`, `thumb work` and `thumb render` as processes, against the emulator: their output and their effects.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/refusal.rs"]
mod refusal;
#[path = "support/stack.rs"]
mod stack;
#[path = "support/terminal.rs"]
mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::types::{ObjectCannedAcl, Permission};
use refusal::FaultProxy;
use stack::{CommandOutput, Stack, moto, photo};
use thumb::thumbnail::{self, Limits};
use thumb::worker_report::{self, WorkerReport};

#[tokio::test]
async fn the_codelabs_requests_become_public_thumbnails() {
    let stack = Stack::new("codelab", "thumbnail.key = \"{stem}-{width}x{height}.jpg\"").await;
    let requests =
        [("picos", 400, 400), ("friends", 300, 600), ("life", 150, 100), ("sunset", 1000, 400), ("aitzgorri", 51, 49)];
    for (name, width, height) in requests {
        let key = format!("codelab-05/{name}.jpg");
        stack.put(&key, photo(&format!("{name}.jpg"))).await;
        let (width, height) = (width.to_string(), height.to_string());
        let words = ["enqueue", "--bucket", "codelab-photos", "--keys", &key, "--height", &height, "--width", &width];
        let output = stack.thumb(&words).ok();
        assert!(
            output
                .stdout
                .starts_with("queued 1 photo (1 thumbnail) on codelab\nthey will appear in s3://codelab-thumbnails-"),
            "{output:?}"
        );
        assert_eq!(output.stderr, "", "no progress bar in a pipe");
    }
    let output = stack.thumb(&["work", "--drain"]).ok();
    assert_eq!(output.stdout.lines().filter(|line| line.starts_with("made ")).count(), 5, "{output:?}");
    for (name, width, height) in requests {
        let (bucket, key) = (stack.thumbnails(), format!("{name}-{width}x{height}.jpg"));
        let object = stack.clients.s3.get_object().bucket(&bucket).key(&key).send().await.unwrap();
        assert_eq!(object.content_type(), Some("image/jpeg"));
        let bytes = object.body.collect().await.unwrap().into_bytes();
        let info = thumbnail::probe(&bytes, &Limits::default()).unwrap();
        assert_eq!((info.width, info.height), (width, height), "{name}");
        let acl = stack.clients.s3.get_object_acl().bucket(&bucket).key(&key).send().await.unwrap();
        assert!(acl.grants().iter().any(|grant| grant.permission() == Some(&Permission::Read)), "{acl:?}");
    }
    assert_eq!((stack.depth("codelab").await, stack.depth("codelab-dlq").await), (0, 0));
}

/// A key with the photograph's version, and thumbnails in the formats that each photograph asks for.
#[tokio::test]
async fn every_format_is_read_and_written_and_the_manifest_lists_what_was_made() {
    let toml = "thumbnail.key = \"{dir}{stem}-{version}-{width}x{height}.{format}\"\nthumbnail.manifest = true\n\
                thumbnail.cache_control = \"public, max-age=60\"\nworker.formats = [\"png\", \"webp\", \"heic\"]";
    let stack = Stack::new("formats", toml).await;
    for name in ["sunset-round.png", "picos.webp", "life.heic", "life.jpg"] {
        stack.put(&format!("all/{name}"), photo(name)).await;
    }
    let words = ["enqueue", "--bucket", "formats-photos", "--prefix", "all/", "--size", "40x30", "--size", "x20.png"];
    stack.thumb(&[&words[..], &["--format", "jpeg", "--format", "webp", "--focus", "smart"]].concat()).ok();
    let output = stack.thumb(&["work", "--drain", "--json"]).ok();
    let events: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let of = |event: &str| events.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!((of("made").len(), of("rejected").len()), (9, 1), "{output:?}");
    let why = of("rejected")[0]["why"].as_str().unwrap();
    assert!(why.starts_with("the file is a JPEG image; those accepted are PNG, WebP and HEIC"), "{why}");
    for event in of("made") {
        let (bucket, key) = (stack.thumbnails(), event["key"].as_str().unwrap());
        let object = stack.clients.s3.get_object().bucket(&bucket).key(key).send().await.unwrap();
        let format = event["format"].as_str().unwrap();
        assert_eq!(object.content_type(), Some(&*format!("image/{format}")), "{key}");
        assert!(key.ends_with(if format == "jpeg" { ".jpg" } else { format }), "{key}: {format}");
        assert_eq!(object.cache_control(), Some("public, max-age=60"));
        let metadata = object.metadata().unwrap().clone();
        assert_eq!(metadata["thumb-width"], event["width"].to_string());
        assert_eq!(metadata["thumb-hash"], event["thumb_hash"].as_str().unwrap());
        let bytes = object.body.collect().await.unwrap().into_bytes();
        let info = thumbnail::probe(&bytes, &Limits::default()).unwrap();
        assert_eq!((info.format.to_string(), u64::from(info.width)), (format.into(), event["width"].as_u64().unwrap()));
        let is_transparent = key.starts_with("all/sunset-round") && format != "jpeg";
        assert_eq!(info.alpha, is_transparent, "{key}");
    }
    let get = stack.clients.s3.get_object().bucket(stack.thumbnails());
    let object = get.key("manifests/formats-photos/all/picos.webp.json").send().await.unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&object.body.collect().await.unwrap().into_bytes()).unwrap();
    assert_eq!(manifest["source"], "s3://formats-photos/all/picos.webp");
    let version = &manifest["source_etag"].as_str().unwrap()[..16];
    assert_eq!(manifest["srcset"]["webp"], format!("/all/picos.webp-{version}-40x30.webp 40w"));
    assert_eq!(manifest["srcset"]["png"], format!("/all/picos.webp-{version}-x20.png 27w"));
    assert_eq!(manifest["variants"].as_array().unwrap().len(), 3);
}

/// What a stack needs that takes photographs from URLs beside those of a bucket.
const KEY_WITH_BUCKET: &str = "thumbnail.key = \"{bucket}/{dir}{stem}-{width}x{height}.jpg\"";

/// A photograph whose header claims another size.
fn claims(mut jpeg: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a baseline frame header");
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

#[tokio::test]
async fn bad_messages_end_in_the_dead_letter_queue_with_their_reasons() {
    let toml = format!(
        "queue.max_receives = 1\nworker.url_sources = \"public\"\nbuckets.sources = [\"bad-photos\", \"bad-gone\"]\n\
         {KEY_WITH_BUCKET}"
    );
    let stack = Stack::new("bad", &toml).await;
    let life = photo("life.jpg");
    stack.put("cut.jpg", life[..life.len() / 2].to_vec()).await;
    stack.put("huge.jpg", claims(life.clone(), 60_000, 60_000)).await;
    stack.put("text.jpg", b"this is no picture".to_vec()).await;
    stack.put("good.jpg", life).await;
    let request = |key: &str| format!(r#"{{"bucket":"bad-photos","key":"{key}","width":40,"height":30}}"#);
    for body in [
        "this is not JSON".to_owned(),
        r#"{"bucket":"bad-photos","key":"good.jpg","width":40,"focus":"middle"}"#.into(),
        r#"{"bucket":"bad-photos","key":"good.jpg","width":0,"height":30}"#.into(),
        r#"{"bucket":"bad-photos","key":"good.jpg","width":40,"height":1000000000}"#.into(),
        r#"{"url":"http://169.254.169.254/latest/meta-data/","width":40,"height":30}"#.into(),
        r#"{"bucket":"bad-gone","key":"good.jpg","width":40,"height":30}"#.into(),
        r#"{"bucket":"company-hr","key":"good.jpg","width":40,"height":30}"#.into(),
        request("missing.jpg"),
        request("text.jpg"),
        request("cut.jpg"),
        request("huge.jpg"),
        request("good.jpg"),
    ] {
        stack.send(&body).await;
    }
    let output = stack.thumb(&["work", "--drain"]).ok();
    assert_eq!(
        output.stdout.lines().filter(|line| line.starts_with("made      bad-photos/good-40x30.jpg")).count(),
        1,
        "{output:?}"
    );
    assert_eq!(output.stdout.lines().filter(|line| line.starts_with("rejected ")).count(), 11, "{output:?}");
    insta::assert_snapshot!(stack.dlq().await.join("\n"));
    assert_eq!(stack.depth("bad").await, 0);
}

/// A bucket with S3's defaults since April 2023, or one whose ACLs were disabled since the last apply.
#[tokio::test]
async fn a_bucket_that_takes_no_acls_is_named_with_what_mends_it() {
    let stack = Stack::new("no-acls", "queue.max_receives = 1").await;
    stack.put("life.jpg", photo("life.jpg")).await;
    stack.send(r#"{"bucket":"no-acls-photos","key":"life.jpg","width":40,"height":30}"#).await;
    let code = "AccessControlListNotSupported";
    const PUT: &str = "PUT /no-acls-thumbnails-123456789012/";
    let refusal = FaultProxy::start(moto().address(), PUT, code, "The bucket does not allow ACLs");
    let mut command = stack.command(&["work", "--drain"]);
    let output = CommandOutput::new(command.env("AWS_ENDPOINT_URL", refusal.endpoint()).output().unwrap()).ok();
    let lines = format!("{}{}", output.stdout, stack.dlq().await.join("\n"));
    insta::assert_snapshot!(lines);
    assert_eq!(stack.depth("no-acls").await, 0);
}

#[tokio::test]
async fn a_url_is_fetched_where_private_addresses_are_allowed() {
    let stack = Stack::new("web", &format!("worker.url_sources = \"any\"\n{KEY_WITH_BUCKET}")).await;
    stack.put("life.jpg", photo("life.jpg")).await;
    let url = format!("{}/web-photos/life.jpg", moto().endpoint());
    let acl = stack.clients.s3.put_object_acl().bucket("web-photos").key("life.jpg");
    acl.acl(ObjectCannedAcl::PublicRead).send().await.unwrap();
    stack.thumb(&["enqueue", "--url", &format!("{url}?token=SECRET"), "--size", "40x30"]).ok();
    let output = stack.thumb(&["work", "--drain", "--json"]).ok();
    assert!(!format!("{output:?}").contains("SECRET"), "{output:?}");
    let made: Vec<serde_json::Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "made")
        .collect();
    assert_eq!(made.len(), 1, "{output:?}");
    let host = moto().endpoint().replace("http://", "");
    let key = made[0]["key"].as_str().unwrap();
    // The hash tells this query's picture from another's.
    assert!(key.starts_with(&format!("_url/{host}/web-photos/life-")) && key.ends_with("-40x30.jpg"), "{key}");
    assert_eq!(made[0]["source"], format!("{url}?…"));
}

#[tokio::test]
async fn no_url_is_queued_for_workers_that_do_not_fetch_urls() {
    let stack = Stack::nothing("no-urls", "").await;
    let output = stack.thumb(&["enqueue", "--url", "https://example.com/a.jpg", "--size", "40x30"]).failed(2);
    assert_eq!(
        output.stderr,
        "error: the workers of this stack do not fetch URLs\n  hint: set url_sources = \"public\" in [worker] of \
         thumb.toml, then run `thumb apply`\n"
    );
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    let stack = Stack::nothing("nowhere", "").await;
    let output = [
        stack.thumb(&["work"]).failed(1).stderr,
        stack.thumb(&["enqueue", "a.jpg", "--size", "40x30"]).failed(1).stderr,
        stack.thumb(&["enqueue", "a.jpg"]).failed(2).stderr,
        stack.thumb(&["enqueue", "--size", "40x30"]).failed(2).stderr,
        stack.thumb(&["enqueue", "a.jpg", "--width", "40", "--format", "gif"]).failed(2).stderr,
        stack.thumb(&["enqueue", "a.jpg", "--width", "0", "--height", "1000000000"]).failed(2).stderr,
        stack.thumb(&["render", "a.jpg"]).failed(2).stderr,
        stack.thumb(&["render", "a.jpg", "--size", "40x30"]).failed(1).stderr,
    ];
    insta::assert_snapshot!(output.join("\n"));
}

#[tokio::test]
async fn without_credentials_or_network_nothing_is_tried_in_vain() {
    let stack = Stack::new("cut-off", "").await;
    let mut command = stack.command(&["work"]);
    let output = CommandOutput::new(command.env_remove("AWS_ACCESS_KEY_ID").output().unwrap()).failed(1);
    assert!(output.stderr.contains("error: no AWS credentials found"), "{output:?}");

    let mut command = stack.command(&["enqueue", "a.jpg", "--size", "40x30"]);
    // Nothing listens on the discard port.
    let output = CommandOutput::new(command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output().unwrap()).failed(1);
    // The queue and the account are asked for side by side.
    assert!(output.stderr.contains(": Connection refused"), "{output:?}");
    assert!(output.stderr.contains("error: cannot reach AWS at http://127.0.0.1:9\n"), "{output:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_ends_an_idle_worker_well() {
    let stack = Stack::new("stopped", "").await;
    let mut command = stack.command(&["work", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert!(line.contains(r#""event":"started""#), "{line}");
    let told = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = CommandOutput::new(child.wait_with_output().unwrap()).ok();
    assert_eq!(output.stderr, "");
    assert!(told.elapsed() < Duration::from_secs(20), "an idle worker does not wait for its long poll");
}

/// The endpoint accepts connections and never answers, as in a network that drops everything.
#[cfg(unix)]
#[tokio::test]
async fn a_signal_during_the_start_ends_it() {
    let stack = Stack::nothing("starting", "").await;
    let silence = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silence.local_addr().unwrap());
    for signal in ["-INT", "-TERM"] {
        let mut command = stack.command(&["work"]);
        let child = command.env("AWS_ENDPOINT_URL", &endpoint).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        let asked = silence.accept().unwrap();
        let told = Instant::now();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = CommandOutput::new(child.wait_with_output().unwrap()).ok();
        assert_eq!(output.stderr, format!("stopped before it started (SIG{})\n", &signal[1..]));
        assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
        drop(asked);
    }
}

/// What `apply` waits for.
#[tokio::test]
async fn a_worker_puts_its_report_into_the_code_bucket() {
    let stack = Stack::new("speaker", "buckets.code = \"speaker-code\"").await;
    stack.clients.s3.create_bucket().bucket("speaker-code").send().await.unwrap();
    stack.put("life.jpg", photo("life.jpg")).await;
    stack.send(r#"{"bucket":"speaker-photos","key":"life.jpg","width":40,"height":30}"#).await;
    stack.send("not JSON").await;
    let output = stack.thumb(&["work", "--drain"]).ok();
    assert!(!output.stderr.contains("report"), "{output:?}");

    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let key = worker_report::key(&worker_report::worker_id(&host).unwrap());
    let object = stack.clients.s3.get_object().bucket("speaker-code").key(&key).send().await.unwrap();
    assert_eq!(object.content_type(), Some("application/json"));
    let report = WorkerReport::from_json(&object.body.collect().await.unwrap().into_bytes()).unwrap();
    assert_eq!((report.state, report.counts.done, report.counts.rejected), (worker_report::State::Stopped, 1, 1));
    assert!(report.started_s <= report.last_seen_s);
    let digits = report.binary.as_deref().and_then(|binary| binary.strip_prefix("thumb-"));
    assert_eq!(digits.map(str::len), Some(64), "{report:?}");
    let toml = std::fs::read_to_string(stack.toml()).unwrap();
    assert_eq!(report.config, worker_report::config_digest(&toml));
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn thumb(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thumb"));
    moto::clean(&mut command);
    command.current_dir(dir);
    command
}

#[test]
fn render_makes_what_it_can_and_says_what_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("life.jpg"), photo("life.jpg")).unwrap();
    std::fs::write(dir.path().join("notes.jpg"), "no picture").unwrap();
    let words = ["render", "notes.jpg", "life.jpg", "--size", "40x30", "--size", "30x40", "--out", "out"];
    let output = CommandOutput::new(thumb(dir.path()).args(words).output().unwrap()).failed(1);
    assert_eq!(output.stdout.lines().count(), 2, "{output:?}");
    assert!(output.stderr.starts_with("error: cannot make a thumbnail of notes.jpg\n  caused by: "), "{output:?}");
    assert!(output.stderr.ends_with("error: 1 of 2 files failed\n"), "{output:?}");
    assert_eq!(names(&dir.path().join("out")), ["life-30x40.jpg", "life-40x30.jpg"]);
    let made = std::fs::read(dir.path().join("out/life-40x30.jpg")).unwrap();
    let info = thumbnail::probe(&made, &Limits::default()).unwrap();
    assert_eq!((info.width, info.height), (40, 30));
}

#[test]
fn render_reads_every_format_and_names_a_thumbnail_by_its_own() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["sunset-round.png", "picos.webp", "life.heic"] {
        std::fs::write(dir.path().join(name), photo(name)).unwrap();
    }
    std::fs::write(dir.path().join("tables.pdf"), "%PDF-1.7").unwrap();
    let words =
        ["render", "sunset-round.png", "picos.webp", "life.heic", "tables.pdf", "--size", "40x", "--size", "9x9.png"];
    let more =
        ["--format", "auto", "--out", "out", "--focus", "north", "--sharpen", "light", "--background", "#102030"];
    let output = CommandOutput::new(thumb(dir.path()).args(words).args(more).output().unwrap()).failed(1);
    assert!(output.stderr.contains("the file is a PDF document; thumbnails are made of JPEG, PNG, WebP"), "{output:?}");
    let made = [
        "life-40x.jpg",
        "life-9x9.png",
        "picos-40x.jpg",
        "picos-9x9.png",
        "sunset-round-40x.webp",
        "sunset-round-9x9.png",
    ];
    assert_eq!(names(&dir.path().join("out")), made);
}

#[test]
fn render_takes_directories_and_stdin_and_says_what_it_would_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("in/2026")).unwrap();
    for name in ["in/life.jpg", "in/2026/picos.webp"] {
        std::fs::write(dir.path().join(name), photo(name.rsplit('/').next().unwrap())).unwrap();
    }
    let run = |words: &[&str]| CommandOutput::new(thumb(dir.path()).args(words).output().unwrap());
    let words = ["render", "in", "--size", "40x30", "--size", "x20.png", "-o", "out"];
    let planned = run(&[&words[..], &["--dry-run"]].concat()).ok();
    assert_eq!(planned.stdout.lines().next(), Some("would write out/2026/picos-40x30.jpg of in/2026/picos.webp"));
    assert!(planned.stdout.lines().count() == 4 && !dir.path().join("out").exists(), "{planned:?}");

    let made = run(&[&words[..], &["--json", "-j", "2"]].concat()).ok();
    let lines: Vec<serde_json::Value> = made.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["out/2026/picos-40x30.jpg", "out/2026/picos-x20.png", "out/life-40x30.jpg", "out/life-x20.png"]);
    assert_eq!(
        (&lines[0]["width"], &lines[0]["format"], &lines[1]["height"]),
        (&40.into(), &"jpeg".into(), &20.into())
    );
    assert_eq!(lines[0]["bytes"], std::fs::metadata(dir.path().join(paths[0])).unwrap().len());
    // Beside their sources, a second run finds no new ones.
    for _ in 0..2 {
        let made = run(&["render", "in", "--size", "40x30"]).ok();
        assert_eq!(made.stdout.lines().count(), 2, "{made:?}");
    }

    let mut through = thumb(dir.path());
    through
        .args(["render", "-", "--size", "40x30"])
        .stdin(std::fs::File::open(dir.path().join("in/life.jpg")).unwrap());
    let output = through.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, std::fs::read(dir.path().join("out/life-40x30.jpg")).unwrap());
    for words in [
        &["render", "-"][..],
        &["render", "-", "--size", "4x4", "--size", "5x5"],
        &["render", "-", "in", "--size", "4x4"],
    ] {
        run(words).failed(2);
    }
    let failed = run(&["render", "no.jpg", "--size", "4x4"]).failed(1);
    assert!(failed.stderr.ends_with("error: 1 of 1 file failed\n"), "{failed:?}");
    assert!(run(&["render", "out/2026/..", "no", "--size", "9x9"]).failed(1).stderr.contains("cannot read no"));
}

/// A disk that is full after 1 KiB of a file: the shell's limit on file sizes, without the signal that goes with it.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_thumbnail() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("life.jpg"), photo("life.jpg")).unwrap();
    let program: PathBuf = env!("CARGO_BIN_EXE_thumb").into();
    let line = "trap '' XFSZ; ulimit -f 1; exec \"$0\" render life.jpg --size 400x400";
    let mut shell = Command::new("sh");
    moto::clean(&mut shell);
    let output =
        CommandOutput::new(shell.current_dir(dir.path()).args(["-c", line]).arg(program).output().unwrap()).failed(1);
    assert!(
        output.stderr.starts_with("error: cannot write life-400x400.jpg\n  caused by: File too large"),
        "{output:?}"
    );
    assert_eq!(names(dir.path()), ["life.jpg"]);
}

#[tokio::test]
async fn a_terminal_shows_what_went_wrong_above_one_line_that_counts() {
    let stack = Stack::new("screen", "").await;
    stack.put("good.jpg", photo("life.jpg")).await;
    stack.put("bad.jpg", b"hello".to_vec()).await;
    let fill = || {
        stack.thumb(&["enqueue", "--bucket", "screen-photos", "--keys", "good.jpg", "bad.jpg", "--size", "40x30"]).ok()
    };
    fill();
    let (code, screen) = terminal::at_a_terminal(&stack.command(&["work", "--drain"]), "");
    assert_eq!(code, Some(0), "{screen}");
    assert!(
        screen.contains("\x1b[31mrejected  s3://screen-photos/bad.jpg  make: the file is plain text"),
        "{screen:?}"
    );
    assert!(screen.contains("2 of about ") && screen.contains("  1 rejected"), "{screen:?}");
    assert!(!screen.contains("made      "), "{screen:?}");
    // The last is the sentence: the line is taken away.
    let (_, end) = screen.rsplit_once("\x1b[2K").unwrap();
    assert_eq!(end, "", "{screen:?}");
    let done = screen.rfind("Done in ").unwrap();
    assert!(
        screen[done..].contains("1 thumbnail of 1 photo (") && screen[done..].contains("see them with `thumb dlq`")
    );

    fill();
    let (_, screen) = terminal::at_a_terminal(stack.command(&["work", "--drain", "-v"]).env("NO_COLOR", "1"), "");
    assert!(screen.contains("made      good-40x30.jpg  ") && screen.contains(" ms (fetch "), "{screen:?}");
    assert!(screen.contains("rejected  s3://screen-photos/bad.jpg") && !screen.contains("\x1b[31m"), "{screen:?}");

    fill();
    let piped = stack.thumb(&["work", "--drain"]).ok();
    assert!(!format!("{piped:?}").contains("\\u{1b}"), "{piped:?}");
    assert!(
        piped.stdout.starts_with("made      good-40x30.jpg  ") || piped.stdout.contains("\nmade      "),
        "{piped:?}"
    );
    assert!(piped.stderr.contains("see them with `thumb dlq`"), "{piped:?}");
}
