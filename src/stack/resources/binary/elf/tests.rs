use super::hint::OLDEST_GLIBC;
use super::*;

/// A small 64-bit little-endian ELF file, written by hand: header, program headers, then the data they point to.
/// The whole file is one segment loaded at [`BASE`].
struct Sample {
    kind: u16,
    machine: u16,
    interpreter: Option<&'static str>,
    flags_1: i64,
    /// Needed versions, all of one library.
    versions: &'static [&'static str],
}

/// Not zero, so that an address is never taken for an offset in the file.
const BASE: u64 = 0x40_0000;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

impl Default for Sample {
    fn default() -> Self {
        Self {
            kind: abi::ET_DYN,
            machine: abi::EM_X86_64,
            interpreter: Some(LOADER),
            flags_1: abi::DF_1_PIE,
            versions: &["GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9"],
        }
    }
}

impl Sample {
    fn bytes(&self) -> Vec<u8> {
        const HEADERS: usize = 64 + 3 * 56;
        let mut tail = Vec::new();
        let mut put = |bytes: &[u8]| {
            let at = HEADERS + tail.len();
            tail.extend_from_slice(bytes);
            (at as u64, bytes.len() as u64)
        };

        let path = self.interpreter.map(|path| put(format!("{path}\0").as_bytes()));
        let mut names = vec![0];
        let mut needed = Vec::new();
        for (i, version) in self.versions.iter().enumerate() {
            let next = if i + 1 < self.versions.len() { 16 } else { 0 };
            needed.extend([0; 8]); // hash, flags, index
            needed.extend((names.len() as u32).to_le_bytes());
            needed.extend(u32::to_le_bytes(next));
            names.extend(format!("{version}\0").as_bytes());
        }
        // Verneed: version 1, count of versions, library's name, offset of the versions, of the next library.
        let mut library = vec![1, 0];
        library.extend((self.versions.len() as u16).to_le_bytes());
        library.extend([0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]);
        library.extend(needed);
        let (strings, strings_bytes) = put(&names);
        let (versions, _) = put(&library);

        let mut entries = vec![(abi::DT_FLAGS_1, self.flags_1 as u64)];
        if !self.versions.is_empty() {
            entries.extend([
                (abi::DT_STRTAB, BASE + strings),
                (abi::DT_STRSZ, strings_bytes),
                (abi::DT_VERNEED, BASE + versions),
                (abi::DT_VERNEEDNUM, 1),
            ]);
        }
        entries.push((abi::DT_NULL, 0));
        let dynamic: Vec<u8> =
            entries.iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()]).flatten().collect();
        let dynamic = put(&dynamic);
        let length = (HEADERS + tail.len()) as u64;

        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        for word in [BASE, 64, 0] {
            file.extend(word.to_le_bytes()); // entry, program headers, section headers
        }
        file.extend([0; 4]);
        for half in [64u16, 56, 3, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let (interp, path) = path.map_or((abi::PT_NULL, (0, 0)), |at| (abi::PT_INTERP, at));
        for (kind, (offset, size)) in [(abi::PT_LOAD, (0, length)), (interp, path), (abi::PT_DYNAMIC, dynamic)] {
            file.extend(kind.to_le_bytes());
            file.extend(4u32.to_le_bytes());
            for word in [offset, BASE + offset, BASE + offset, size, size, 8] {
                file.extend(word.to_le_bytes());
            }
        }
        assert_eq!(file.len(), HEADERS);
        file.extend(tail);
        file
    }

    fn inspect(&self) -> Result<Executable, NotRunnable> {
        inspect(&self.bytes())
    }
}

fn executable(arch: Arch, interpreter: Option<&str>, glibc: Option<Glibc>) -> Executable {
    Executable { arch, interpreter: interpreter.map(str::to_owned), glibc }
}

#[test]
fn the_highest_needed_glibc_is_found() {
    assert_eq!(Sample::default().inspect(), Ok(executable(Arch::X86_64, Some(LOADER), Some(Glibc(2, 34)))));
}

