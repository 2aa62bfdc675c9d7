use super::*;

/// What the program answers for `struct bpf_cgroup_dev_ctx` with these words, by the meaning of the few instructions that it has.
fn run(program: &[[u8; INSTRUCTION_LENGTH]], context: [u32; 3]) -> u32 {
    let mut registers = [0_u32; 11];
    let mut at = 0;
    loop {
        let [operation, pair, o0, o1, i0, i1, i2, i3] = program[at];
        let offset = usize::try_from(i16::from_le_bytes([o0, o1])).unwrap();
        let immediate = u32::from_le_bytes([i0, i1, i2, i3]);
        let (to, from) = (usize::from(pair & 15), pair >> 4);
        at += 1;
        match operation {
            LOAD_WORD => {
                assert_eq!(from, CONTEXT);
                registers[to] = context[offset / 4];
            }
            AND => registers[to] &= immediate,
            MOVE => registers[to] = immediate,
            JUMP_IF_NOT if registers[to] != immediate => at += offset,
            JUMP_IF_NOT => {}
            EXIT => return registers[0],
            other => panic!("{other:#x}"),
        }
    }
}

fn allows(devices: &[Device], kind: Kind, major: u32, minor: u32) -> bool {
    let program = program(devices);
    let all: Vec<_> = [1, 2, 4, 7]
        .into_iter()
        .map(|access: u32| run(&program, [access << 16 | kind as u32, major, minor]))
        .collect();
    assert!(all.iter().all(|answer| *answer == all[0]), "{all:?}");
    all[0] == 1
}

#[test]
fn the_devices_of_every_app_are_allowed_and_no_disk() {
    for (major, minor) in [(1, 3), (1, 9), (5, 0), (5, 2), (136, 0), (136, 77)] {
        assert!(allows(&[], Kind::Character, major, minor));
        assert!(!allows(&[], Kind::Block, major, minor));
    }
    for (major, minor) in [(1, 1), (1, 4), (5, 1), (4, 64), (254, 0), (0, 0)] {
        assert!(!allows(&[], Kind::Character, major, minor));
    }
    assert!(!allows(&[], Kind::Block, 254, 16));
}

#[test]
fn an_app_s_own_disks_are_allowed_and_not_their_neighbours() {
    let disk = |minor| Device {
        kind: Kind::Block,
        major: 259,
        minor: Some(minor),
    };
    let own = [disk(3), disk(5)];
    assert!(allows(&own, Kind::Block, 259, 3) && allows(&own, Kind::Block, 259, 5));
    assert!(!allows(&own, Kind::Block, 259, 4) && !allows(&own, Kind::Character, 259, 3));
    assert!(allows(&own, Kind::Character, 1, 3));
}
