//! A shared directory whose other side is a test: what a pause asks of it, and what becomes of the machine when it does wrong.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::vmm::{ExitReason, FdIndex, FromVmm, ShareSpec, ToVmm};

use crate::fake_backend::{
    FakeBackend, GET_VRING_BASE, Heard, PLACE, SET_VRING_BASE, SET_VRING_CALL, SET_VRING_ENABLE,
    answer,
};
use crate::harness::{ENTRY, End, Vmm, kernel, kvm, spec};

/// The page directory's last entry, and what it maps: 2 MiB.
const LAST_ENTRY: u32 = 0xbff8;
const MAPPED: u32 = 0x3fe0_0000;
/// The devices' windows, as a large page that can be written.
const WINDOWS: u32 = 0xd000_0000 | 0x83;
/// The share's window: it comes after vsock, rng and balloon.
const SHARE: u32 = MAPPED + 3 * 0x1000;

const STATUS: u32 = 0x70;

/// A driver of the share that has nothing to ask for: a list of stores to make, then jmp $.
fn driver() -> Vec<u8> {
    let mut stores = vec![(LAST_ENTRY, WINDOWS)];
    let mut write = |offset: u32, value: u32| stores.push((SHARE + offset, value));
    for (offset, value) in [(STATUS, 1), (STATUS, 3), (0x24, 1), (0x20, 1), (STATUS, 11)] {
        write(offset, value);
    }
    for queue in 0..2 {
        let base = 0x10_0000 * (queue + 1);
        write(0x30, queue);
        write(0x38, 64);
        write(0x80, base);
        write(0x90, base + 0x1000);
        write(0xa0, base + 0x2000);
        write(0x44, 1);
    }
    write(STATUS, 15);
    // mov esi, table; mov ecx, count; next: lodsd; mov ebx, eax; lodsd; mov [rbx], eax; loop next; jmp $
    let mut code = vec![0xbe];
    let table = u32::try_from(ENTRY).unwrap() + 20;
    code.extend(table.to_le_bytes());
    code.push(0xb9);
    code.extend(u32::try_from(stores.len()).unwrap().to_le_bytes());
    code.extend([0xad, 0x89, 0xc3, 0xad, 0x89, 0x03, 0xe2, 0xf8, 0xeb, 0xfe]);
    assert_eq!(code.len(), 20);
    code.extend(
        stores
            .iter()
            .flat_map(|(at, value)| [at.to_le_bytes(), value.to_le_bytes()].concat()),
    );
    code
}

/// A running machine with this other side.
fn machine<T: Send + 'static>(
    script: impl FnOnce(FakeBackend) -> T + Send + 'static,
) -> (Vmm, JoinHandle<T>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let other = thread::spawn(|| script(FakeBackend(ours)));
    let mut spec = spec();
    spec.shares = List::try_from(vec![ShareSpec {
        late: false,
        tag: Text::try_from("data").unwrap(),
        socket: FdIndex(2),
    }])
    .unwrap();
    let (kvm, kernel) = (kvm(), kernel(&driver()));
    let vmm = Vmm::start_with(&spec, &[kvm.as_fd(), kernel.as_fd(), theirs.as_fd()]);
    vmm.wait_for_start();
    (vmm, other)
}

fn pause_and_resume(vmm: &Vmm) {
    vmm.send(&ToVmm::Pause, &[]);
    vmm.expect(&FromVmm::Paused);
    vmm.send(&ToVmm::Resume, &[]);
    vmm.expect(&FromVmm::Resumed);
}

/// Stops the machine, whose share has told this.
#[track_caller]
fn ends_having_told(vmm: Vmm, told: &str) {
    let end: End = vmm.stop();
    end.assert(&ExitReason::Stopped, 2);
    assert_eq!(end.stderr, format!("vmm: share data: {told}\n"));
}

/// Serves until this request has been answered.
fn serve_until(other: &mut FakeBackend, request: u32) -> Heard {
    loop {
        let heard = other.serve().expect("hung up before that request");
        if heard.request == request {
            return heard;
        }
    }
}