#[test]
fn a_static_executable_needs_neither_loader_nor_glibc() {
    let sample = Sample { interpreter: None, versions: &[], ..Sample::default() };
    assert_eq!(sample.inspect(), Ok(executable(Arch::X86_64, None, None)));
    let sample = Sample { kind: abi::ET_EXEC, flags_1: 0, ..sample };
    assert_eq!(sample.inspect(), Ok(executable(Arch::X86_64, None, None)));
}

#[test]
fn versions_of_other_libraries_do_not_count() {
    let sample = Sample { versions: &["GCC_4.2.0", "GLIBC_PRIVATE", "OPENSSL_3.0.0"], ..Sample::default() };
    assert_eq!(sample.inspect().map(|found| found.glibc), Ok(None));
}

#[test]
fn packed_relocations_need_the_glibc_that_knows_them() {
    let sample = Sample { versions: &["GLIBC_2.34", "GLIBC_ABI_DT_RELR"], ..Sample::default() };
    assert_eq!(sample.inspect().map(|found| found.glibc), Ok(Some(Glibc(2, 36))));
}

#[test]
fn what_is_no_executable_is_refused_by_its_kind() {
    let refused = |sample: Sample| sample.inspect().unwrap_err().to_string();
    assert_eq!(
        refused(Sample { interpreter: None, flags_1: 0, ..Sample::default() }),
        "it is a shared library, not an executable"
    );
    assert_eq!(refused(Sample { kind: abi::ET_REL, ..Sample::default() }), "it is an object file, not an executable");
    assert_eq!(refused(Sample { kind: abi::ET_CORE, ..Sample::default() }), "it is a core dump, not an executable");
    assert_eq!(
        refused(Sample { machine: abi::EM_RISCV, ..Sample::default() }),
        "it is built for RISC-V, but instances are x86_64 or arm64"
    );
}

#[test]
fn the_identification_bytes_are_judged() {
    let with = |at: usize, byte: u8| {
        let mut bytes = Sample::default().bytes();
        bytes[at] = byte;
        inspect(&bytes)
    };
    assert_eq!(with(abi::EI_CLASS, abi::ELFCLASS32), Err(NotRunnable::Not64Bit));
    assert_eq!(with(abi::EI_DATA, abi::ELFDATA2MSB), Err(NotRunnable::BigEndian));
    assert_eq!(with(abi::EI_OSABI, abi::ELFOSABI_FREEBSD), Err(NotRunnable::System(abi::ELFOSABI_FREEBSD)));
    assert!(with(abi::EI_OSABI, abi::ELFOSABI_LINUX).is_ok());
    assert!(matches!(with(abi::EI_VERSION, 9), Err(NotRunnable::Damaged(_))));
}

#[test]
fn other_formats_are_named() {
    assert_eq!(inspect(b""), Err(NotRunnable::Empty));
    assert_eq!(inspect(b"#!/bin/sh\n"), Err(NotRunnable::Script));
    assert_eq!(inspect(b"MZ\x90\0"), Err(NotRunnable::Windows));
    assert_eq!(inspect(&[0xcf, 0xfa, 0xed, 0xfe, 0x0c]), Err(NotRunnable::MachO));
    assert_eq!(inspect(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]), Err(NotRunnable::MachO));
    assert_eq!(inspect(b"\x89PNG"), Err(NotRunnable::Unknown));
    assert_eq!(inspect(b"\x7fELF"), Err(NotRunnable::CutShort));
}

