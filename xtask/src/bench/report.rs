//! Figures for people, or as JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::stage1_file;

/// Bytes of what is built.
pub(super) fn sizes(dist: &Path) -> Result<Value> {
    let files = [
        ("bulkhead", dist.join("bin/bulkhead")),
        ("supervisor", stage1_file(dist, "run")),
        ("stop", stage1_file(dist, "stop")),
        ("relay", stage1_file(dist, "relay")),
        ("vmm", stage1_file(dist, "vmm")),
        ("vmlinux", stage1_file(dist, "kernel/vmlinux")),
        ("bzImage", stage1_file(dist, "kernel/bzImage")),
        ("initramfs", stage1_file(dist, "initramfs.cpio")),
    ];
    let mut sizes = serde_json::Map::new();
    for (name, file) in files {
        let length = fs::metadata(&file)
            .with_context(|| format!("size of {}", file.display()))?
            .len();
        sizes.insert(name.to_owned(), json!(length));
    }
    Ok(Value::Object(sizes))
}

/// All that was measured.
pub(super) struct Figures {
    pub(super) native: Value,
    pub(super) inside: Value,
    pub(super) volumes: Value,
    pub(super) sizes: Value,
}

pub(super) fn print(as_json: bool, figures: &Figures) -> Result<()> {
    let Figures {
        native,
        inside,
        volumes,
        sizes,
    } = figures;
    if as_json {
        let all = json!({"native": native, "boot": inside, "volumes": volumes, "bytes": sizes, "ratios": ratios(inside)});
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    table("natively, real milliseconds", native);
    table(
        "where KVM works (nested: 1 ms = 1 million instructions; KiB for memory)",
        inside,
    );
    table(
        "volumes there (nested: in seconds of its own, to compare with each other alone)",
        volumes,
    );
    println!("\nratios of medians, exec to first program, peer / bulkhead");
    entries(&ratios(inside)).for_each(|(name, ratio)| println!("  {name:<52} {ratio:>10.2}"));
    println!("\nbytes");
    entries(sizes).for_each(|(name, size)| println!("  {name:<52} {size:>10}"));
    Ok(())
}

pub(super) fn print_images(as_json: bool, images: &Value) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(images)?);
    } else {
        table("images, natively", images);
    }
    Ok(())
}

fn table(title: &str, figures: &Value) {
    println!("\n{title}");
    println!(
        "  {:<52} {:>10} {:>10} {:>10} {:>5}",
        "", "min", "median", "p99", "runs"
    );
    for (name, figure) in figures.as_object().into_iter().flatten() {
        let number = |key: &str| figure[key].as_f64().unwrap_or(f64::NAN);
        let (min, median, p99) = (number("min"), number("median"), number("p99"));
        println!(
            "  {name:<52} {min:>10.2} {median:>10.2} {p99:>10.2} {:>5}",
            figure["runs"]
        );
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, f64)> {
    let values = object.as_object().into_iter().flatten();
    values.map(|(name, value)| (name, value.as_f64().unwrap_or(f64::NAN)))
}

fn ratios(inside: &Value) -> Value {
    let boot =
        |name: &str| inside[format!("boot.{name}.exec_to_first_program_ms")]["median"].as_f64();
    let Some(ours) = boot("bulkhead") else {
        return json!({});
    };
    let peers = ["qemu-microvm", "firecracker", "cloud-hypervisor", "lkvm"];
    let rows = peers
        .into_iter()
        .filter_map(|peer| Some((peer.to_owned(), json!(boot(peer)? / ours))));
    Value::Object(rows.collect())
}
