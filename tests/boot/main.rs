//! The boot, end to end: what `apply` launches is booted for real, and makes thumbnails. Run by hand, with a command
//! that boots an instance the emulator only pretends to run; docs/internals/boot.md says which and how.

#[path = "../support/moto.rs"]
mod moto;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use moto::Moto;
use sha2::{Digest, Sha256};

/// How long a boot may take to its first thumbnail, under software emulation on a busy machine.
const BOOT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_secs(1);

/// Between two rounds of requests, which keep the worker at work until the power button is pressed.
const ROUND: Duration = Duration::from_secs(5);
const MAX_ROUNDS: u32 = 100;

/// An emulator with a stack and photographs in it, under a name that the booted machine knows too.
struct Account {
    moto: Moto,
    endpoint: String,
    folder: PathBuf,
    instance: String,
    /// Sizes asked for so far: one for each round, and no two the same.
    rounds: u32,
}

impl Account {
    fn new(name: &str) -> Self {
        let moto = Moto::start();
        let host = std::env::var("THUMB_BOOT_HOST").expect("THUMB_BOOT_HOST names this machine for the booted one");
        let endpoint = format!("http://{host}:{}", moto.port());
        let folder = moto::target_dir().unwrap().join("boot").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "name = \"boot\"\nregion = \"{}\"\n[buckets]\nsources = [\"boot-photos\"]\n\
             [instance]\nimage = \"debian-12\"\n[worker]\ngrace = \"20s\"\n",
            moto::REGION
        );
        fs::write(folder.join("thumb.toml"), config).unwrap();

        let mut account = Self { moto, endpoint, folder, instance: String::new(), rounds: 0 };
        assert_eq!(account.request("PUT", "/boot-photos", b"").0, 200);
        for photo in photos() {
            let path = format!("/boot-photos/{}", photo.file_name().unwrap().to_str().unwrap());
            assert_eq!(account.request("PUT", &path, &fs::read(&photo).unwrap()).0, 200);
        }
        let applied = account.thumb(&["apply", "--yes", "--json"]);
        let outputs = applied.lines().last().expect("apply prints what there is");
        let outputs: serde_json::Value = serde_json::from_str(outputs).unwrap();
        account.instance = outputs["instances"][0]["id"].as_str().expect("an instance was launched").to_owned();
        account
    }

    fn thumb(&self, words: &[&str]) -> String {
        let mut command = self.moto.command(env!("CARGO_BIN_EXE_thumb"));
        command.args(words).env("AWS_ENDPOINT_URL", &self.endpoint).current_dir(&self.folder);
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "thumb {words:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// An unsigned request; its status and content type.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> (u16, Option<String>) {
        let answer = self.moto.request(method, path, body).unwrap();
        (answer.status, answer.header("Content-Type").map(str::to_owned))
    }

    /// Asks for one more thumbnail of each photograph.
    fn enqueue(&mut self) {
        self.rounds += 1;
        let size = size(self.rounds);
        self.thumb(&["enqueue", "--bucket", "boot-photos", "--prefix", "", "--size", &size]);
    }

    /// How many thumbnails have been asked for.
    fn wanted(&self) -> usize {
        photos().len() * self.rounds as usize
    }

    /// How many of them anybody may read, as JPEG.
    fn public_thumbnails(&self) -> usize {
        let found = |photo: &Path, round: u32| {
            let stem = photo.file_stem().unwrap().to_str().unwrap();
            let (status, kind) =
                self.request("GET", &format!("/boot-thumbnails-{}/{stem}-{}.jpg", moto::ACCOUNT, size(round)), b"");
            status == 200 && kind.as_deref() == Some("image/jpeg")
        };
        photos().iter().map(|photo| (1..=self.rounds).filter(|round| found(photo, *round)).count()).sum()
    }

    /// Which worker put a message into the dead-letter queue: the host's name and the process's ID. The message stays.
    fn rejected_by(&self) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(self.moto.endpoint())
                .region(Region::new(moto::REGION))
                .credentials_provider(Credentials::new("test", "test", None, None, "test"))
                .load()
                .await;
            let sqs = aws_sdk_sqs::Client::new(&sdk);
            let url = sqs.get_queue_url().queue_name("boot-dlq").send().await.unwrap().queue_url.unwrap();
            let call = sqs.receive_message().queue_url(url).visibility_timeout(0);
            let message = call.message_attribute_names("All").send().await.unwrap().messages?.into_iter().next()?;
            message.message_attributes?.remove("thumb-worker")?.string_value
        })
    }

    /// Boots the instance; the disk is kept under this name, to boot it again.
    fn boot(&self, run: &str, power_off_after: Option<Duration>) -> Machine {
        let command = std::env::var("THUMB_BOOT").expect("THUMB_BOOT is the command that boots an instance");
        let console = self.folder.join(format!("{run}.console"));
        // SIGINT must reach it, also where the tests run in the background of a shell, which has it ignored.
        let mut shell = Command::new("env");
        shell
            .args(["--default-signal=INT", "sh", "-c", &format!("exec {command}")])
            .env("INSTANCE_ID", &self.instance)
            .env("ENDPOINT", self.moto.endpoint())
            .env("CONSOLE", &console)
            .env("DISK", self.folder.join("disk"))
            .env("SECONDS_AT_MOST", BOOT.as_secs().to_string())
            .env("POWER_OFF_AFTER", power_off_after.map_or(String::new(), |after| after.as_secs().to_string()));
        Machine { process: shell.spawn().unwrap(), console, started: Instant::now() }
    }
}

