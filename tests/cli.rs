//! The program as a process: what a user types, sees and gets back, against the emulator.

#[path = "support/fault_injecting_connector.rs"]
mod fault_injecting_connector;
#[path = "support/moto.rs"]
mod moto;
#[path = "support/terminal.rs"]
mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use moto::Moto;

const THUMB: &str = env!("CARGO_BIN_EXE_thumb");

/// A directory with a thumb.toml.
struct Workdir {
    dir: tempfile::TempDir,
}

impl Workdir {
    fn new(config: &str) -> Self {
        let workdir = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(workdir.path().join("thumb.toml"), config).unwrap();
        workdir
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, mut command: Command, words: &[&str]) -> CommandOutput {
        let output = command.current_dir(self.path()).args(words).stdin(Stdio::null()).output().unwrap();
        CommandOutput::from(output)
    }
}

#[derive(Debug)]
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// `thumb` without an emulator, and with nothing of the developer's environment.
fn alone() -> Command {
    let mut command = Command::new(THUMB);
    moto::clean(&mut command);
    command
}

#[test]
fn plan_apply_plan_destroy_as_a_user_types_them() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n");
    let thumb = |words: &[&str]| workdir.run(moto.command(THUMB), words);

    let plan = thumb(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(2), "{plan:?}");
    assert!(plan.out.contains("\nPlan: 10 to create.\n"), "{plan:?}");
    assert!(plan.out.contains("Warning: Thumbnails will be public"), "{plan:?}");
    assert!(plan.out.contains("no SSH key"), "{plan:?}");
    assert!(
        plan.out.ends_with("Run `thumb apply` to make these changes; --details shows every attribute.\n"),
        "{plan:?}"
    );
    let details = thumb(&["plan", "--details"]);
    assert!(details.out.contains("      visibility_timeout: 1m\n"), "{details:?}");
    assert!(!plan.out.contains('\x1b'), "colour is for terminals");

    let refused = thumb(&["apply"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("stdin is not a terminal\n  hint: use `thumb apply --yes`"), "{refused:?}");

    let apply = thumb(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(0), "{apply:?}");
    assert!(apply.out.contains("s: 10 created."), "{apply:?}");
    assert!(apply.out.contains("booting, about 2 minutes"), "{apply:?}");
    assert!(apply.out.contains("\nNext:\n  thumb enqueue s3://photos/PREFIX/ --size 400x400  "), "{apply:?}");
    assert!(apply.err.contains("queue: created in"), "{apply:?}");

    let again = thumb(&["plan", "--detailed-exitcode"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.out.ends_with("No changes. Your infrastructure matches the configuration.\n"), "{again:?}");

    let json = thumb(&["plan", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&json["version"], &json["stack"], &json["account"]),
        (&1.into(), &"cats".into(), &moto::ACCOUNT.into())
    );
    assert_eq!(json["summary"]["create"], 0);

    let destroy = thumb(&["destroy", "--yes"]);
    assert_eq!(destroy.code, Some(0), "{destroy:?}");
    assert!(destroy.out.contains("s: 10 destroyed."), "{destroy:?}");
    let nothing = thumb(&["destroy"]);
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert!(nothing.out.ends_with("Nothing to destroy: no resource of this stack exists.\n"), "{nothing:?}");
}

/// `thumb` at a terminal of its own, where these lines are typed: its exit code, and what stands on the screen.
fn at_a_terminal(workdir: &Workdir, moto: &Moto, words: &[&str], typed: &str) -> (Option<i32>, String) {
    let mut command = moto.command(THUMB);
    command.current_dir(workdir.path()).args(words);
    terminal::at_a_terminal(&command, typed)
}

#[test]
fn destroy_wants_the_stacks_name_where_something_would_be_lost() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n");
    let thumb = |words: &[&str]| workdir.run(moto.command(THUMB), words);
    assert_eq!(thumb(&["apply", "--target", "queue", "--target", "buckets", "--yes"]).code, Some(0));
    assert_eq!(moto.request_as_owner("PUT", "/cats-thumbnails-123456789012/owl.jpg", b"owl").unwrap().status, 200);
    let words = ["enqueue", "--bucket", "photos", "--keys", "owl.jpg", "canyon.jpg", "--size", "10x10", "--no-check"];
    assert_eq!(thumb(&words).code, Some(0));
    // A worker's report is thumb's own; what else is in the code bucket is not.
    for key in ["workers/i-0123456789abcdef0.json", "thumb-drive.bin", "notes.txt"] {
        let path = format!("/cats-code-123456789012/{key}");
        assert_eq!(moto.request_as_owner("PUT", &path, b"x").unwrap().status, 200);
    }

    let (code, screen) = at_a_terminal(&workdir, &moto, &["destroy"], "yes\nyes\nyes");
    let question = "This permanently deletes 1 object in the thumbnails bucket, 2 objects in the code bucket (not \
                    written by thumb) and about 2 messages in the queue.";
    assert!(screen.contains(question), "{screen}");
    assert!(screen.contains("cancelled; nothing was changed"), "{screen}");
    assert_eq!(code, Some(1));
    assert_eq!(thumb(&["plan", "--target", "queue", "--target", "buckets", "--detailed-exitcode"]).code, Some(0));

    let (code, screen) = at_a_terminal(&workdir, &moto, &["destroy"], "cats");
    assert!(screen.contains("s: 4 destroyed."), "{screen}");
    assert_eq!(code, Some(0));
}

