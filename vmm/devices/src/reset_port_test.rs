use super::*;

#[test]
fn only_the_reset_command_at_the_command_port_resets() {
    for offset in 0..LEN {
        for value in 0..=u8::MAX {
            let effect = ResetPort.write(offset, value);
            let reset = matches!(effect, Effect::Reset);
            assert_eq!(
                reset,
                (offset, value) == (4, 0xfe),
                "offset {offset}, value {value:#x}"
            );
        }
        assert_eq!(ResetPort.read(offset), 0, "offset {offset}");
    }
}
