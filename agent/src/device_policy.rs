//! Which devices an app may open, and make nodes of: a BPF program on its control group (`BPF_PROG_TYPE_CGROUP_DEVICE`), which is the
//! device controller of version 2. Without it an app could make a node of any disk of the machine, its neighbours' among them.
//!
//! The program compares type, major and minor number with each device that is allowed, in order, and denies what is left.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

/// Bytes of an instruction (`struct bpf_insn`, `include/uapi/linux/bpf.h`).
pub const INSTRUCTION_LENGTH: usize = 8;

/// A device, or with no minor number all of one major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    kind: Kind,
    major: u32,
    minor: Option<u32>,
}

/// `BPF_DEVCG_DEV_*`, `include/uapi/linux/bpf.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
enum Kind {
    Block = 1,
    Character = 2,
}

/// Those of every app (`Documentation/admin-guide/devices.txt`): what its `/dev` has, and FUSE, which does nothing without the
/// capability to mount.
const EVERY_APP: [Device; 9] = [
    Device::character(1, Some(3)),    // null
    Device::character(1, Some(5)),    // zero
    Device::character(1, Some(7)),    // full
    Device::character(1, Some(8)),    // random
    Device::character(1, Some(9)),    // urandom
    Device::character(5, Some(0)),    // tty
    Device::character(5, Some(2)),    // ptmx
    Device::character(136, None),     // pts
    Device::character(10, Some(229)), // fuse
];

// Of the class, the size and the operation of an instruction; `include/uapi/linux/bpf_common.h` and `bpf.h`.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const JUMP_IF_NOT: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

// Registers.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;

/// The type is the lower half of the first word of `struct bpf_cgroup_dev_ctx`; the access, which does not matter here, the upper.
const KIND_MASK: i32 = 0xffff;

impl Device {
    const fn character(major: u32, minor: Option<u32>) -> Self {
        Self {
            kind: Kind::Character,
            major,
            minor,
        }
    }

    /// The block device of this node.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_block_node(node: &Path) -> io::Result<Self> {
        let number = fs::metadata(node)?.rdev();
        Ok(Self {
            kind: Kind::Block,
            major: major(number),
            minor: Some(minor(number)),
        })
    }
}

/// The program that allows these devices and those of every app: instructions as they lie in memory (little-endian).
#[must_use]
pub fn program(devices: &[Device]) -> Vec<[u8; INSTRUCTION_LENGTH]> {
    let mut program = vec![
        instruction(LOAD_WORD, KIND | CONTEXT << 4, 0, 0),
        instruction(AND, KIND, 0, KIND_MASK),
        instruction(LOAD_WORD, MAJOR | CONTEXT << 4, 4, 0),
        instruction(LOAD_WORD, MINOR | CONTEXT << 4, 8, 0),
    ];
    for device in EVERY_APP.iter().chain(devices) {
        let minor = device.minor.map(|minor| (MINOR, minor.cast_signed()));
        let conditions = [
            (KIND, device.kind as i32),
            (MAJOR, device.major.cast_signed()),
        ];
        let mut allow = vec![instruction(MOVE, RESULT, 0, 1), instruction(EXIT, 0, 0, 0)];
        // From the last to the first: each skips all that follows it.
        for (register, value) in conditions.into_iter().chain(minor).rev() {
            let rest = i16::try_from(allow.len()).unwrap_or(i16::MAX);
            allow.insert(0, instruction(JUMP_IF_NOT, register, rest, value));
        }
        program.extend(allow);
    }
    program.push(instruction(MOVE, RESULT, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0));
    program
}

fn instruction(
    operation: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
) -> [u8; INSTRUCTION_LENGTH] {
    let [o0, o1] = offset.to_le_bytes();
    let [i0, i1, i2, i3] = immediate.to_le_bytes();
    [operation, registers, o0, o1, i0, i1, i2, i3]
}

#[cfg(test)]
#[path = "device_policy_test.rs"]
mod tests;
