//! End-to-end tests: the built programs, real images, real KVM. `cargo xtask test` starts them where
//! KVM works; one file a feature.

mod bulkhead;
mod changed;
mod leftovers;

mod bad_archives;
mod bad_images;
mod block_volumes;
mod cgroup;
mod database;
mod devices;
mod disk;
mod doctor;
mod environment;
mod exerciser;
mod exit;
mod files;
mod formats;
mod handlers;
mod handles;
mod harm;
mod host_volumes;
mod i386;
mod inspect;
mod isolators;
mod killed;
mod layers;
mod links;
mod machine;
mod manifests;
mod many;
mod memory;
mod metadata;
mod names;
mod no_kvm;
mod paths;
mod pod_manifest;
mod posix;
mod programs;
mod root;
mod stop;
mod streams;
mod syscalls;
mod usage;
mod volumes;
mod written;
