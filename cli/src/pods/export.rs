//! `bulkhead export`.

mod output;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use bulkhead_image::{write_aci, write_aci_of};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::manifest::{AcName, ImageManifest};
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use bulkhead_pod::state::State;
use clap::Args;
use serde_json::Value;

pub(crate) use self::output::Output;
use super::name;
use crate::arguments::GlobalOptions;

/// Fields of an image's manifest that say how its tree comes about. That of an export is whole.
const OF_A_TREE_IN_PARTS: [&str; 2] = ["dependencies", "pathWhitelist"];

/// Bytes that are written at a time.
pub(crate) const BUFFER: usize = 256 << 10;

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// The app, where the pod has several
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// Replace the file if it is there
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    overwrite: bool,

    /// The pod's UUID, or a beginning of it that no other pod has
    #[arg(value_name = "UUID")]
    uuid: String,

    /// The image to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the image, or nothing.
pub(crate) fn export(global: &GlobalOptions, options: &ExportOptions) -> Result<ExitCode> {
    let pod = FoundPod::find(&global.dir, &options.uuid)?;
    let uuid = pod.uuid();
    let has_exited = matches!(pod.state(), State::Exited | State::ExitedGarbage);
    // From here on nobody deletes it.
    if !has_exited || !pod.keep()? {
        bail!("pod \"{uuid}\" has not exited: it is {}", pod.state());
    }
    let whose = || format!("pod {uuid}");
    let manifest = pod.manifest().with_context(whose)?;
    let manifest = manifest.with_context(|| format!("pod {uuid} has no manifest"))?;
    let app = name::app(&manifest, options.app.as_deref()).with_context(whose)?;
    let image = pod.image_manifest(app).with_context(whose)?;
    let output = Output::create(&options.file, options.overwrite)?;
    write(&pod, app, &image, &output, global.debug).with_context(|| format!("app {app}"))?;
    output.publish()?;
    Ok(ExitCode::SUCCESS)
}

fn write(
    pod: &FoundPod,
    app: &AcName,
    image: &ImageManifest,
    output: &Output,
    debug: bool,
) -> Result<()> {
    let manifest = manifest_of(image)?;
    let out = BufWriter::with_capacity(BUFFER, output.file());
    let Some(root) = pod.app_directory(app)? else {
        return write_of_stage1(pod, app, &manifest, out, debug);
    };
    match write_aci_of(&manifest, root, out)? {
        0 => {}
        1 => eprintln!("export: one socket is left out"),
        sockets => eprintln!("export: {sockets} sockets are left out"),
    }
    Ok(())
}

/// The tree comes from the pod's own stage1, which lets no host program read what a guest wrote to a disk.
fn write_of_stage1(
    pod: &FoundPod,
    app: &AcName,
    manifest: &[u8],
    out: impl Write,
    debug: bool,
) -> Result<()> {
    let stage1 = Stage1Image::open(&pod.path().join("stage1"))?;
    let program = stage1.program(Entrypoint::Export);
    let program = program.context("its stage1 cannot export")?;
    let directory = std::path::absolute(pod.path()).context("find the working directory")?;
    let mut stage1 = Command::new(&program)
        .args(debug.then_some("--debug"))
        .arg(format!("--export={app}"))
        .arg(pod.uuid().to_string())
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("execute {}", program.display()))?;
    let tree = stage1.stdout.take().context("its output")?;
    // Ends the pipe, and with it an export that goes on for nobody.
    let written = write_aci(manifest, tree, out);
    let status = stage1.wait().context("wait for its stage1")?;
    match written {
        // What is wrong with half a tree its sender has said.
        Err(error) if error.is_truncation() && !status.success() => {}
        Err(error) => return Err(error.into()),
        Ok(()) if status.success() => return Ok(()),
        Ok(()) => {}
    }
    bail!("its stage1 could not export it: {status}")
}

fn manifest_of(image: &ImageManifest) -> Result<Vec<u8>> {
    let mut manifest = serde_json::to_value(image).context("the image's manifest")?;
    if let Value::Object(fields) = &mut manifest {
        for field in OF_A_TREE_IN_PARTS {
            fields.remove(field);
        }
    }
    serde_json::to_vec(&manifest).context("the image's manifest")
}
