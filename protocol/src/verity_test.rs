use proptest::prelude::*;

use super::{BLOCK, HASHES_PER_BLOCK, MAX_DATA_BLOCKS, RootDigest, Verity, tree_levels};

#[test]
fn a_tree_has_a_level_where_the_kernel_has_one() {
    // `verity_ctr`, drivers/md/dm-verity-target.c.
    let per_block = HASHES_PER_BLOCK;
    assert_eq!(tree_levels(1), []);
    assert_eq!(tree_levels(2), [1]);
    assert_eq!(tree_levels(per_block), [1]);
    assert_eq!(tree_levels(per_block + 1), [2, 1]);
    assert_eq!(tree_levels(per_block * per_block), [per_block, 1]);
    assert_eq!(tree_levels(MAX_DATA_BLOCKS).len(), 5);
}

#[test]
fn only_what_was_written_is_read() {
    let digits = "0123456789abcdef".repeat(4);
    let good = format!("{digits} 4096\n");
    assert_eq!(good.parse::<Verity>().unwrap().to_string(), good);
    for bad in [
        String::new(),
        "\n".to_owned(),
        format!("{digits} 4096"),
        format!("{digits} 4096\n\n"),
        format!("{digits}  4096\n"),
        format!("{digits} +4096\n"),
        format!("{digits} 04096\n"),
        format!("{digits} 4097\n"),
        format!("{digits} 0\n"),
        format!("{digits} {}\n", u64::MAX - BLOCK + 1),
        format!("{} 4096\n", digits.to_uppercase()),
        format!("{}g 4096\n", &digits[1..]),
        format!("{} 4096\n", &digits[1..]),
        format!("{digits}0 4096\n"),
    ] {
        assert!(bad.parse::<Verity>().is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(root: [u8; 32], blocks in 1..=MAX_DATA_BLOCKS) {
        let verity = Verity::new(RootDigest(root), blocks).unwrap();
        prop_assert_eq!(verity.to_string().parse::<Verity>().unwrap(), verity);
        // A byte of 127 is a hash, and of those one in 127 again.
        let tree = verity.length() - blocks * BLOCK;
        prop_assert!(tree <= blocks * BLOCK / 127 + 5 * BLOCK);
    }
}
