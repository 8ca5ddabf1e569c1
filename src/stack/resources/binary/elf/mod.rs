//! Checks whether a file can run on an instance: a Linux executable for the instance's CPU, with a loader and a C library
//! that the image has. A binary that fails here would fail on the instance, minutes later and out of sight.
//!
//! Pure: bytes in, facts or a typed refusal out. It reads what the kernel and the dynamic loader read (program
//! headers and the dynamic segment, never section names), so a stripped binary is judged like any other.
//! Sources: System V ABI (gABI) chapters 4 and 5; Linux Standard Base 5.0, "Symbol Versioning"; `man 5 elf`.

mod hint;

use std::error::Error;
use std::fmt;

use elf::ElfBytes;
use elf::abi;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::gnu_symver::VerNeedIterator;
use elf::parse::ParseError;
use elf::segment::ProgramHeader;
use elf::string_table::StringTable;

use crate::config::image::{Arch, Glibc, Image};

/// The most program headers, and entries of the dynamic segment, that are looked at. Real binaries have about 12 and 30.
const MAX_HEADERS: usize = 512;
/// The most libraries, and versions of one library, that are looked at. Real binaries need about 4 and 20.
const MAX_VERSIONS: usize = 1024;
/// The longest path of an interpreter in bytes: Linux's PATH_MAX.
const MAX_PATH: usize = 4096;

/// What a Linux executable requires of its system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    pub arch: Arch,
    /// The dynamic loader's path (PT_INTERP); `None` for a static binary.
    pub interpreter: Option<String>,
    /// The highest GNU C library version among the symbols it needs; `None` if it needs none (static, or not glibc).
    pub glibc: Option<Glibc>,
}

/// Why a file is not a Linux executable that any instance could start. Displays as a sentence about "it".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRunnable {
    Empty,
    /// `#!`: it would start only where its interpreter and its neighbours are.
    Script,
    /// A macOS executable.
    MachO,
    /// A Windows executable.
    Windows,
    /// An unknown format.
    Unknown,
    /// A header points behind the end of the file.
    CutShort,
    Not64Bit,
    BigEndian,
    /// A CPU that EC2 has no Linux instances with (`e_machine`).
    Machine(u16),
    /// Another system's ABI (`e_ident[EI_OSABI]`): FreeBSD's, say.
    System(u8),
    /// An object file, a shared library or a core dump: its kind, with an article.
    NotExecutable(&'static str),
    /// Its headers contradict each other.
    Damaged(&'static str),
}

/// Why a Linux executable cannot start on one image and instance type. Displays as a sentence about "it".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incompatible {
    Arch { built_for: Arch, instance: Arch },
    Musl { built_for: Arch, interpreter: String, image: Image },
    Interpreter { built_for: Arch, interpreter: String, image: Image },
    Glibc { built_for: Arch, needs: Glibc, has: Glibc, image: Image },
}

/// Reads the headers of a whole file.
///
/// # Errors
/// The file is no executable, or not one that any EC2 Linux instance starts.
pub fn inspect(bytes: &[u8]) -> Result<Executable, NotRunnable> {
    if let Some(other) = other_format(bytes) {
        return Err(other);
    }
    // Judged from the identification bytes first: the parser below takes 64-bit little-endian files only.
    let ident = bytes.get(..abi::EI_NIDENT).ok_or(NotRunnable::CutShort)?;
    if ident[abi::EI_CLASS] != abi::ELFCLASS64 {
        return Err(NotRunnable::Not64Bit);
    }
    if ident[abi::EI_DATA] != abi::ELFDATA2LSB {
        return Err(NotRunnable::BigEndian);
    }
    if !matches!(ident[abi::EI_OSABI], abi::ELFOSABI_SYSV | abi::ELFOSABI_LINUX) {
        return Err(NotRunnable::System(ident[abi::EI_OSABI]));
    }
    let file = ElfBytes::<LittleEndian>::minimal_parse(bytes)?;
    let arch = match file.ehdr.e_machine {
        abi::EM_X86_64 => Arch::X86_64,
        abi::EM_AARCH64 => Arch::Arm64,
        other => return Err(NotRunnable::Machine(other)),
    };
    let segments: Vec<ProgramHeader> =
        file.segments().map(|table| table.iter().take(MAX_HEADERS).collect()).unwrap_or_default();
    let load = Memory::new(bytes, &segments)?;
    let interpreter = interpreter(bytes, &segments)?;
    let dynamic = Dynamic::read(&file, &segments)?;
    match file.ehdr.e_type {
        abi::ET_EXEC => {}
        // A position-independent executable is a shared object with a loader, or, if static, with a flag that says so.
        abi::ET_DYN if interpreter.is_some() || dynamic.is_pie() => {}
        abi::ET_DYN => return Err(NotRunnable::NotExecutable("a shared library")),
        abi::ET_REL => return Err(NotRunnable::NotExecutable("an object file")),
        abi::ET_CORE => return Err(NotRunnable::NotExecutable("a core dump")),
        _ => return Err(NotRunnable::Damaged("an unknown type")),
    }
    if load.is_empty() {
        return Err(NotRunnable::Damaged("no segment to load"));
    }
    Ok(Executable { arch, interpreter, glibc: dynamic.glibc(&load)? })
}