fn photos() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let photos: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "jpg")).collect();
    assert!(!photos.is_empty());
    photos
}

/// The size that one round asks for.
fn size(round: u32) -> String {
    format!("{}x{}", 400 + round, 300)
}

/// A booted machine; dropping it is a power cut.
struct Machine {
    process: Child,
    console: PathBuf,
    started: Instant,
}

impl Machine {
    fn console(&self) -> String {
        fs::read(&self.console).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until something is so, and says when.
    fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            assert!(!self.is_off(), "the machine is off before: {what}; the console:\n{}", self.console());
            assert!(self.started.elapsed() < BOOT, "not in time: {what}; the console:\n{}", self.console());
            sleep(POLL);
        }
        println!("{:6.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    fn wait_for_console(&mut self, text: &str) {
        self.wait(text, |machine| machine.console().contains(text));
    }

    fn is_off(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SIGINT, as Ctrl-C: the command takes the machine with it. It may have ended already.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.process.wait();
    }
}

/// Boots, makes thumbnails, is switched off while it works, loses nothing, and goes on at its second boot.
#[test]
#[ignore = "boots a virtual machine: see docs/internals/boot.md"]
fn an_instance_makes_thumbnails_and_drains_when_it_is_switched_off() {
    let mut account = Account::new("drain");
    account.enqueue();
    account.thumb(&["enqueue", "--bucket", "boot-photos", "--keys", "missing.jpg", "--size", "10x10", "--no-check"]);

    let after = std::env::var("THUMB_BOOT_POWER_OFF_S").ok().and_then(|after| after.parse().ok()).unwrap_or(300);
    let mut first = account.boot("first", Some(Duration::from_secs(after)));
    first.wait_for_console("setting up the worker of the stack boot");
    first.wait_for_console("fetched ");
    first.wait("the first public thumbnail", |_| account.public_thumbnails() > 0);
    first.wait("what cannot be made is in the dead-letter queue", |_| account.rejected_by().is_some());
    let worker = account.rejected_by().unwrap();
    assert!(!worker.starts_with("unknown/"), "the sandbox hides the host's name: {worker}");
    while !first.is_off() {
        assert!(account.rounds < MAX_ROUNDS, "the power button was not pressed");
        account.enqueue();
        sleep(ROUND);
    }
    assert!(first.console().contains("reboot: Power down"), "the power button was not obeyed");
    let (made, wanted) = (account.public_thumbnails(), account.wanted());
    println!(
        "{:6.1} s  the machine is off, {made} of {wanted} thumbnails are made",
        first.started.elapsed().as_secs_f64()
    );

    account.enqueue();
    let mut second = account.boot("second", None);
    second.wait("all thumbnails, after a second boot", |_| account.public_thumbnails() == account.wanted());
    assert!(!second.console().contains("setting up the worker"), "user data ran a second time");
    let plan = account.thumb(&["plan", "--detailed-exitcode"]);
    assert!(plan.contains("No changes"), "{plan}");
}

/// What is in the bucket is not what was uploaded: it is not installed, and the console says why.
#[test]
#[ignore = "boots a virtual machine: see docs/internals/boot.md"]
fn a_corrupted_binary_is_refused_by_its_hash() {
    let account = Account::new("corrupted");
    let binary = fs::read(env!("CARGO_BIN_EXE_thumb")).unwrap();
    let sha256: String = Sha256::digest(&binary).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("/boot-code-{}/thumb-{sha256}", moto::ACCOUNT);
    assert_eq!(account.moto.request_as_owner("HEAD", &path, b"").unwrap().status, 200, "apply has uploaded it");
    assert_eq!(account.moto.request_as_owner("PUT", &path, b"\x7fELF, but another").unwrap().status, 200);

    let mut machine = account.boot("first", None);
    machine.wait_for_console("thumb: FAILED: the binary's SHA-256 is ");
    machine.wait_for_console(": not installed");
}

/// The unit's sandbox, judged by systemd without a boot: exposure at most 2.0 of 10.
#[test]
#[ignore = "needs systemd-analyze"]
fn the_units_exposure_is_low() {
    let unit =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stack/resources/instance/user_data/thumb-worker.service");
    let text = fs::read_to_string(unit).unwrap();
    let text = text.replace("@ENVIRONMENT@", "").replace("@STOP_S@", "40").replace("@MEMORY_MAX@", "80");
    let file = moto::target_dir().unwrap().join("thumb-worker.service");
    fs::write(&file, text).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--threshold=20"])
        .arg(&file)
        .output()
        .expect("systemd-analyze of systemd 250 or newer runs");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{}", told.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
