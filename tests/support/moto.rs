//! The AWS emulator [moto](https://github.com/getmoto/moto), started for a test or an example and ended with it.
//! Nothing of it is left behind: it ends when this process ends, however that happens.
//!
//! Included with `#[path]` by tests and by examples; the standard library only.

#![allow(dead_code, reason = "a test uses what it needs of it")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The version that is installed where none is found, and the oldest that is taken where one is.
const VERSION: [u32; 3] = [5, 2, 1];

/// How long moto may take until it answers: two seconds on an idle machine.
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How long one answer of the server may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The emulator's account, whatever the access key (moto's documentation, "Multi-account support").
pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";

/// The images that instances can be launched from: Ubuntu, Debian and Amazon Linux, both CPUs, two dates each.
const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/amis.json");

/// moto on a port that the system chooses. Standard input is the leash: at its end the server ends too, unless the
/// last word was `keep`. A second region's images are read afresh: moto alters what it has read for the first.
const SERVER: &str = r#"
import copy, os, sys, threading
def leash():
    if sys.stdin.buffer.read() != b"keep":
        os._exit(0)
threading.Thread(target=leash, daemon=True).start()
from moto.ec2.models import amis
from moto.server import main
images, load = copy.deepcopy(amis.AMIS), amis.AmiBackend._load_amis
def load_afresh(backend):
    amis.AMIS[:] = copy.deepcopy(images)
    load(backend)
amis.AmiBackend._load_amis = load_afresh
main(["-H", "127.0.0.1", "-p", "0"])
"#;

/// moto with the rules of tests/support/strict_moto around it; its options are the arguments.
const STRICT_SERVER: &str = r#"
import os, sys, threading
def leash():
    if sys.stdin.buffer.read() != b"keep":
        os._exit(0)
threading.Thread(target=leash, daemon=True).start()
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv.pop(1))
from strict_moto.server import main
main()
"#;

/// Where the package of the strict server is.
const STRICT_RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");

/// Settings of the strict emulator that take away what it otherwise takes its time for, as AWS does.
pub const AT_ONCE: [&str; 8] = [
    "ec2-instance-states.pending=0",
    "ec2-instance-states.terminate=0",
    "ec2-security-group-in-use.seconds=0",
    "iam-instance-profile-propagation.seconds=0",
    "sqs-new-dead-letter-queue.seconds=0",
    "sqs-deleted-queue-reads.p=0",
    "autoscaling-group.seconds=0",
    "s3-create-bucket.seconds=0",
];

/// A running emulator with nothing in it; dropping it ends it.
pub struct Moto {
    server: Child,
    address: SocketAddr,
    log: PathBuf,
    kept: bool,
}

impl Moto {
    /// Starts the emulator.
    ///
    /// # Panics
    /// As [`Moto::try_start`] fails; for tests.
    #[must_use]
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the emulator, and installs it first where there is none.
    ///
    /// # Errors
    /// Python is missing, or the installation or the start failed; the text says what to do.
    pub fn try_start() -> Result<Self, String> {
        Self::try_start_server(SERVER, &[])
    }