/// Serves until the queues run.
fn run(other: &mut FakeBackend) {
    serve_until(other, SET_VRING_ENABLE);
    serve_until(other, SET_VRING_ENABLE);
}

#[test]
fn a_pause_takes_the_queues_back_before_it_is_told_and_a_resume_gives_them_again() {
    let (started, wait_for_start) = std::sync::mpsc::channel();
    let (vmm, other) = machine(move |mut other| {
        run(&mut other);
        started.send(()).unwrap();
        let taken = [0, 1].map(|_| serve_until(&mut other, GET_VRING_BASE).word(0));
        started.send(()).unwrap();
        let given = [0, 1].map(|_| {
            let heard = serve_until(&mut other, SET_VRING_BASE);
            (heard.word(0), heard.word(1))
        });
        run(&mut other);
        (taken, given)
    });
    wait_for_start.recv().unwrap();
    vmm.send(&ToVmm::Pause, &[]);
    vmm.expect(&FromVmm::Paused);
    wait_for_start
        .try_recv()
        .expect("the queues were taken back before");
    vmm.send(&ToVmm::Resume, &[]);
    vmm.expect(&FromVmm::Resumed);
    let (taken, given) = other.join().unwrap();
    assert_eq!(taken, [0, 1]);
    assert_eq!(given, [(0, PLACE), (1, PLACE + 1)]);
}

#[test]
fn a_side_that_hangs_up_costs_the_machine_its_share_and_nothing_else() {
    let (vmm, other) = machine(|mut other| run(&mut other));
    other.join().unwrap();
    pause_and_resume(&vmm);
    pause_and_resume(&vmm);
    let end = vmm.stop();
    end.assert(&ExitReason::Stopped, 2);
    assert!(
        end.stderr.starts_with("vmm: share data: "),
        "{}",
        end.stderr
    );
    assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
}

#[test]
fn a_side_that_does_not_give_the_queues_back_is_hung_up_on_and_the_pause_completes() {
    let (vmm, other) = machine(|mut other| {
        run(&mut other);
        let heard = other.hear().unwrap();
        other.say(&answer(heard.request, &[1, 0, 0, 0, 0, 0, 0, 0]));
        assert!(other.hear().is_none());
    });
    // The pause may come before the driver is ready: then the first one asks for nothing.
    while !other.is_finished() {
        pause_and_resume(&vmm);
    }
    other.join().unwrap();
    pause_and_resume(&vmm);
    ends_having_told(
        vmm,
        "SET_VRING_ENABLE failed: the other side refuses it with 1",
    );
}

#[test]
fn a_side_that_talks_without_being_asked_is_hung_up_on_when_it_is() {
    let (vmm, other) = machine(|other| {
        let flood = vec![0xee; 1 << 20];
        while std::io::Write::write_all(&mut &other.0, &flood).is_ok() {}
    });
    other.join().unwrap();
    pause_and_resume(&vmm);
    ends_having_told(
        vmm,
        "GET_FEATURES failed: the answer is one to request 4008636142, with flags 0xeeeeeeee and 4008636142 bytes",
    );
}

#[test]
fn a_side_that_calls_without_end_does_not_keep_the_machine_from_a_pause() {
    let (calling, wait_for_calls) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (vmm, other) = machine(move |mut other| {
        let heard = serve_until(&mut other, SET_VRING_CALL);
        run(&mut other);
        let call = heard.descriptors.into_iter().next().unwrap();
        let caller = thread::spawn(move || {
            while stopped.try_recv().is_err() {
                rustix::io::write(&call, &1_u64.to_ne_bytes()).unwrap();
            }
        });
        calling.send(()).unwrap();
        while other.serve().is_some() {}
        caller.join().unwrap();
    });
    wait_for_calls.recv().unwrap();
    for _ in 0..20 {
        pause_and_resume(&vmm);
    }
    let end = vmm.stop();
    end.assert(&ExitReason::Stopped, 2);
    assert_eq!(end.stderr, "");
    stop.send(()).unwrap();
    other.join().unwrap();
}