#[test]
fn apply_asks_and_takes_yes_for_an_answer() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n");
    let (code, screen) = at_a_terminal(&workdir, &moto, &["apply", "--target", "queue"], "y\ny\ny");
    assert!(screen.contains("Create these 2 resources?"), "{screen}");
    assert!(screen.contains("You typed \"y\"; only \"yes\" is accepted:"), "{screen}");
    assert_eq!(code, Some(1), "{screen}");
    let (code, screen) = at_a_terminal(&workdir, &moto, &["apply", "--target", "queue"], "yes");
    assert!(screen.contains("s: 2 created."), "{screen}");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("\x1b[32m  +"), "a terminal has colours: {screen:?}");
}

#[test]
fn init_asks_explains_what_is_wrong_and_writes_a_file_that_is_planned() {
    let moto = Moto::start();
    let workdir = Workdir { dir: tempfile::tempdir().unwrap() };
    assert_eq!(moto.request_as_owner("PUT", "/my-photographs", b"").unwrap().status, 200);
    let answers = "Holiday\nholiday\nmy-photgraphs\nmy-photographs\neu west\n\nmaybe\nn";
    let (code, screen) = at_a_terminal(&workdir, &moto, &["init"], answers);
    assert_eq!(code, Some(0), "{screen}");
    for said in [
        "Stack name (prefix of every resource)",
        "`name` = \"Holiday\" makes a bucket name that S3 does not allow",
        "bucket \"my-photgraphs\" does not exist in any region",
        "✓ my-photographs exists, in us-east-1",
        "must be an AWS region such as us-east-1, not \"eu west\"",
        "Region [us-east-1]: ",
        "\"maybe\" is neither y nor n",
        "Wrote thumb.toml. Next: thumb plan",
    ] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    let written = std::fs::read_to_string(workdir.path().join("thumb.toml")).unwrap();
    assert!(
        written.contains("sources = [\"my-photographs\"]") && written.contains("access = \"private\""),
        "{written}"
    );
    let plan = workdir.run(moto.command(THUMB), &["plan"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    assert!(!plan.out.contains("Warning:") && !plan.out.contains("Note:"), "{plan:?}");
    // It is not written over.
    let (code, screen) = at_a_terminal(&workdir, &moto, &["init"], answers);
    assert!(code == Some(1) && screen.contains("thumb.toml exists already"), "{screen}");
    assert_eq!(std::fs::read_to_string(workdir.path().join("thumb.toml")).unwrap(), written);
}

#[test]
fn init_writes_without_a_network_and_says_what_it_could_not_check() {
    let workdir = Workdir { dir: tempfile::tempdir().unwrap() };
    let output =
        workdir.run(alone(), &["init", "--name", "holiday", "--source", "my-photographs", "--access", "policy"]);
    assert_eq!((output.code, &*output.out), (Some(0), "Wrote thumb.toml. Next: thumb plan\n"), "{output:?}");
    assert!(
        output
            .err
            .starts_with("note: it was not checked whether the bucket my-photographs exists: there are no valid AWS"),
        "{output:?}"
    );
    let other = workdir.run(alone(), &["init", "--name", "holiday", "-c", "other.toml"]);
    assert_eq!(&*other.out, "Wrote other.toml. Next: thumb plan --config other.toml\n", "{other:?}");
    for words in [&["init"][..], &["init", "--name", "Holiday"], &["init", "--name", "x", "--source", "B"]] {
        let output = workdir.run(alone(), &[words, &["-c", "third.toml"]].concat());
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(!workdir.path().join("third.toml").exists(), "{output:?}");
    }
}

#[test]
fn what_no_stack_owns_is_left_alone_until_it_is_adopted() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n");
    let thumb = |words: &[&str]| workdir.run(moto.command(THUMB), words);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = thumb::aws::Clients::from_sdk(
            fault_injecting_connector::FaultInjectingConnector::new().sdk(&moto.endpoint()).await,
        )
        .unwrap();
        clients.sqs.create_queue().queue_name("cats").send().await.unwrap();
    });
    for words in [&["plan"][..], &["apply", "--yes"]] {
        let refused = thumb(words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.out.contains("  ! queue  cats  the queue cats already exists and belongs to no stack\n           take it over: thumb apply --adopt queue\n"),
            "{refused:?}"
        );
        assert!(refused.err.contains("1 resource is blocked (queue); nothing was applied"), "{refused:?}");
    }
    // A destroy leaves it alone, which is no failure; the plan of one says the same.
    for words in [&["destroy", "--yes"][..], &["plan", "--destroy"], &["plan", "--destroy", "--detailed-exitcode"]] {
        let left = thumb(words);
        assert_eq!(left.code, Some(0), "there is nothing else to destroy: {left:?}");
        assert!(left.out.contains("Not this stack's, and left alone: queue.\n\nNothing to destroy.\n"), "{left:?}");
    }
    let both = thumb(&["plan", "--destroy", "--adopt", "queue"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    assert!(both.err.contains("--adopt cannot be used with --destroy"), "{both:?}");

    let adopted = thumb(&["plan", "--target", "queue", "--adopt", "queue"]);
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    assert!(adopted.out.contains("  ~ queue  cats      adopted (not managed by any stack before)\n"), "{adopted:?}");
    assert!(adopted.out.contains("Run `thumb apply --target queue --adopt queue` to make"), "{adopted:?}");
    assert!(adopted.out.contains("tags.thumb:stack:"), "{adopted:?}");
    assert!(adopted.out.contains("Plan: 1 to create, 1 to change."), "{adopted:?}");
    assert_eq!(thumb(&["apply", "--target", "queue", "--adopt", "queue", "--yes"]).code, Some(0));
    assert_eq!(thumb(&["plan", "--target", "queue", "--detailed-exitcode"]).code, Some(0));
    assert_eq!(thumb(&["plan", "--destroy", "--detailed-exitcode"]).code, Some(2));
    let released = thumb(&["destroy", "--yes"]);
    assert_eq!(released.code, Some(0), "{released:?}");
    assert!(released.out.contains("  ~ queue  cats      adopted: released, not deleted"), "{released:?}");
    assert!(released.err.contains("queue: released in"), "{released:?}");
    assert!(released.out.contains("s: 1 destroyed, 1 released."), "{released:?}");

    let nothing = thumb(&["plan", "--adopt", "security-group"]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.err.contains("cannot adopt security-group: no resource with that name exists"), "{nothing:?}");
}

#[test]
fn a_target_brings_what_it_needs_and_nothing_else() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n");
    let thumb = |words: &[&str]| workdir.run(moto.command(THUMB), words);
    let queue = thumb(&["apply", "--target", "queue", "--yes"]);
    assert!(queue.out.contains("s: 2 created."), "{queue:?}");
    let code = thumb(&["apply", "--target=code", "--yes"]);
    assert!(code.out.contains("s: 2 created."), "{code:?}");
    let unknown = thumb(&["plan", "--target", "queues"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("there is no target \"queues\"; did you mean \"queue\"?"), "{unknown:?}");
    let parts = thumb(&["plan", "--target", "queue,bucket.code"]);
    assert!(parts.out.contains("No changes"), "{parts:?}");
}

#[test]
fn what_was_reviewed_is_applied_or_refused() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n");
    let thumb = |words: &[&str]| workdir.run(moto.command(THUMB), words);
    let saved = thumb(&["plan", "--exclude", "code,profile,security-group,log-group", "--out", "plan.json"]);
    assert_eq!(saved.code, Some(0), "{saved:?}");
    assert!(saved.out.contains("Plan: 3 to create.\n"), "{saved:?}");
    assert!(saved.out.contains("Run `thumb apply plan.json`"), "{saved:?}");
    // Something else is done meanwhile.
    assert_eq!(thumb(&["apply", "--target", "queue", "--yes"]).code, Some(0));
    let stale = thumb(&["apply", "plan.json"]);
    assert_eq!(stale.code, Some(1), "{stale:?}");
    let why = "plan.json is out of date; other changes are needed now: dlq, queue";
    assert!(stale.err.contains(why), "{stale:?}");
    assert!(stale.err.contains("`thumb plan --out plan.json` makes a new one"), "{stale:?}");

    assert_eq!(
        thumb(&["plan", "--exclude", "code,profile,security-group,log-group", "--out", "plan.json"]).code,
        Some(0)
    );
    // No question: it was reviewed.
    let applied = thumb(&["apply", "plan.json"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.contains("s: 1 created."), "{applied:?}");
    let nothing = thumb(&["plan", "--target", "buckets", "--exclude", "bucket.code"]);
    assert!(nothing.out.ends_with("No changes to bucket.thumbnails. Nothing else was compared.\n"), "{nothing:?}");
}

#[test]
fn the_program_says_which_build_it_is() {
    let version = Workdir::new("").run(alone(), &["--version"]);
    assert!(version.out.starts_with(concat!("thumb ", env!("CARGO_PKG_VERSION"), " (")), "{version:?}");
    assert!(version.out.contains(&format!(", engine {}", thumb::thumbnail::OUTPUT_VERSION)), "{version:?}");
    let identity = thumb::version::Identity::of_file(&std::fs::read(THUMB).unwrap());
    let (number, rest) = version.out.trim_start_matches("thumb ").split_once(", ").unwrap();
    // A build with changes has none, and neither has one from a copy without git.
    match identity {
        Some(identity) => assert_eq!(identity.to_string(), format!("{number})")),
        None => assert!(rest.starts_with("with changes") || rest.starts_with("engine"), "{version:?}"),
    }
}

#[test]
fn every_example_is_planned() {
    let moto = Moto::start_strict(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = thumb::aws::Clients::from_sdk(
            fault_injecting_connector::FaultInjectingConnector::before_strict_server().sdk(&moto.endpoint()).await,
        )
        .unwrap();
        clients.ec2.create_key_pair().key_name("colink-cmsc389l").send().await.unwrap();
        clients.s3.create_bucket().bucket("profile-pictures-uploads").send().await.unwrap();
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let tomls = examples.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let files: Vec<PathBuf> = tomls.chain([root.join("thumb.toml")]).collect();
    assert!(files.len() >= 5);
    for file in files {
        let workdir = Workdir::new("");
        let plan = workdir.run(moto.command(THUMB), &["--config", file.to_str().unwrap(), "plan"]);
        assert_eq!(plan.code, Some(0), "{}: {plan:?}", file.display());
    }
}

#[test]
fn what_does_not_exist_blocks_the_plan_with_what_to_do() {
    let moto = Moto::start();
    for (line, expected) in [
        ("key_pair = \"nobodys\"", "aws ec2 create-key-pair --key-name nobodys"),
        ("image = \"ami-0123456789abcdef0\"", "has no image ami-0123456789abcdef0"),
        ("type = \"t3.gigantic\"", "does not offer the instance type t3.gigantic"),
        ("type = \"t4g.micro\"", "arm64"),
        ("subnet = \"subnet-0123456789abcdef0\"", "the subnet subnet-0123456789abcdef0 does not exist"),
        ("binary = \"thumb.toml\"", "cannot run on an instance"),
        ("binary = \"no-such-file\"", "cannot read the executable no-such-file"),
    ] {
        let workdir = Workdir::new(&format!("name = \"cats\"\n[instance]\n{line}\n"));
        let plan = workdir.run(moto.command(THUMB), &["plan"]);
        assert_eq!(plan.code, Some(1), "{line}: {plan:?}");
        // The text is wrapped to the terminal's width.
        let text = plan.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{line}: {plan:?}");
        let apply = workdir.run(moto.command(THUMB), &["apply", "--yes"]);
        assert_eq!(apply.code, Some(1));
        assert!(apply.err.contains("nothing was applied"), "{line}: {apply:?}");
        assert!(!apply.err.contains("creating"), "nothing half made: {apply:?}");
    }
}

#[test]
fn a_wrong_account_is_refused_before_anything_else() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\naccount = \"111111111111\"\n");
    let output = workdir.run(moto.command(THUMB), &["apply", "--yes"]);
    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.err,
        "error: these credentials are for the account 123456789012, but thumb.toml says account = \"111111111111\"\n  \
         hint: choose other credentials (AWS_PROFILE), or change `account` in thumb.toml\n"
    );
}

