//! What to do about a file that cannot run on the instances: which file of the release to get, and how to name it. Pure.

use super::{Incompatible, NotRunnable};
use crate::config::image::{Arch, Glibc, Image};

/// What releases are linked against (scripts/dist): the oldest glibc that Rust supports (its platform support page).
pub(super) const OLDEST_GLIBC: Glibc = Glibc(2, 17);

impl NotRunnable {
    /// What to do about it: a line for a `hint:`.
    pub fn hint(&self) -> String {
        match self {
            Self::Empty | Self::CutShort | Self::Damaged(_) => {
                "copy or build it again; `binary` in [instance] names the file".to_owned()
            }
            // Most often thumb itself on a Mac, where no `binary` is set. The instances' CPU is not known here.
            Self::MachO | Self::Windows => format!(
                "{}. For arm64 instance types (t4g.micro) it is {}",
                release(Arch::X86_64),
                archive(Arch::Arm64)
            ),
            Self::Script
            | Self::Unknown
            | Self::Not64Bit
            | Self::BigEndian
            | Self::Machine(_)
            | Self::System(_)
            | Self::NotExecutable(_) => {
                format!("`binary` in [instance] must name a build of thumb for 64-bit Linux: {}", release(Arch::X86_64))
            }
        }
    }
}

impl Incompatible {
    /// What to do about it: a line for a `hint:`.
    pub fn hint(&self) -> String {
        match self {
            Self::Arch { built_for, instance } => format!(
                "choose {}, or {}",
                match built_for {
                    Arch::X86_64 => "an x86_64 instance type (t3.micro)",
                    Arch::Arm64 => "an arm64 instance type (t4g.micro)",
                },
                release(*instance)
            ),
            Self::Musl { built_for, .. } | Self::Interpreter { built_for, .. } => release(*built_for),
            Self::Glibc { built_for, needs, .. } => {
                let release = release(*built_for);
                match Image::NAMED.into_iter().filter(|image| image.glibc() >= Some(*needs)).min_by_key(Image::glibc) {
                    Some(image) => format!("choose image = \"{image}\", or {release}"),
                    None => release,
                }
            }
        }
    }
}

/// The release's archive that runs on every image: scripts/dist links it against a glibc older than theirs.
fn archive(arch: Arch) -> String {
    format!("thumb-{}-{}.tar.gz", env!("CARGO_PKG_VERSION"), target(arch))
}

/// Where to get a file that runs on the instances, how to name it in thumb.toml, and the command that builds one.
fn release(arch: Arch) -> String {
    let (archive, version) = (archive(arch), env!("CARGO_PKG_VERSION"));
    let from = concat!(env!("CARGO_PKG_REPOSITORY"), "/releases/tag/v");
    format!(
        "unpack {archive} of {from}{version} in this directory and name its file in thumb.toml: [instance] \
         binary = \"{}/thumb\". Without a release: cargo zigbuild --release --target {}.{OLDEST_GLIBC} (of \
         cargo-zigbuild) builds one",
        archive.trim_end_matches(".tar.gz"),
        target(arch)
    )
}

/// Rust's name of Linux with glibc on a CPU.
fn target(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-unknown-linux-gnu",
        Arch::Arm64 => "aarch64-unknown-linux-gnu",
    }
}
