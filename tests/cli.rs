//! The program as a process: what a user types, sees and gets back, against the emulator.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/seam.rs"]
mod seam;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use moto::Moto;

const THUMB: &str = env!("CARGO_BIN_EXE_thumb");

/// A directory with a thumb.toml.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(config: &str) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(desk.path().join("thumb.toml"), config).unwrap();
        desk
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, mut command: Command, words: &[&str]) -> Ran {
        let output = command.current_dir(self.path()).args(words).stdin(Stdio::null()).output().unwrap();
        Ran::from(output)
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
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
    let desk = Desk::new("name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n");
    let thumb = |words: &[&str]| desk.run(moto.command(THUMB), words);

    let plan = thumb(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(2), "{plan:?}");
    assert!(plan.out.contains("\nPlan: 9 to add, 0 to change, 0 to destroy.\n"), "{plan:?}");
    assert!(plan.out.contains("Note: No key_pair is set in [instance]: nobody can log in"), "{plan:?}");
    assert!(!plan.out.contains('\x1b'), "colour is for terminals");

    let refused = thumb(&["apply"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("there is no terminal to ask at\n  hint: say `thumb apply --yes`"), "{refused:?}");

    let apply = thumb(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(0), "{apply:?}");
    assert!(apply.out.contains("Apply complete: 9 added, 0 changed, 0 destroyed."), "{apply:?}");
    assert!(apply.out.contains("no SSH: it was launched without a key pair"), "{apply:?}");
    assert!(apply.err.contains("queue: created after"), "{apply:?}");

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
    assert!(destroy.out.contains("Destroy complete: 9 destroyed."), "{destroy:?}");
    let nothing = thumb(&["destroy"]);
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert!(nothing.out.ends_with("No changes. There is nothing of this stack to destroy.\n"), "{nothing:?}");
}

/// `thumb` at a terminal of its own, where this line is typed: its exit code, and what stands on the screen.
fn at_a_terminal(desk: &Desk, moto: &Moto, words: &[&str], line: &str) -> (Option<i32>, String) {
    const TERMINAL: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
os.write(terminal, sys.argv[1].encode() + b"\n")
try:
    while chunk := os.read(terminal, 4096):
        sys.stdout.buffer.write(chunk)
except OSError:
    pass  # the child has ended
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;
    let mut python = moto.command("python3");
    python.args(["-c", TERMINAL, line, THUMB]).env("TERM", "xterm");
    let ran = desk.run(python, words);
    (ran.code, ran.out)
}

#[test]
fn destroy_wants_the_stacks_name_where_something_would_be_lost() {
    let moto = Moto::start();
    let desk = Desk::new("name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n");
    let thumb = |words: &[&str]| desk.run(moto.command(THUMB), words);
    assert_eq!(thumb(&["apply", "--target", "queue", "--target", "buckets", "--yes"]).code, Some(0));
    assert_eq!(moto.request_as_owner("PUT", "/cats-thumbnails-123456789012/owl.jpg", b"owl").unwrap().status, 200);
    let words = ["enqueue", "--bucket", "photos", "--keys", "owl.jpg", "canyon.jpg", "--size", "10x10"];
    assert_eq!(thumb(&words).code, Some(0));
    // A worker's report is thumb's own; what else is in the code bucket is not.
    for key in ["workers/i-0123456789abcdef0.json", "thumb-drive.bin", "notes.txt"] {
        let path = format!("/cats-code-123456789012/{key}");
        assert_eq!(moto.request_as_owner("PUT", &path, b"x").unwrap().status, 200);
    }

    let (code, screen) = at_a_terminal(&desk, &moto, &["destroy"], "yes");
    let question = "This loses 1 object in the thumbnails bucket, 2 objects in the code bucket that thumb did not put \
                    there and about 2 messages in the queue, for good.";
    assert!(screen.contains(question), "{screen}");
    assert!(screen.contains("nothing was changed: the answer was no"), "{screen}");
    assert_eq!(code, Some(1));
    assert_eq!(thumb(&["plan", "--target", "queue", "--target", "buckets", "--detailed-exitcode"]).code, Some(0));

    let (code, screen) = at_a_terminal(&desk, &moto, &["destroy"], "cats");
    assert!(screen.contains("Destroy complete: 4 destroyed."), "{screen}");
    assert_eq!(code, Some(0));
}

#[test]
fn apply_asks_and_takes_yes_for_an_answer() {
    let moto = Moto::start();
    let desk = Desk::new("name = \"cats\"\n");
    let (code, screen) = at_a_terminal(&desk, &moto, &["apply", "--target", "queue"], "y");
    assert!(screen.contains("Do you want to perform these actions?"), "{screen}");
    assert_eq!(code, Some(1), "{screen}");
    let (code, screen) = at_a_terminal(&desk, &moto, &["apply", "--target", "queue"], "yes");
    assert!(screen.contains("Apply complete: 2 added, 0 changed, 0 destroyed."), "{screen}");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("\x1b[32m  +"), "a terminal has colours: {screen:?}");
}

