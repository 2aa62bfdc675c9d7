//! What can be timed on this machine as it is, whatever its KVM can run: from exec to the first `KVM_RUN`.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Result, bail};
use bulkhead_protocol::vmm::FromVmm;

use super::boots::{COMMAND_LINE, Files, MEMORY_MIB};
use super::clock::{milliseconds, now_ns};
use super::statistics::Series;
use super::vmm::{Guest, Vmm};

pub(super) fn measure(files: &Files, runs: usize, series: &mut Series) -> Result<()> {
    for round in 0..=runs {
        let executable = File::open(&files.vmm)?;
        let console = File::options().write(true).open("/dev/null")?;
        let guest = Guest {
            kernel: &files.kernel,
            initramfs: &files.initramfs,
            command_line: COMMAND_LINE,
            memory_mib: MEMORY_MIB,
        };
        let start = now_ns();
        let vmm = Vmm::start(&executable, &guest, console.as_fd())?;
        let times = match vmm.receive()? {
            FromVmm::Started(times) => times,
            other => bail!("the VMM said {other:?} and not that it started"),
        };
        if round > 0 {
            let mut add = |name: &str, at| {
                series.add(
                    &format!("native.exec_to_{name}_ms"),
                    milliseconds(start, at),
                );
            };
            add("vmm_main", times.process_start_ns);
            add("vm_created", times.vm_created_ns);
            add("kernel_loaded", times.kernel_loaded_ns);
            add("first_kvm_run", times.first_run_ns);
        }
        drop(vmm);
    }
    Ok(())
}
