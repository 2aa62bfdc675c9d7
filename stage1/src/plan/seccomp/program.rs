//! From verdicts to a program of classic BPF: which architecture, then a binary search for the call's number.
//!
//! A call that is always allowed is found without a look at its arguments, so that the kernel can answer it from its bitmap
//! (`kernel/seccomp.c`, `seccomp_is_const_allow`).

use std::collections::BTreeMap;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The kernel does it.
    Allow,
    /// It fails with this number.
    Errno(u16),
    /// The process ends by SIGSYS.
    Kill,
}

/// What becomes of a call, in dependence of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// In any case.
    Always(Action),
    /// Allowed when the low half of the first argument passes.
    If(Test, Action),
}

/// A test of the low half of a call's first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// None of these bits is set.
    NoneOf(u32),
    /// It is not this.
    Not(u32),
    /// It is one of these.
    In(&'static [u32]),
}

/// The calls of one architecture.
#[derive(Debug)]
pub(super) struct Table {
    /// By number.
    pub(super) verdicts: BTreeMap<u32, Verdict>,
    /// For every other number.
    pub(super) other: Action,
}

impl Table {
    /// For this number.
    pub(super) fn of(&self, number: u32) -> Verdict {
        let named = self.verdicts.get(&number).copied();
        named.unwrap_or(Verdict::Always(self.other))
    }
}

/// A whole filter. Any third architecture is killed: the guest's kernel has none.
#[derive(Debug)]
pub(super) struct Policy {
    /// 64-bit programs.
    pub(super) x86_64: Table,
    /// 32-bit programs.
    pub(super) i386: Table,
    /// The x32 calls, which the guest's kernel does not have.
    pub(super) x32: Action,
}

/// `struct sock_filter` of `include/uapi/linux/filter.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) operand: u32,
}

/// Instruction codes (`include/uapi/linux/bpf_common.h`).
pub(super) mod code {
    /// `BPF_LD | BPF_W | BPF_ABS`.
    pub(in super::super) const LOAD: u16 = 0x20;
    /// `BPF_JMP | BPF_JA`.
    pub(in super::super) const JUMP: u16 = 0x05;
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub(in super::super) const IF_EQUAL: u16 = 0x15;
    /// `BPF_JMP | BPF_JGE | BPF_K`.
    pub(in super::super) const IF_AT_LEAST: u16 = 0x35;
    /// `BPF_JMP | BPF_JSET | BPF_K`.
    pub(in super::super) const IF_ANY_BIT: u16 = 0x45;
    /// `BPF_RET | BPF_K`.
    pub(in super::super) const RETURN: u16 = 0x06;
}

/// Offsets in `struct seccomp_data` (`include/uapi/linux/seccomp.h`).
pub(super) mod offset {
    pub(in super::super) const NUMBER: u32 = 0;
    pub(in super::super) const ARCHITECTURE: u32 = 4;
    /// Low half.
    pub(in super::super) const FIRST_ARGUMENT: u32 = 16;
}

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_I386` (`include/uapi/linux/audit.h`).
pub(super) const ARCH_X86_64: u32 = 0xc000_003e;
pub(super) const ARCH_I386: u32 = 0x4000_0003;

/// `__X32_SYSCALL_BIT` (`arch/x86/include/uapi/asm/unistd.h`): where the x32 calls begin.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// The program of a policy.
pub(super) fn compile(policy: &Policy) -> Vec<Instruction> {
    let mut native = vec![load(offset::NUMBER)];
    let mut ranges = ranges(&policy.x86_64);
    ranges.push((X32_BIT, Verdict::Always(policy.x32)));
    search(&ranges, &mut native);
    let mut program = vec![
        load(offset::ARCHITECTURE),
        jump_if(code::IF_EQUAL, ARCH_X86_64, 1, 0),
        jump(native.len()),
    ];
    program.append(&mut native);
    program.push(jump_if(code::IF_EQUAL, ARCH_I386, 1, 0));
    program.push(verdict(Action::Kill));
    program.push(load(offset::NUMBER));
    search(&self::ranges(&policy.i386), &mut program);
    program
}

/// The verdicts as ranges: the first number of each, from 0 on, without neighbours that are alike.
fn ranges(table: &Table) -> Vec<(u32, Verdict)> {
    let other = Verdict::Always(table.other);
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut add = |start, verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((start, verdict));
        }
    };
    let mut next = 0;
    for (&number, &verdict) in &table.verdicts {
        if number > next {
            add(next, other);
        }
        add(number, verdict);
        next = number + 1;
    }
    add(next, other);
    ranges
}

fn search(ranges: &[(u32, Verdict)], program: &mut Vec<Instruction>) {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let Some(&(start, verdict)) = above.first() else {
        return;
    };
    if below.is_empty() {
        return answer(verdict, program);
    }
    let mut skipped = Vec::new();
    search(below, &mut skipped);
    match u8::try_from(skipped.len()) {
        Ok(length) => program.push(jump_if(code::IF_AT_LEAST, start, length, 0)),
        // Conditional jumps do not reach so far.
        Err(_) => program.extend([jump_if(code::IF_AT_LEAST, start, 0, 1), jump(skipped.len())]),
    }
    program.append(&mut skipped);
    search(above, program);
}

fn answer(verdict: Verdict, program: &mut Vec<Instruction>) {
    let (test, action) = match verdict {
        Verdict::Always(action) => return program.push(self::verdict(action)),
        Verdict::If(test, action) => (test, action),
    };
    program.push(load(offset::FIRST_ARGUMENT));
    match test {
        Test::NoneOf(bits) => program.push(jump_if(code::IF_ANY_BIT, bits, 0, 1)),
        Test::Not(value) => program.push(jump_if(code::IF_EQUAL, value, 0, 1)),
        Test::In(values) => {
            let behind = (1..=u8::MAX).take(values.len());
            let tests = values.iter().zip(behind.rev());
            program.extend(tests.map(|(value, length)| jump_if(code::IF_EQUAL, *value, length, 0)));
        }
    }
    program.push(self::verdict(action));
    program.push(self::verdict(Action::Allow));
}

fn load(offset: u32) -> Instruction {
    instruction(code::LOAD, offset)
}

fn jump(length: usize) -> Instruction {
    let length = u32::try_from(length).expect("a program has at most a few thousand instructions");
    instruction(code::JUMP, length)
}

fn jump_if(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        operand,
    }
}

fn instruction(code: u16, operand: u32) -> Instruction {
    jump_if(code, operand, 0, 0)
}

/// `SECCOMP_RET_…` of `include/uapi/linux/seccomp.h`.
fn verdict(action: Action) -> Instruction {
    let value = match action {
        Action::Allow => 0x7fff_0000,
        Action::Errno(number) => 0x0005_0000 | u32::from(number),
        Action::Kill => 0x8000_0000,
    };
    instruction(code::RETURN, value)
}

#[cfg(test)]
#[path = "program_test.rs"]
mod tests;
