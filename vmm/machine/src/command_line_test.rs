use super::*;

#[test]
fn devices_follow_in_order() {
    assert_eq!(
        build("quiet reboot=k ", 2, 2047).unwrap(),
        "quiet reboot=k virtio_mmio.device=4K@0xd0000000:1 virtio_mmio.device=4K@0xd0001000:2"
    );
    assert_eq!(build("quiet", 0, 5).unwrap(), "quiet");
}

#[test]
fn a_line_that_the_kernel_would_cut_is_refused() {
    let base = "x".repeat(2047);
    assert_eq!(build(&base, 0, 2047).unwrap(), base);
    let error = build(&base, 1, 2047).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel's command line with its devices is 2082 bytes, and it takes 2047"
    );
}
