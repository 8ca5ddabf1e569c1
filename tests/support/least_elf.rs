//! An executable that passes for the program, and is uploaded in no time.

/// The least Linux executable that there is: an ELF header and one segment, static, for x86-64 (System V ABI, chapter 4).
pub fn least_elf() -> Vec<u8> {
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01");
    elf.resize(16, 0);
    elf.extend(2_u16.to_le_bytes()); // ET_EXEC
    elf.extend(62_u16.to_le_bytes()); // EM_X86_64
    elf.extend(1_u32.to_le_bytes());
    elf.extend(0x40_0078_u64.to_le_bytes()); // entry
    elf.extend(64_u64.to_le_bytes()); // program headers
    elf.extend(0_u64.to_le_bytes()); // section headers
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes()); // PT_LOAD
    elf.extend(5_u32.to_le_bytes()); // R + X
    for word in [0_u64, 0x40_0000, 0x40_0000, 120, 120, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf
}