/// Checks that the executable runs on this CPU and image. For an AMI given by ID only the CPU is compared.
///
/// # Errors
/// The first incompatibility of CPU, loader and C library.
pub fn check(executable: &Executable, arch: Arch, image: &Image) -> Result<(), Incompatible> {
    let Executable { arch: built_for, interpreter, glibc } = executable;
    let built_for = *built_for;
    if built_for != arch {
        return Err(Incompatible::Arch { built_for, instance: arch });
    }
    let Some(has) = image.glibc() else { return Ok(()) };
    if let Some(path) = interpreter.as_deref().filter(|path| *path != glibc_loader(arch)) {
        let (interpreter, image) = (path.to_owned(), image.clone());
        return Err(if path.contains("/ld-musl-") {
            Incompatible::Musl { built_for, interpreter, image }
        } else {
            Incompatible::Interpreter { built_for, interpreter, image }
        });
    }
    match *glibc {
        Some(needs) if needs > has => Err(Incompatible::Glibc { built_for, needs, has, image: image.clone() }),
        _ => Ok(()),
    }
}

/// The GNU C library's dynamic loader, whose path is part of each CPU's ABI (glibc wiki, "ABIList").
fn glibc_loader(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "/lib64/ld-linux-x86-64.so.2",
        Arch::Arm64 => "/lib/ld-linux-aarch64.so.1",
    }
}

/// Names what is not ELF by its magic number; `None` for ELF.
fn other_format(bytes: &[u8]) -> Option<NotRunnable> {
    match bytes {
        [] => Some(NotRunnable::Empty),
        [0x7f, b'E', b'L', b'F', ..] => None,
        [b'#', b'!', ..] => Some(NotRunnable::Script),
        [b'M', b'Z', ..] => Some(NotRunnable::Windows),
        // mach-o/loader.h: 64-bit and 32-bit, either byte order; mach-o/fat.h: universal binaries.
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..]
        | [0xfe, 0xed, 0xfa, 0xcf | 0xce, ..]
        | [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => Some(NotRunnable::MachO),
        _ => Some(NotRunnable::Unknown),
    }
}

/// A file as the kernel maps it: addresses back to bytes.
struct Memory<'a> {
    /// Address and bytes of each loaded segment.
    segments: Vec<(u64, &'a [u8])>,
}

impl<'a> Memory<'a> {
    fn new(bytes: &'a [u8], segments: &[ProgramHeader]) -> Result<Self, NotRunnable> {
        let loaded = segments.iter().filter(|segment| segment.p_type == abi::PT_LOAD);
        let segments = loaded.map(|segment| Ok((segment.p_vaddr, data(bytes, segment)?)));
        Ok(Self { segments: segments.collect::<Result<_, NotRunnable>>()? })
    }

    fn is_empty(&self) -> bool {
        self.segments.iter().all(|(_, data)| data.is_empty())
    }

    /// The bytes from an address to the end of its segment.
    fn from(&self, address: u64) -> Option<&'a [u8]> {
        self.segments.iter().find_map(|(start, data)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            data.get(offset..).filter(|rest| !rest.is_empty())
        })
    }
}

fn data<'a>(bytes: &'a [u8], segment: &ProgramHeader) -> Result<&'a [u8], NotRunnable> {
    let start = usize::try_from(segment.p_offset).map_err(|_| NotRunnable::CutShort)?;
    let length = usize::try_from(segment.p_filesz).map_err(|_| NotRunnable::CutShort)?;
    let end = start.checked_add(length).ok_or(NotRunnable::CutShort)?;
    bytes.get(start..end).ok_or(NotRunnable::CutShort)
}

fn interpreter(bytes: &[u8], segments: &[ProgramHeader]) -> Result<Option<String>, NotRunnable> {
    let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_INTERP) else { return Ok(None) };
    let data = data(bytes, segment)?;
    let path = data.strip_suffix(b"\0").filter(|path| (1..MAX_PATH).contains(&path.len()));
    match path.map(std::str::from_utf8) {
        Some(Ok(path)) => Ok(Some(path.to_owned())),
        _ => Err(NotRunnable::Damaged("an interpreter that is not a path")),
    }
}

/// The entries of the dynamic segment that matter here.
#[derive(Default)]
struct Dynamic {
    flags: u64,
    strings: Option<u64>,
    strings_bytes: u64,
    versions: Option<u64>,
    versions_count: u64,
}