#[test]
fn a_misfit_is_named_with_what_to_do() {
    let refused = |executable: &Executable, image: Image| {
        let misfit = check(executable, Arch::X86_64, &image).unwrap_err();
        (misfit.to_string(), misfit.hint())
    };

    let (what, hint) = refused(&executable(Arch::Arm64, None, None), Image::Debian12);
    assert_eq!(what, "it is built for arm64, but the instance type is x86_64");
    assert!(
        hint.starts_with("choose an arm64 instance type (t4g.micro), or unpack thumb-") && hint.contains("x86_64"),
        "{hint}"
    );

    let (what, hint) = refused(&executable(Arch::X86_64, Some(LOADER), Some(Glibc(2, 39))), Image::AmazonLinux2023);
    assert_eq!(what, "it needs glibc 2.39, but al2023 has 2.34");
    assert!(hint.starts_with("choose image = \"ubuntu-24.04\", or unpack thumb-"), "{hint}");

    let (what, hint) = refused(&executable(Arch::X86_64, Some(LOADER), Some(Glibc(2, 99))), Image::Ubuntu2404);
    assert_eq!(what, "it needs glibc 2.99, but ubuntu-24.04 has 2.39");
    assert!(hint.starts_with("unpack thumb-"), "{hint}");

    let musl = "/lib/ld-musl-x86_64.so.1";
    let (what, hint) = refused(&executable(Arch::X86_64, Some(musl), None), Image::Ubuntu2204);
    assert_eq!(what, format!("it needs the musl C library ({musl}), which ubuntu-22.04 does not have"));
    assert!(hint.starts_with("unpack thumb-") && hint.contains("x86_64-unknown-linux-gnu"), "{hint}");

    let nix = "/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2";
    let (what, _) = refused(&executable(Arch::X86_64, Some(nix), Some(Glibc(2, 17))), Image::Ubuntu2204);
    assert_eq!(what, format!("it needs the loader {nix}, which ubuntu-22.04 does not have"));
}

#[test]
fn a_mac_is_told_which_release_to_get_and_how_to_name_it() {
    let version = env!("CARGO_PKG_VERSION");
    let top = format!("thumb-{version}-x86_64-unknown-linux-gnu");
    let hint = inspect(&[0xcf, 0xfa, 0xed, 0xfe, 0x0c]).unwrap_err().hint();
    let says = [
        format!("unpack {top}.tar.gz of https://"),
        format!("/releases/tag/v{version} "),
        format!("[instance] binary = \"{top}/thumb\""),
        "cargo zigbuild --release --target x86_64-unknown-linux-gnu.2.17".to_owned(),
        format!("thumb-{version}-aarch64-unknown-linux-gnu.tar.gz"),
    ];
    for part in says {
        assert!(hint.contains(&part), "{part:?} is missing: {hint}");
    }
}

#[test]
fn what_is_named_for_download_runs_on_every_image() {
    for image in Image::NAMED {
        assert!(image.glibc() >= Some(OLDEST_GLIBC), "{image}");
    }
}

#[test]
fn what_fits_passes() {
    let exact = executable(Arch::X86_64, Some(LOADER), Some(Glibc(2, 34)));
    for image in Image::NAMED {
        assert_eq!(check(&exact, Arch::X86_64, &image), Ok(()));
        assert_eq!(check(&executable(Arch::Arm64, None, None), Arch::Arm64, &image), Ok(()));
    }
    // Of an AMI by its ID only the CPU is known.
    let unusual = executable(Arch::X86_64, Some("/nix/store/abc/ld.so"), Some(Glibc(2, 99)));
    let ami = Image::Ami("ami-0123456789abcdef0".into());
    assert_eq!(check(&unusual, Arch::X86_64, &ami), Ok(()));
    assert!(check(&unusual, Arch::Arm64, &ami).is_err());
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let whole = Sample::default().bytes();
    for length in 0..whole.len() {
        assert!(inspect(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn no_damage_makes_it_panic() {
    let whole = Sample::default().bytes();
    for at in 0..whole.len() {
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            let _ = inspect(&damaged);
        }
    }
}

#[cfg(target_os = "linux")]
mod a_real_binary {
    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn is_runnable_here() {
        let found = inspect(&own()).unwrap();
        assert_eq!(found.arch.as_str().replace("arm64", "aarch64"), std::env::consts::ARCH);
        if cfg!(target_env = "gnu") {
            assert_eq!(found.interpreter.as_deref(), Some(glibc_loader(found.arch)));
            // The oldest glibc that Rust supports is 2.17 (platform support, "x86_64-unknown-linux-gnu").
            assert!(found.glibc >= Some(Glibc(2, 17)), "{:?}", found.glibc);
        }
    }

    #[test]
    fn is_refused_when_cut_and_never_makes_it_panic() {
        let mut bytes = own();
        for length in (0..4096).chain((4096..bytes.len()).step_by(bytes.len() / 500)) {
            assert!(inspect(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        for at in 0..4096 {
            let byte = std::mem::replace(&mut bytes[at], 0xff);
            let _ = inspect(&bytes);
            bytes[at] = byte;
        }
    }
}
