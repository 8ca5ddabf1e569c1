//! User data: the script that turns a new instance into a worker. One Python program, the same for every image, with the
//! instance's parameters in it as one line of JSON, so that a plan can read them back and say what changed.
//!
//! Pure: parameters in, text out, and back. boot.py is the program, thumb-worker.service the systemd unit it installs.
//! The user data can be read by anyone on the instance: nothing in it is secret (EC2 user guide, "Run commands at
//! launch": "do not store sensitive data").

use std::error::Error;
use std::fmt;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The most bytes of user data EC2 takes, before base64 (EC2 API reference, RunInstances).
pub const MAX_BYTES: usize = 16_384;
/// The most bytes of the text: user data of others may be a bomb.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// What gzip's files begin with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How long systemd waits beyond the worker's grace period before it kills it, in seconds.
const STOP_MARGIN_S: u32 = 15;

const SCRIPT: &str = include_str!("boot.py");
const UNIT: &str = include_str!("thumb-worker.service");

/// Start and end of the script line with the parameters.
const PARAMS_BEFORE: &str = "PARAMS = json.loads(r'";
const PARAMS_AFTER: &str = "')";

/// What one stack's instances are told at their first boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    pub stack: String,
    pub region: String,
    /// The code bucket.
    pub bucket: String,
    /// The binary in it.
    pub key: String,
    /// The binary's SHA-256 in lower-case hexadecimal; anything else is not installed.
    pub sha256: String,
    /// A custom endpoint (AWS_ENDPOINT_URL) for the binary's download and for the worker; `None` for AWS.
    pub endpoint: Option<String>,
    /// The text of /etc/thumb/thumb.toml.
    pub config: String,
    /// The worker's share of the instance's memory, in percent; beyond it, it is killed and started again.
    pub memory_max_percent: u8,
    /// How long the worker may finish what runs when it is told to stop, in seconds.
    pub grace_s: u32,
}

/// User data that exceeds EC2's limit. Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub bytes: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        write!(f, "the user data has {bytes} bytes, {} more than EC2's {MAX_BYTES}", bytes.saturating_sub(MAX_BYTES))
    }
}

impl Error for TooLarge {}

/// The user data's text. The same parameters give the same text.
///
/// # Errors
/// It has more than [`MAX_BYTES`] when it is compressed, because of a long configuration.
pub fn render(params: &Params) -> Result<String, TooLarge> {
    // The parameters last: they may hold anything, also what looks like a placeholder.
    let text = compact(SCRIPT).replacen("@UNIT@", &unit(params), 1).replacen("@PARAMS@", &to_json(params), 1);
    let bytes = sent(&text).len();
    if bytes > MAX_BYTES || text.len() > MAX_TEXT_BYTES { Err(TooLarge { bytes }) } else { Ok(text) }
}

/// A text as EC2 takes it, in base64.
pub fn encode(text: &str) -> String {
    aws_smithy_types::base64::encode(sent(text))
}

/// A text that is too long for EC2 is compressed, which cloud-init sees and undoes ("User data formats": gzip compressed
/// content). Any other stays readable in EC2's console.
fn sent(text: &str) -> Vec<u8> {
    if text.len() <= MAX_BYTES { text.as_bytes().to_vec() } else { compressed(text) }
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("memory takes all bytes")
}

/// The text of user data as EC2 answers it, compressed or not; empty if it is neither, or too long.
pub fn decode(base64: &str) -> String {
    let bytes = aws_smithy_types::base64::decode(base64).unwrap_or_default();
    if !bytes.starts_with(&GZIP) {
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let mut text = String::new();
    let read = GzDecoder::new(&bytes[..]).take(MAX_TEXT_BYTES as u64 + 1).read_to_string(&mut text);
    if read.is_err() || text.len() > MAX_TEXT_BYTES { String::new() } else { text }
}

/// The parameters of a user data that [`render`] made, also of another version of thumb; `None` for anything else.
pub fn parse(user_data: &str) -> Option<Params> {
    let line = user_data.lines().find_map(|line| line.strip_prefix(PARAMS_BEFORE))?;
    serde_json::from_str(line.strip_suffix(PARAMS_AFTER)?).ok()
}

/// The stack of a user data; `None` if thumb did not write it. Works for any version of thumb, because it reads only the
/// stack's name.
pub fn stack(user_data: &str) -> Option<String> {
    let line = user_data.lines().find_map(|line| line.strip_prefix(PARAMS_BEFORE))?;
    let params: serde_json::Value = serde_json::from_str(line.strip_suffix(PARAMS_AFTER)?).ok()?;
    params.get("stack")?.as_str().map(str::to_owned)
}

/// The script without parameters: equal for all parameters, different for another version of the script or the unit.
pub fn without_params(user_data: &str, params: &Params) -> String {
    let script: Vec<&str> = user_data.lines().filter(|line| !line.starts_with(PARAMS_BEFORE)).collect();
    script.join("\n").replacen(&unit(params), &compact(UNIT), 1)
}

/// A Python program or a unit without its comments and blank lines, and without the functions' docstrings: an eighth of
/// [`MAX_BYTES`], which a long configuration needs. The program's own docstring stays, for whoever finds it there.
fn compact(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    let mut in_docstring = false;
    for line in text.lines() {
        let code = line.trim_start();
        let quotes = code.matches("\"\"\"").count();
        let begins = !in_docstring && code.len() < line.len() && code.starts_with("\"\"\"");
        let is_comment = code.starts_with('#') && !code.starts_with("#!");
        if !in_docstring && !begins && !is_comment && !code.is_empty() {
            compact.push_str(line);
            compact.push('\n');
        }
        in_docstring = match begins {
            true => quotes == 1,
            false => in_docstring && quotes == 0,
        };
    }
    compact
}

/// JSON that stands in a raw Python string in single quotes: ASCII only, no single quote. As it ends with a brace, it
/// does not end with a backslash either.
fn to_json(params: &Params) -> String {
    let json = serde_json::to_string(params).expect("strings and numbers are JSON");
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        // Neither kind occurs outside of a JSON string, where the escape means the character.
        if c.is_ascii() && c != '\'' {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe
}

/// The systemd unit, without single quotes, so that it too stands in a raw Python string.
fn unit(params: &Params) -> String {
    let mut environment = environment("AWS_REGION", &params.region);
    if let Some(endpoint) = &params.endpoint {
        environment.push('\n');
        environment.push_str(&super::user_data::environment("AWS_ENDPOINT_URL", endpoint));
    }
    compact(UNIT)
        .replace("@STOP_S@", &params.grace_s.saturating_add(STOP_MARGIN_S).to_string())
        .replace("@MEMORY_MAX@", &params.memory_max_percent.to_string())
        .replace("@ENVIRONMENT@", &environment)
}

/// An assignment as systemd reads it: C escapes within quotes, then specifiers (`man systemd.exec`, `Environment=`;
/// `man systemd.syntax`, "Quoting").
fn environment(name: &str, value: &str) -> String {
    let mut line = format!("Environment=\"{name}=");
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b':' => line.push(byte as char),
            b'%' => line.push_str("%%"),
            _ => line.push_str(&format!("\\x{byte:02x}")),
        }
    }
    line.push('"');
    line
}
