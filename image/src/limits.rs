//! Every bound that an image can run into, in one place, each with its reason.
//!
//! Each of them is checked before memory or disk is spent.

/// File data of one image. Far above real images (the largest seen are near 50 GiB), so that only
/// nonsense runs into it; a full disk is reported by the file system before that on most hosts.
pub(crate) const MAX_IMAGE_BYTES: u64 = bulkhead_archive::MAX_BYTES;

/// Files, directories and links of one image. Their metadata is held in memory while an image is
/// converted, about 230 bytes each with its name: this bound is what caps the converter's memory.
pub(crate) const MAX_ENTRIES: usize = bulkhead_archive::MAX_ENTRIES;

/// All names and symbolic link targets of one image together; caps memory like [`MAX_ENTRIES`].
pub(crate) const MAX_NAME_BYTES: usize = 64 << 20;

/// All distinct extended attribute sets of one image together; caps memory like [`MAX_ENTRIES`].
pub(crate) const MAX_XATTR_BYTES: usize = 16 << 20;

/// Extended attributes of all files of one image, each as often as it is written: thousands of bytes for each of as many files as there may be.
pub(crate) const MAX_WRITTEN_XATTR_BYTES: u64 = 1 << 30;

/// Files, directories and links of one stage1 image: as many as a pod can be made of. Ours has some twenty, rkt's systemd one 2,000.
pub(crate) const MAX_STAGE1_ENTRIES: usize = 16 << 10;

/// Lengths of all files of one stage1 image. Files of zeros are holes on disk, and cost time alone: some 3 s a gibibyte.
pub(crate) const MAX_STAGE1_BYTES: u64 = 64 << 30;

/// What all files of one stage1 image take on disk. Ours takes 40 MB, rkt's with CoreOS' user space 200 MB.
pub(crate) const MAX_STAGE1_DATA_BYTES: u64 = 4 << 30;

/// Path of one archive entry: Linux's `PATH_MAX`.
pub(crate) const MAX_PATH_BYTES: usize = 4096;

/// One path component: Linux's `NAME_MAX`, which EROFS shares.
pub(crate) const MAX_NAME_COMPONENT: usize = 255;

/// Target of a symbolic link: `PATH_MAX` without its NUL, the longest that `readlink` returns.
pub(crate) const MAX_SYMLINK_TARGET: usize = 4095;

/// Nesting of directories. Recursion over the tree is as deep as this.
pub(crate) const MAX_DEPTH: usize = bulkhead_archive::MAX_DEPTH;

/// Names that one entry's name may lead through, those in the targets of symbolic links included: several
/// times [`MAX_DEPTH`]. It ends loops, and caps what an entry can cost.
pub(crate) const MAX_WALK: usize = 1024;

/// Extended attributes of one entry.
pub(crate) const MAX_XATTRS_PER_ENTRY: usize = 256;

/// Names and values of one entry's extended attributes: Linux's `XATTR_LIST_MAX`.
pub(crate) const MAX_XATTR_BYTES_PER_ENTRY: usize = 64 << 10;

/// One PAX header block or GNU long name: room for a full path, a full link and full attributes.
pub(crate) const MAX_TAR_HEADER_BYTES: u64 = 256 << 10;

/// Header blocks (PAX, GNU long name) in front of one entry.
pub(crate) const MAX_TAR_HEADERS_PER_ENTRY: usize = 8;

/// Any JSON document of an image: what registries accept for a manifest (4 MiB).
pub(crate) const MAX_JSON_BYTES: u64 = 4 << 20;

/// Layers of one image. Docker stops at 127.
pub(crate) const MAX_LAYERS: usize = 512;

/// Dependencies that one image names, and that all images together have which one image is made of. rkt's own examples have two or three.
pub(crate) const MAX_DEPENDENCIES: usize = bulkhead_protocol::import::MAX_DEPENDENCIES;

/// Dependencies of dependencies. An importer waits on each level while the next one works, each with memory of its own.
pub(crate) const MAX_DEPENDENCY_DEPTH: usize = 8;

/// Entries of an index or of a `docker save` archive's manifest.
pub(crate) const MAX_INDEX_ENTRIES: usize = 4096;

/// Indexes inside indexes.
pub(crate) const MAX_INDEX_DEPTH: usize = 4;

/// Files in an archive that holds an image (blobs, not the image's own files).
pub(crate) const MAX_ARCHIVE_MEMBERS: usize = 1 << 14;

/// Output bytes for each input byte of a decompressor, once [`RATIO_FREE_BYTES`] are out.
/// Deflate reaches 1032 on zeros, so a real image of zeros still passes as gzip.
pub(crate) const MAX_COMPRESSION_RATIO: u64 = 1100;

/// Output that is free of [`MAX_COMPRESSION_RATIO`]: small archives of zeros are no attack.
pub(crate) const RATIO_FREE_BYTES: u64 = 1 << 30;

/// Memory that an xz stream may ask for: `xz -9` needs 65 MiB to decompress.
pub(crate) const MAX_XZ_MEMORY: u64 = 128 << 20;

/// Window of a zstd frame, as a power of two: what the format asks decoders to support is 8 MiB
/// (23), `zstd --ultra -22` uses 128 MiB (27).
pub(crate) const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// Remembered answers to "which image is this file", see `store::hints`.
pub(crate) const MAX_HINTS: usize = 1024;