#[test]
fn without_credentials_it_says_how_to_give_some() {
    let workdir = Workdir::new("name = \"cats\"\nregion = \"us-east-1\"\n");
    for command in ["plan", "apply", "destroy"] {
        let output = workdir.run(alone(), &[command]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("hint: run `aws configure` or `aws sso login`, or set AWS_PROFILE"), "{output:?}");
    }
}

#[test]
fn without_a_region_it_says_where_to_set_one() {
    let workdir = Workdir::new("name = \"cats\"\n");
    let output = workdir.run(alone(), &["plan"]);
    assert_eq!(
        (output.code, output.err.starts_with("error: no AWS region is set\n  hint: set `region`")),
        (Some(1), true),
        "{output:?}"
    );
}

#[test]
fn without_a_network_it_gives_up_and_says_so() {
    let workdir = Workdir::new("name = \"cats\"\nregion = \"us-east-1\"\n");
    let mut command = alone();
    // Nothing listens on port 1.
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let output = workdir.run(command, &["plan"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("error: cannot reach AWS at http://127.0.0.1:1\n"), "{output:?}");
}

#[test]
fn mistakes_in_the_file_are_all_named_and_nothing_is_tried() {
    let workdir = Workdir::new("nam = \"cats\"\n[queue]\nmax_receives = \"three\"\n");
    let output = workdir.run(alone(), &["apply", "--yes"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert_eq!(output.err.lines().filter(|line| line.starts_with("error: thumb.toml:")).count(), 3, "{output:?}");
    let missing = workdir.run(alone(), &["--config", "nowhere.toml", "plan"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.starts_with("error: there is no nowhere.toml\n  hint: `thumb init` writes one"), "{missing:?}");
}

#[test]
fn a_policy_is_printed_without_credentials_and_says_what_it_does_not_know() {
    let workdir = Workdir::new("name = \"cats\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n");
    let output = workdir.run(alone(), &["policy", "apply", "destroy"]);
    assert_eq!((output.code, &*output.err), (Some(0), ""), "as long as it is, it fits: {output:?}");
    let all = ["policy", "plan", "apply", "destroy", "enqueue", "backfill", "work", "dlq", "logs", "doctor"];
    let output = workdir.run(alone(), &all);
    assert!(output.err.ends_with("a managed policy may have 6144: print one for each command\n"), "{output:?}");
    let output = workdir.run(alone(), &["policy", "apply"]);
    assert_eq!((output.code, &*output.err), (Some(0), ""), "{output:?}");
    let policy: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    assert!(output.out.contains("\"arn:aws:sqs:eu-west-1:123456789012:cats-dlq\""), "{output:?}");

    let workdir = Workdir::new("name = \"cats\"\n");
    let output = workdir.run(alone(), &["policy", "enqueue"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.out.contains("\"arn:aws:sqs:*:*:cats\""), "{output:?}");
    assert!(output.err.starts_with("note: no AWS region is set: the policy allows every region\nnote: "), "{output:?}");
    assert!(output.err.ends_with(": the policy allows every account (set `account` in thumb.toml)\n"), "{output:?}");

    let moto = Moto::start();
    let output = workdir.run(moto.command(THUMB), &["policy", "enqueue"]);
    assert_eq!((output.code, &*output.err), (Some(0), ""), "{output:?}");
    assert!(output.out.contains("\"arn:aws:sqs:us-east-1:123456789012:cats\""), "{output:?}");
    for words in [&["policy"][..], &["policy", "fly"]] {
        assert_eq!(workdir.run(alone(), words).code, Some(2), "{words:?}");
    }
}

#[test]
fn a_detailed_exit_code_is_2_for_changes_only() {
    let wrong = Workdir::new("nam = \"cats\"\n");
    let right = Workdir::new("name = \"cats\"\n");
    for (workdir, words) in [
        (&wrong, &["plan"][..]),
        (&right, &["--config", "nowhere.toml", "plan"]),
        (&right, &["plan", "--nonsense"]),
        (&right, &["plan", "--target", "nonsense"]),
        (&right, &["plan", "--target"]),
    ] {
        assert_eq!(workdir.run(alone(), words).code, Some(2), "{words:?}");
        let detailed = [words, &["--detailed-exitcode"]].concat();
        let output = workdir.run(alone(), &detailed);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.starts_with("error: "), "{output:?}");
    }
}

/// `thumb … | head`, where head has left already.
#[test]
fn a_reader_that_has_left_ends_every_command_quietly_and_changes_nothing() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n");
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos/life.jpg");
    let photo = photo.to_str().unwrap();
    let unread = |words: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = moto.command(THUMB);
        let output =
            command.current_dir(workdir.path()).args(words).stdin(Stdio::null()).stdout(writer).output().unwrap();
        let output = CommandOutput::from(output);
        assert_eq!((output.code, &*output.err), (Some(141), ""), "{words:?}");
    };
    unread(&["--help"]);
    unread(&["--version"]);
    unread(&["plan"]);
    unread(&["plan", "--json", "--detailed-exitcode"]);
    unread(&["apply", "--yes"]);
    unread(&["render", photo, "--size", "40x30", "--out", "."]);
    let thumb = |words: &[&str]| workdir.run(moto.command(THUMB), words);
    let plan = thumb(&["plan"]);
    assert!(plan.out.contains("Plan: 10 to create."), "the apply whose plan nobody read made nothing: {plan:?}");
    assert_eq!(thumb(&["apply", "--target", "queue", "--target", "buckets", "--yes"]).code, Some(0));
    unread(&["enqueue", "--bucket", "photos", "owl.jpg", "--size", "4x3", "--no-check"]);
    unread(&["work", "--drain", "--json"]);
    unread(&["destroy", "--yes"]);
    let plan = thumb(&["plan", "--destroy"]);
    assert!(plan.out.contains("Plan: 4 to destroy."), "{plan:?}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_is_0() {
    let workdir = Workdir::new("name = \"cats\"\n");
    for words in [
        &["plan", "--nonsense"][..],
        &["nonsense"],
        &["apply", "--json"],
        &["apply", "--wait", "--no-wait"],
        &["apply", "--replace", "queue"],
        &["plan", "--destroy", "--replace", "instance.1"],
        &["plan", "--destroy", "--out", "plan.json"],
        &["apply", "nowhere.json"],
        &["apply", "plan.json", "--target", "queue"],
        &["destroy", "--json"],
    ] {
        assert_eq!(workdir.run(alone(), words).code, Some(2), "{words:?}");
    }
    let help = workdir.run(alone(), &["--help"]);
    assert_eq!(help.code, Some(0));
    assert_eq!(workdir.run(alone(), &[]).out, help.out, "no command: the help");
    for command in
        ["plan", "apply", "destroy", "enqueue", "work", "render", "policy", "dlq", "logs", "completions", "man"]
    {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {help:?}");
        let own = workdir.run(alone(), &[command, "--help"]);
        assert_eq!(own.code, Some(0));
        assert_eq!(workdir.run(alone(), &["help", command]).out, own.out);
    }
    for shell in ["bash", "zsh", "fish", "nushell"] {
        let script = workdir.run(alone(), &["completions", shell]);
        assert!(script.code == Some(0) && script.out.contains("enqueue"), "{shell}: {script:?}");
    }
}

#[test]
fn a_plan_says_where_the_region_is_set() {
    let moto = Moto::start();
    let workdir = Workdir::new("name = \"cats\"\n");
    let profiles = workdir.path().join("aws");
    std::fs::write(&profiles, "[default]\nregion = us-east-1\n[profile work]\nregion = us-east-1\n").unwrap();
    let first_line = |region: &[(&str, &str)]| {
        let mut command = moto.command(THUMB);
        command.env_remove("AWS_REGION").env("AWS_CONFIG_FILE", &profiles).envs(region.iter().copied());
        let plan = workdir.run(command, &["plan", "--target", "queue"]);
        assert_eq!(plan.code, Some(0), "{plan:?}");
        plan.out.lines().next().unwrap_or_default().to_owned()
    };
    let line = |from: &str| format!("Stack cats   account {}   us-east-1 ({from})", moto::ACCOUNT);
    assert_eq!(first_line(&[]), line("profile default"));
    assert_eq!(first_line(&[("AWS_PROFILE", "work")]), line("profile work"));
    assert_eq!(first_line(&[("AWS_PROFILE", "work"), ("AWS_REGION", "us-east-1")]), line("AWS_REGION"));
    std::fs::write(workdir.path().join("thumb.toml"), "name = \"cats\"\nregion = \"us-east-1\"\n").unwrap();
    assert_eq!(first_line(&[("AWS_REGION", "eu-west-1")]), line("thumb.toml"));
    let json = workdir.run(moto.command(THUMB), &["plan", "--json"]);
    assert!(json.out.contains(r#""region":"us-east-1","region_from":"thumb.toml","#), "{json:?}");
}
