use std::io;
use std::sync::mpsc;

use super::*;

fn print(console: &mut EarlyConsole, text: &[u8]) {
    for byte in text {
        assert!(matches!(console.write(DATA, *byte), Effect::None));
    }
}

#[test]
fn a_flood_leaves_its_newest_bytes() {
    let ring = ConsoleRing::new();
    let mut console = EarlyConsole::new(Arc::clone(&ring), None);
    let text: Vec<u8> = (0..RING_BYTES * 3 + 7)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    print(&mut console, &text);
    assert_eq!(ring.tail(), text[text.len() - RING_BYTES..]);
    assert_eq!(ring.total(), u64::try_from(text.len()).unwrap());
}

#[test]
fn the_transmitter_is_always_empty() {
    let mut console = EarlyConsole::new(ConsoleRing::new(), None);
    print(&mut console, b"x");
    assert_eq!(console.read(LINE_STATUS), 0x60);
}

#[test]
fn a_driver_that_probes_finds_no_8250() {
    let mut console = EarlyConsole::new(ConsoleRing::new(), None);
    for offset in (0..LEN).filter(|offset| *offset != LINE_STATUS) {
        for value in [0x0f, 0x55, 0xaa, 0xff] {
            let _ = console.write(offset, value);
            assert_eq!(console.read(offset), 0, "offset {offset} after {value:#x}");
        }
    }
}

#[test]
fn a_divisor_is_not_printed() {
    let ring = ConsoleRing::new();
    let mut console = EarlyConsole::new(Arc::clone(&ring), None);
    let _ = console.write(LINE_CONTROL, 0x83);
    print(&mut console, b"\x01");
    let _ = console.write(LINE_CONTROL, 0x03);
    print(&mut console, b"ok");
    assert_eq!(ring.tail(), b"ok");
}

struct Lines(mpsc::Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.send(data.to_vec()).map_err(io::Error::other)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_live_view_gets_whole_lines_of_bounded_length() {
    let (sender, lines) = mpsc::channel();
    let mut console = EarlyConsole::new(ConsoleRing::new(), Some(Box::new(Lines(sender))));
    print(&mut console, b"one\ntwo");
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), [b"one\n"]);
    print(&mut console, &[b'x'; 2 * MAX_LIVE_LINE]);
    let lengths: Vec<usize> = lines.try_iter().map(|line| line.len()).collect();
    assert_eq!(lengths, [MAX_LIVE_LINE, MAX_LIVE_LINE]);
}

#[test]
fn a_live_view_that_is_gone_costs_the_guest_nothing() {
    let (sender, lines) = mpsc::channel();
    drop(lines);
    let ring = ConsoleRing::new();
    let mut console = EarlyConsole::new(Arc::clone(&ring), Some(Box::new(Lines(sender))));
    print(&mut console, b"still here\n");
    assert_eq!(ring.tail(), b"still here\n");
}
