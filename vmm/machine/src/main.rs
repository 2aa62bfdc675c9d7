//! `vmm`: one process, one machine. Started with the control socket as descriptor 3 and nothing else.
//!
//! Exit codes: 0 guest reset, 1 failure, 2 stopped or control socket closed, 3 triple fault, 4 KVM internal error,
//! 5 entry refused. The reason goes to the control socket; standard error gets one line for a failure.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use bulkhead_devices::ConsoleRing;
use bulkhead_kvm::inherited;
use bulkhead_machine::clock::monotonic_ns;
use bulkhead_machine::control::Control;
use bulkhead_machine::end::{Report, chain, failure, finish, report_panics};
use bulkhead_machine::{machine, spec};
use bulkhead_protocol::vmm::{ExitReason, ToVmm};

fn main() {
    let process_start_ns = monotonic_ns();
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("vmm {}", env!("CARGO_PKG_VERSION"));
        return;
    }
    inherited::ignore_termination();
    let control = match inherited::control_socket() {
        Ok(socket) => Arc::new(Control::new(socket)),
        Err(error) => {
            let text = format!("descriptor 3 is no control socket: {error}");
            finish(None, &failure(&text));
        }
    };
    let ring = ConsoleRing::new();
    report_panics(Report::new(Arc::clone(&control), Arc::clone(&ring)));
    let reason = run(&control, &ring, process_start_ns);
    finish(Some(&Report::new(control, ring)), &reason)
}

fn run(control: &Arc<Control>, ring: &Arc<ConsoleRing>, process_start_ns: u64) -> ExitReason {
    let (spec, descriptors) = match control.receive() {
        Ok(Some((ToVmm::Machine(spec), descriptors))) => (spec, descriptors),
        Ok(Some((other, _))) => {
            return failure(&format!(
                "the first control message is {other:?}, not a machine"
            ));
        }
        Ok(None) => return ExitReason::Stopped,
        Err(error) => return failure(&chain(&error)),
    };
    let files = match spec::check(&spec, descriptors) {
        Ok(files) => files,
        Err(error) => return failure(&chain(&error)),
    };
    let (control, ring) = (Arc::clone(control), Arc::clone(ring));
    match machine::start(&spec, files, control, ring, process_start_ns) {
        // Never dropped: whoever waits for the reason need not wait for the kernel to take what the loop holds back too.
        Ok(event_loop) => ManuallyDrop::new(event_loop).run(),
        Err(error) => failure(&chain(&error)),
    }
}