    /// Starts the emulator that refuses where AWS does, has Auto Scaling groups with instances, and delivers S3's events.
    /// `settings`: what is otherwise than by default, such as `ec2-instance-states.pending=0`.
    ///
    /// # Panics
    /// As [`Moto::try_start`] fails; for tests.
    #[must_use]
    pub fn start_strict(settings: &[&str]) -> Self {
        let mut args = vec![STRICT_RULES, "--port", "0"];
        args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        Self::try_start_server(STRICT_SERVER, &args).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Moto::start_strict`], without what AWS takes its time for.
    ///
    /// # Errors
    /// It does not start: a sentence.
    pub fn try_start_strict_at_once() -> Result<Self, String> {
        let mut args = vec![STRICT_RULES, "--port", "0"];
        args.extend(AT_ONCE.iter().flat_map(|setting| ["--set", setting]));
        Self::try_start_server(STRICT_SERVER, &args)
    }

    fn try_start_server(server: &str, args: &[&str]) -> Result<Self, String> {
        static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let python = PYTHON.get_or_init(python_with_moto).clone()?;
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = target_dir()?.join("moto").join(format!("{}-{number}.log", std::process::id()));
        let (out, err) = create(&log)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| format!("cannot write moto's log {}: {error}", log.display()))?;
        let server = Command::new(&python)
            .args(["-c", server])
            .args(args)
            .env("PYTHONUNBUFFERED", "1")
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
            .env("MOTO_ENABLE_AMI_VALIDATION", "true")
            .env("MOTO_ENABLE_KEYPAIR_VALIDATION", "true")
            .env("MOTO_AMIS_PATH", IMAGES)
            // The bucket is in the path, also where a host name has a dot.
            .env("S3_IGNORE_SUBDOMAIN_BUCKETNAME", "true")
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
        // From here on, whatever goes wrong, dropping it ends the server.
        let mut moto = Self { server, address: ([127, 0, 0, 1], 0).into(), log, kept: false };
        moto.address = moto.wait()?;
        Ok(moto)
    }

    /// Waits until the server says where it listens, and answers there.
    fn wait(&mut self) -> Result<SocketAddr, String> {
        let until = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.server.try_wait() {
                return Err(format!("moto ended at its start ({status}): {}", self.last_lines()));
            }
            if let Some(address) = self.listening().filter(answers) {
                return Ok(address);
            }
            if Instant::now() > until {
                return Err(format!("moto does not answer after {} s: {}", START.as_secs(), self.last_lines()));
            }
            sleep(POLL);
        }
    }

    /// The address from the line ` * Running on http://127.0.0.1:40123`.
    fn listening(&self) -> Option<SocketAddr> {
        let text = fs::read_to_string(&self.log).ok()?;
        let (whole, _) = text.split_once("Running on http://")?.1.split_once('\n')?;
        whole.trim().parse().ok()
    }

    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:…`, for AWS_ENDPOINT_URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What tells `thumb`, `aws` and every SDK to use the emulator.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// A program in an environment with the emulator and nothing of the developer's: no profile, proxy or colour.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        clean(&mut command);
        command.envs(self.env());
        command
    }

    /// A request to S3 as anybody on the internet may send it: unsigned, the bucket in the path.
    ///
    /// # Errors
    /// The connection broke, or the answer is not HTTP.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        request(&self.address, method, path, body, "")
    }

    /// A request to S3 as the account itself sends it. The emulator reads who signed, and does not check how.
    ///
    /// # Errors
    /// As [`Moto::request`].
    pub fn request_as_owner(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        let signed = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/s3/aws4_request, \
             SignedHeaders=host, Signature=0\r\n"
        );
        request(&self.address, method, path, body, &signed)
    }

    /// Leaves the server running behind this process's end; returns its process ID and its log.
    pub fn keep(mut self) -> (u32, PathBuf) {
        self.kept = true;
        if let Some(mut leash) = self.server.stdin.take() {
            // Were it gone already, there would be nothing to keep.
            let _ = leash.write_all(b"keep");
        }
        (self.server.id(), self.log.clone())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        if !self.kept {
            // It may have ended by itself; either way there is nothing left to do about it.
            let _ = self.server.kill();
            let _ = self.server.wait();
            let _ = fs::remove_file(&self.log);
        }
    }
}

/// Leaves a command with an environment that does not depend on who runs it.
pub fn clean(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "TMPDIR", "SYSTEMROOT"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // Files that are not there: neither ~/.aws nor an instance's role may answer.
    let nowhere = "/nonexistent";
    command
        .env("HOME", nowhere)
        .env("AWS_CONFIG_FILE", nowhere)
        .env("AWS_SHARED_CREDENTIALS_FILE", nowhere)
        .env("AWS_EC2_METADATA_DISABLED", "true");
}

fn answers(address: &SocketAddr) -> bool {
    request(address, "GET", "/moto-api/data.json", b"", "").is_ok_and(|answer| answer.status == 200)
}

/// What a server answered to a request.
pub struct Answer {
    pub status: u16,
    /// The header lines, as they came.
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; names do not depend on case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// One request of HTTP/1.0, whose answer ends with the connection.
fn request(address: &SocketAddr, method: &str, path: &str, body: &[u8], headers: &str) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect_timeout(address, ANSWER)?;
    connection.set_read_timeout(Some(ANSWER))?;
    write!(
        connection,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    connection.write_all(body)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let invalid = || std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not HTTP");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(invalid)?;
    let body = answer.split_off(end + 4);
    let text = String::from_utf8_lossy(&answer);
    let (line, headers) = text.split_once("\r\n").ok_or_else(invalid)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    Ok(Answer { status, headers: headers.to_owned(), body })
}

fn create(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::create(path)
}

/// Cargo's target directory (of the target, with `--target`): this executable is in `release/deps` or
/// `release/examples` below it.
pub fn target_dir() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| format!("cannot find the running executable: {error}"))?;
    exe.ancestors().nth(3).map(Path::to_owned).ok_or_else(|| format!("{} is not in a target directory", exe.display()))
}

/// A Python that has moto: that of `moto_server` on the PATH, or else of a virtual environment of our own.
fn python_with_moto() -> Result<PathBuf, String> {
    if let Some(python) = python_of_moto_server().filter(|python| has_moto(python)) {
        return Ok(python);
    }
    let python = PathBuf::from("python3");
    run(Command::new(&python).arg("--version")).map_err(|error| {
        format!("python3 is needed, to run the AWS emulator moto (Debian, Ubuntu: apt install python3-venv): {error}")
    })?;
    own_python(&python)
}

/// The interpreter in the first line of `moto_server`; `python3` where a shim or a wrapper stands for it.
fn python_of_moto_server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let script = std::env::split_paths(&path).map(|dir| dir.join("moto_server")).find(|file| file.is_file())?;
    let mut first = String::new();
    BufReader::new(File::open(script).ok()?).take(4096).read_line(&mut first).ok()?;
    let interpreter = first.trim_end().strip_prefix("#!").map(PathBuf::from);
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
    Some(interpreter.filter(named).unwrap_or_else(|| "python3".into()))
}

/// Whether this Python has a moto that starts, recent enough, of the same major version.
fn has_moto(python: &Path) -> bool {
    let Ok(version) = run(Command::new(python).args(["-c", "import moto.server; print(moto.__version__)"])) else {
        return false;
    };
    let numbers: Vec<u32> = version.trim().split('.').map_while(|number| number.parse().ok()).collect();
    numbers.first() == Some(&VERSION[0]) && numbers.as_slice() >= VERSION.as_slice()
}

/// The Python of target/moto/venv, made once; a lock keeps test processes side by side from making it twice.
fn own_python(system: &Path) -> Result<PathBuf, String> {
    let directory = target_dir()?.join("moto");
    let venv = directory.join("venv");
    let python = venv.join("bin/python");
    let lock = create(&directory.join("lock"))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| format!("cannot lock {}: {error}", directory.display()))?;
    if !has_moto(&python) {
        let version = VERSION.map(|number| number.to_string()).join(".");
        eprintln!("installing the AWS emulator moto {version} in {}, once", venv.display());
        if venv.exists() {
            fs::remove_dir_all(&venv).map_err(|error| format!("cannot remove {}: {error}", venv.display()))?;
        }
        run(Command::new(system).args(["-m", "venv"]).arg(&venv)).map_err(|error| {
            format!("cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv): {error}")
        })?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("moto[server]=={version}")))
        .map_err(|error| {
            format!("cannot install moto {version} from PyPI (or put a moto_server on the PATH): {error}")
        })?;
    }
    drop(lock);
    Ok(python)
}

/// Runs a command to its end and returns its output; the error is its last words.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = if output.stderr.is_empty() { output.stdout } else { output.stderr };
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&told).trim()))
}
