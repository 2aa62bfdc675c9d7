use proptest::prelude::*;

use super::*;

const LINES: u8 = 16;

fn write(ioapic: &Ioapic, register: u8, value: u32) -> Option<Message> {
    assert_eq!(
        ioapic.write(INDEX, &u32::from(register).to_le_bytes()),
        None
    );
    ioapic.write(DATA, &value.to_le_bytes())
}

fn read(ioapic: &Ioapic, register: u8) -> u32 {
    assert_eq!(ioapic.write(INDEX, &[register]), None);
    let mut word = [0; 4];
    ioapic.read(DATA, &mut word);
    u32::from_le_bytes(word)
}

#[test]
fn a_guest_finds_sixteen_masked_lines() {
    let ioapic = Ioapic::new(LINES);
    assert_eq!(read(&ioapic, 1), 0x000f_0011);
    for line in 0..16 {
        assert_eq!(read(&ioapic, 0x10 + 2 * line), 0x1_0000);
        assert_eq!(read(&ioapic, 0x11 + 2 * line), 0);
    }
    assert_eq!(read(&ioapic, 0x30), 0, "behind the last");
}

#[test]
fn an_edge_becomes_a_message() {
    let ioapic = Ioapic::new(LINES);
    assert_eq!(write(&ioapic, 0x1b, 0x0300_0000), None);
    assert_eq!(write(&ioapic, 0x1a, 0x0000_0031), None);
    let expected = Message {
        address: 0xfee0_3000,
        data: 0x31,
    };
    assert_eq!(ioapic.raise(5), Some(expected));
    // Logical, lowest priority.
    assert_eq!(write(&ioapic, 0x1a, 0x0000_0931), None);
    let expected = Message {
        address: 0xfee0_300c,
        data: 0x131,
    };
    assert_eq!(ioapic.raise(5), Some(expected));
}

#[test]
fn an_edge_on_a_masked_line_waits_once() {
    let ioapic = Ioapic::new(LINES);
    assert_eq!(ioapic.raise(6), None);
    assert_eq!(ioapic.raise(6), None);
    let sent = write(&ioapic, 0x1c, 0x32);
    assert_eq!(sent.map(|message| message.data), Some(0x32));
    assert_eq!(write(&ioapic, 0x1c, 0x32), None);
}

#[test]
fn read_only_bits_and_foreign_registers_stay() {
    let ioapic = Ioapic::new(LINES);
    assert_eq!(write(&ioapic, 0x10, u32::MAX), None);
    assert_eq!(read(&ioapic, 0x10), 0x0001_afff);
    assert_eq!(write(&ioapic, 1, 0), None);
    assert_eq!(read(&ioapic, 1), 0x000f_0011);
    assert_eq!(write(&ioapic, 0, u32::MAX), None);
    assert_eq!(read(&ioapic, 0), 0x0f00_0000);
    assert_eq!(ioapic.raise(LINES.into()), None);
}

#[test]
fn a_controller_of_another_machine_is_refused() {
    let error = Ioapic::new(4).restore(Ioapic::new(5).save()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the saved IOAPIC has 5 lines, the machine's has 4"
    );
}

#[test]
fn a_forged_state_has_no_bits_that_a_guest_cannot_set() {
    let ioapic = Ioapic::new(1);
    let mut forged = ioapic.save();
    forged.lines[0].entry = u64::MAX;
    forged.id = u32::MAX;
    ioapic.restore(forged).unwrap();
    assert_eq!(read(&ioapic, 0x10), 0x0001_afff);
    assert_eq!(read(&ioapic, 0x11), 0xff00_0000);
    assert_eq!(read(&ioapic, 0), 0x0f00_0000);
}

proptest! {
    #[test]
    fn any_access_is_answered(accesses: Vec<(u8, u8, Vec<u8>, bool)>) {
        let ioapic = Ioapic::new(LINES);
        for (offset, line, mut data, is_write) in accesses {
            data.truncate(8);
            let offset = u64::from(offset) % 0x20;
            if is_write {
                let _ = ioapic.write(offset, &data);
            } else {
                ioapic.read(offset, &mut data);
            }
            let _ = ioapic.raise(line.into());
        }
    }

    #[test]
    fn a_saved_controller_comes_back(writes: Vec<(u8, u32)>, line in 0usize..16) {
        let (first, second) = (Ioapic::new(LINES), Ioapic::new(LINES));
        for (register, value) in writes {
            let _ = write(&first, register % 0x40, value);
        }
        let _ = first.raise(line);
        let saved = postcard::to_stdvec(&first.save()).unwrap();
        second.restore(postcard::from_bytes(&saved).unwrap()).unwrap();
        prop_assert_eq!(second.save(), first.save());
        prop_assert_eq!(second.raise(line), first.raise(line));
    }
}