#[test]
fn what_is_nobodys_is_left_alone_until_it_is_adopted() {
    let moto = Moto::start();
    let desk = Desk::new("name = \"cats\"\n");
    let thumb = |words: &[&str]| desk.run(moto.command(THUMB), words);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = thumb::aws::Clients::from_sdk(seam::Seam::new().sdk(&moto.endpoint()).await).unwrap();
        clients.sqs.create_queue().queue_name("cats").send().await.unwrap();
    });
    for words in [&["plan"][..], &["apply", "--yes"]] {
        let refused = thumb(words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.out.contains("  ! queue cats\n      # the queue cats exists without the tag"), "{refused:?}");
        assert!(refused.err.contains("blocked, and left alone: queue"), "{refused:?}");
    }
    // A destroy leaves it alone, which is no failure; the plan of one says the same.
    for words in [&["destroy", "--yes"][..], &["plan", "--destroy"], &["plan", "--destroy", "--detailed-exitcode"]] {
        let left = thumb(words);
        assert_eq!(left.code, Some(0), "there is nothing else to destroy: {left:?}");
        assert!(left.out.contains("  ! queue cats\n      # the queue cats exists without the tag"), "{left:?}");
    }
    let both = thumb(&["plan", "--destroy", "--adopt", "queue"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    assert!(both.err.contains("a destroy takes nothing over"), "{both:?}");

    let adopted = thumb(&["plan", "--target", "queue", "--adopt", "queue"]);
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    assert!(adopted.out.contains("  ~ queue cats\n"), "{adopted:?}");
    assert!(adopted.out.contains("tags.thumb:stack:"), "{adopted:?}");
    assert!(adopted.out.contains("Plan: 1 to add, 1 to change, 0 to destroy."), "{adopted:?}");
    assert_eq!(thumb(&["apply", "--target", "queue", "--adopt", "queue", "--yes"]).code, Some(0));
    assert_eq!(thumb(&["plan", "--target", "queue", "--detailed-exitcode"]).code, Some(0));
    assert_eq!(thumb(&["plan", "--destroy", "--detailed-exitcode"]).code, Some(2));
    let released = thumb(&["destroy", "--yes"]);
    assert_eq!(released.code, Some(0), "{released:?}");
    assert!(released.out.contains("  ~ queue cats\n      # adopted: released, not deleted"), "{released:?}");
    assert!(released.err.contains("queue: released after"), "{released:?}");
    assert!(released.out.contains("Destroy complete: 1 destroyed, 1 released."), "{released:?}");

    let nothing = thumb(&["plan", "--adopt", "security-group"]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.err.contains("cannot adopt security-group: there is nothing of that name"), "{nothing:?}");
}

#[test]
fn a_target_brings_what_it_needs_and_nothing_else() {
    let moto = Moto::start();
    let desk = Desk::new("name = \"cats\"\n");
    let thumb = |words: &[&str]| desk.run(moto.command(THUMB), words);
    let queue = thumb(&["apply", "--target", "queue", "--yes"]);
    assert!(queue.out.contains("Apply complete: 2 added"), "{queue:?}");
    let code = thumb(&["apply", "--target=code", "--yes"]);
    assert!(code.out.contains("Apply complete: 2 added"), "{code:?}");
    let unknown = thumb(&["plan", "--target", "queues"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("queue, buckets, code, profile, security-group, instance"), "{unknown:?}");
}

#[test]
fn every_example_is_planned() {
    let moto = Moto::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = thumb::aws::Clients::from_sdk(seam::Seam::new().sdk(&moto.endpoint()).await).unwrap();
        clients.ec2.create_key_pair().key_name("colink-cmsc389l").send().await.unwrap();
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let tomls = examples.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let files: Vec<PathBuf> = tomls.chain([root.join("thumb.toml")]).collect();
    assert!(files.len() >= 5);
    for file in files {
        let desk = Desk::new("");
        let plan = desk.run(moto.command(THUMB), &["--config", file.to_str().unwrap(), "plan"]);
        assert_eq!(plan.code, Some(0), "{}: {plan:?}", file.display());
    }
}

#[test]
fn what_does_not_exist_blocks_the_plan_with_what_to_do() {
    let moto = Moto::start();
    for (line, expected) in [
        ("key_pair = \"nobodys\"", "aws ec2 create-key-pair --key-name nobodys"),
        ("image = \"ami-0123456789abcdef0\"", "has no image ami-0123456789abcdef0"),
        ("type = \"t3.gigantic\"", "has no instance type t3.gigantic"),
        ("type = \"t4g.micro\"", "arm64"),
        ("subnet = \"subnet-0123456789abcdef0\"", "the subnet subnet-0123456789abcdef0 does not exist"),
        ("binary = \"thumb.toml\"", "cannot run on an instance"),
        ("binary = \"no-such-file\"", "cannot read the executable no-such-file"),
    ] {
        let desk = Desk::new(&format!("name = \"cats\"\n[instance]\n{line}\n"));
        let plan = desk.run(moto.command(THUMB), &["plan"]);
        assert_eq!(plan.code, Some(1), "{line}: {plan:?}");
        // The text is wrapped to the terminal's width.
        let text = plan.out.replace("\n      #", "");
        assert!(text.contains(expected), "{line}: {plan:?}");
        let apply = desk.run(moto.command(THUMB), &["apply", "--yes"]);
        assert_eq!(apply.code, Some(1));
        assert!(apply.err.contains("error: blocked, and left alone:"), "{line}: {apply:?}");
        assert!(!apply.err.contains("creating"), "nothing half made: {apply:?}");
    }
}

#[test]
fn a_wrong_account_is_refused_before_anything_else() {
    let moto = Moto::start();
    let desk = Desk::new("name = \"cats\"\naccount = \"111111111111\"\n");
    let ran = desk.run(moto.command(THUMB), &["apply", "--yes"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "error: these credentials are for the account 123456789012, but thumb.toml says account = \"111111111111\"\n  \
         hint: choose other credentials (AWS_PROFILE), or change `account` in thumb.toml\n"
    );
}

#[test]
fn without_credentials_it_says_how_to_give_some() {
    let desk = Desk::new("name = \"cats\"\nregion = \"us-east-1\"\n");
    for command in ["plan", "apply", "destroy"] {
        let ran = desk.run(alone(), &[command]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("hint: give AWS credentials the ordinary way: AWS_PROFILE"), "{ran:?}");
    }
}

#[test]
fn without_a_region_it_says_where_to_set_one() {
    let desk = Desk::new("name = \"cats\"\n");
    let ran = desk.run(alone(), &["plan"]);
    assert_eq!(
        (ran.code, ran.err.starts_with("error: no AWS region is set\n  hint: set `region`")),
        (Some(1), true),
        "{ran:?}"
    );
}

#[test]
fn without_a_network_it_gives_up_and_says_so() {
    let desk = Desk::new("name = \"cats\"\nregion = \"us-east-1\"\n");
    let mut command = alone();
    // Nothing listens on port 1.
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let ran = desk.run(command, &["plan"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("hint: is the network up"), "{ran:?}");
}

#[test]
fn mistakes_in_the_file_are_all_named_and_nothing_is_tried() {
    let desk = Desk::new("nam = \"cats\"\n[queue]\nmax_receives = \"three\"\n");
    let ran = desk.run(alone(), &["apply", "--yes"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("error: thumb.toml:")).count(), 3, "{ran:?}");
    let missing = desk.run(alone(), &["--config", "nowhere.toml", "plan"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.starts_with("error: cannot read nowhere.toml\n  caused by: No such file"), "{missing:?}");
}

#[test]
fn a_policy_is_printed_without_credentials_and_says_what_it_does_not_know() {
    let desk = Desk::new("name = \"cats\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n");
    let both = desk.run(alone(), &["policy", "apply", "destroy"]);
    assert_eq!(both.code, Some(0), "{both:?}");
    assert!(
        both.err.contains(" characters, and a managed policy may have 6144: print one for each command"),
        "{both:?}"
    );
    let ran = desk.run(alone(), &["policy", "apply"]);
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    let policy: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    assert!(ran.out.contains("\"arn:aws:sqs:eu-west-1:123456789012:cats-dlq\""), "{ran:?}");

    let desk = Desk::new("name = \"cats\"\n");
    let ran = desk.run(alone(), &["policy", "enqueue"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("\"arn:aws:sqs:*:*:cats\""), "{ran:?}");
    assert!(ran.err.starts_with("note: no AWS region is set: the policy allows every region\nnote: "), "{ran:?}");
    assert!(ran.err.ends_with(": the policy has * for it (set `account` in thumb.toml)\n"), "{ran:?}");

    let moto = Moto::start();
    let ran = desk.run(moto.command(THUMB), &["policy", "enqueue"]);
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    assert!(ran.out.contains("\"arn:aws:sqs:us-east-1:123456789012:cats\""), "{ran:?}");
    for words in [&["policy"][..], &["policy", "fly"]] {
        assert_eq!(desk.run(alone(), words).code, Some(2), "{words:?}");
    }
}

#[test]
fn a_detailed_exit_code_is_2_for_changes_only() {
    let wrong = Desk::new("nam = \"cats\"\n");
    let right = Desk::new("name = \"cats\"\n");
    for (desk, words) in [
        (&wrong, &["plan"][..]),
        (&right, &["--config", "nowhere.toml", "plan"]),
        (&right, &["plan", "--nonsense"]),
        (&right, &["plan", "--target", "nonsense"]),
        (&right, &["plan", "--target"]),
    ] {
        assert_eq!(desk.run(alone(), words).code, Some(2), "{words:?}");
        let detailed = [&words[..], &["--detailed-exitcode"]].concat();
        let ran = desk.run(alone(), &detailed);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.starts_with("error: "), "{ran:?}");
    }
}

/// `thumb … | head`, where head has left already.
#[test]
fn a_reader_that_has_left_ends_every_command_quietly_and_changes_nothing() {
    let moto = Moto::start();
    let desk = Desk::new("name = \"cats\"\n[buckets]\nsources = [\"photos\"]\n");
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos/life.jpg");
    let photo = photo.to_str().unwrap();
    let unread = |words: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = moto.command(THUMB);
        let ran = command.current_dir(desk.path()).args(words).stdin(Stdio::null()).stdout(writer).output().unwrap();
        let ran = Ran::from(ran);
        assert_eq!((ran.code, &*ran.err), (Some(141), ""), "{words:?}");
    };
    unread(&["--help"]);
    unread(&["--version"]);
    unread(&["plan"]);
    unread(&["plan", "--json", "--detailed-exitcode"]);
    unread(&["apply", "--yes"]);
    unread(&["render", photo, "--size", "40x30", "--out", "."]);
    let thumb = |words: &[&str]| desk.run(moto.command(THUMB), words);
    let plan = thumb(&["plan"]);
    assert!(plan.out.contains("Plan: 9 to add"), "the apply whose plan nobody read made nothing: {plan:?}");
    assert_eq!(thumb(&["apply", "--target", "queue", "--target", "buckets", "--yes"]).code, Some(0));
    unread(&["enqueue", "--bucket", "photos", "owl.jpg", "--size", "4x3"]);
    unread(&["work", "--drain", "--json"]);
    unread(&["destroy", "--yes"]);
    let plan = thumb(&["plan", "--destroy"]);
    assert!(plan.out.contains("Plan: 0 to add, 0 to change, 4 to destroy."), "{plan:?}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_is_0() {
    let desk = Desk::new("name = \"cats\"\n");
    for words in [
        &["plan", "--nonsense"][..],
        &["nonsense"],
        &[],
        &["apply", "--json"],
        &["apply", "--wait", "--no-wait"],
        &["apply", "--replace", "queue"],
        &["plan", "--destroy", "--replace", "instance.1"],
    ] {
        assert_eq!(desk.run(alone(), words).code, Some(2), "{words:?}");
    }
    let help = desk.run(alone(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["plan", "apply", "destroy", "enqueue", "work", "render", "policy"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {help:?}");
        assert_eq!(desk.run(alone(), &[command, "--help"]).code, Some(0));
    }
}
