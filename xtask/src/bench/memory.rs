//! Memory of a process, with guest RAM kept apart.

use std::fs;

use anyhow::{Context, Result};

/// KiB of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Proportional share of everything but guest RAM.
    pub(super) own_pss: u64,
    /// Resident guest RAM.
    pub(super) guest_rss: u64,
}

/// Reads `/proc/PID/smaps`. Guest RAM is the mapping of just `guest_bytes` bytes; 0 where the process has none.
pub(super) fn of_process(pid: u32, guest_bytes: u64) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps");
    let smaps = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(parse(&smaps, guest_bytes))
}

fn parse(smaps: &str, guest_bytes: u64) -> Memory {
    let mut memory = Memory::default();
    let mut is_guest = false;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = address_range(first) {
            is_guest = guest_bytes != 0 && end - start == guest_bytes;
            continue;
        }
        let kib = words
            .next()
            .and_then(|w| w.parse::<u64>().ok())
            .unwrap_or(0);
        match first {
            "Pss:" if !is_guest => memory.own_pss += kib,
            "Rss:" if is_guest => memory.guest_rss += kib,
            _ => {}
        }
    }
    memory
}

fn address_range(word: &str) -> Option<(u64, u64)> {
    let (start, end) = word.split_once('-')?;
    Some((
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_ram_is_kept_apart() {
        let smaps = "\
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
Rss:                 800 kB
Pss:                 800 kB
7f0000200000-7f0000201000 rw-p 00000000 00:00 0   [heap]
Rss:                   4 kB
Pss:                   2 kB
";
        let memory = parse(smaps, 0x10_0000);
        assert_eq!(
            memory,
            Memory {
                own_pss: 2,
                guest_rss: 800
            }
        );
        assert_eq!(
            parse(smaps, 0),
            Memory {
                own_pss: 802,
                guest_rss: 0
            }
        );
    }
}