impl Dynamic {
    fn read(file: &ElfBytes<'_, LittleEndian>, segments: &[ProgramHeader]) -> Result<Self, NotRunnable> {
        let mut found = Self::default();
        let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_DYNAMIC) else {
            return Ok(found);
        };
        let table = elf::dynamic::DynamicTable::new(LittleEndian, Class::ELF64, file.segment_data(segment)?);
        for entry in table.iter().take(MAX_HEADERS).take_while(|entry| entry.d_tag != abi::DT_NULL) {
            match entry.d_tag {
                abi::DT_FLAGS_1 => found.flags = entry.d_val(),
                abi::DT_STRTAB => found.strings = Some(entry.d_ptr()),
                abi::DT_STRSZ => found.strings_bytes = entry.d_val(),
                abi::DT_VERNEED => found.versions = Some(entry.d_ptr()),
                abi::DT_VERNEEDNUM => found.versions_count = entry.d_val(),
                _ => {}
            }
        }
        Ok(found)
    }

    fn is_pie(&self) -> bool {
        self.flags & abi::DF_1_PIE as u64 != 0
    }

    /// The highest `GLIBC_x.y` among the needed versions of all libraries.
    fn glibc(&self, memory: &Memory<'_>) -> Result<Option<Glibc>, NotRunnable> {
        let Some(versions) = self.versions else { return Ok(None) };
        let damaged = || NotRunnable::Damaged("a version table outside of its segments");
        let versions = memory.from(versions).ok_or_else(damaged)?;
        let strings = self.strings.and_then(|address| memory.from(address)).ok_or_else(damaged)?;
        let length = usize::try_from(self.strings_bytes).map_err(|_| damaged())?;
        let strings = StringTable::new(strings.get(..length).ok_or_else(damaged)?);

        let mut highest = None;
        let libraries = VerNeedIterator::new(LittleEndian, Class::ELF64, self.versions_count, 0, versions);
        for (_, needed) in libraries.take(MAX_VERSIONS) {
            for version in needed.take(MAX_VERSIONS) {
                let name = strings.get(version.vna_name as usize).map_err(|_| damaged())?;
                highest = highest.max(glibc_version(name));
            }
        }
        Ok(highest)
    }
}

/// `GLIBC_2.34` is 2.34, `GLIBC_2.2.5` is 2.2; `None` for other libraries' versions and for `GLIBC_PRIVATE`.
fn glibc_version(name: &str) -> Option<Glibc> {
    // Not a number, but a version all the same: the loader learned packed relocations in 2.36 (its NEWS).
    if name == "GLIBC_ABI_DT_RELR" {
        return Some(Glibc(2, 36));
    }
    let (major, rest) = name.strip_prefix("GLIBC_")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some(Glibc(major.parse().ok()?, minor.parse().ok()?))
}

impl From<ParseError> for NotRunnable {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::SliceReadError(_) | ParseError::BadOffset(_) | ParseError::TryFromSliceError(_) => {
                Self::CutShort
            }
            _ => Self::Damaged("sizes or versions that no linker writes"),
        }
    }
}

impl fmt::Display for NotRunnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Script => f.write_str("it is a script, not an executable"),
            Self::MachO => f.write_str("it is a macOS executable (Mach-O), but the instances run Linux"),
            Self::Windows => f.write_str("it is a Windows executable (PE), but the instances run Linux"),
            Self::Unknown => f.write_str("it is not a Linux executable (no ELF header)"),
            Self::CutShort => f.write_str("it is truncated: its headers point past its end"),
            Self::Not64Bit => f.write_str("it is a 32-bit executable, but the images are 64-bit"),
            Self::BigEndian => f.write_str("it is a big-endian executable, but EC2's CPUs are little-endian"),
            Self::Machine(machine) => match elf::to_str::e_machine_to_human_str(*machine) {
                Some(name) => write!(f, "it is built for {name}, but instances are x86_64 or arm64"),
                None => write!(f, "it is built for CPU number {machine}, but instances are x86_64 or arm64"),
            },
            Self::System(system) => match elf::to_str::e_osabi_to_str(*system) {
                Some(name) => write!(f, "it is built for another system than Linux ({name})"),
                None => write!(f, "it is built for another system than Linux (ABI number {system})"),
            },
            Self::NotExecutable(kind) => write!(f, "it is {kind}, not an executable"),
            Self::Damaged(what) => write!(f, "it is damaged: its header has {what}"),
        }
    }
}

impl Error for NotRunnable {}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arch { built_for, instance } => {
                write!(f, "it is built for {built_for}, but the instance type is {instance}")
            }
            Self::Musl { interpreter, image, .. } => {
                write!(f, "it needs the musl C library ({interpreter}), which {image} does not have")
            }
            Self::Interpreter { interpreter, image, .. } => {
                write!(f, "it needs the loader {interpreter}, which {image} does not have")
            }
            Self::Glibc { needs, has, image, .. } => write!(f, "it needs glibc {needs}, but {image} has {has}"),
        }
    }
}

impl Error for Incompatible {}

#[cfg(test)]
mod tests;
