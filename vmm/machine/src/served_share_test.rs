use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use bulkhead_devices::Effect;
use bulkhead_devices::virtio::{Slot, Transport, Trigger};
use bulkhead_kvm::memory::{Sharing, allocate};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::layout;
use crate::vhost_user::fake_backend::{
    FakeBackend, GET_VRING_BASE, Heard, PLACE, SET_VRING_BASE, SET_VRING_CALL, SET_VRING_ENABLE,
};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

/// Where the used ring of each queue lies.
const USED_RINGS: [u64; fs::QUEUES] = [0x12_0000, 0x22_0000];

const INTERRUPT_STATUS: u64 = 0x60;
const STATUS: u64 = 0x70;
const USED_BUFFER: u32 = 1;
const NEEDS_RESET: u32 = 0x40;

struct NoLine;

impl Trigger for NoLine {
    fn trigger(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A share, its registers, and its other side.
struct Bench {
    share: ServedShare,
    transport: Transport,
    memory: GuestMemory,
    heard: Receiver<Heard>,
    other: JoinHandle<()>,
}

impl Bench {
    /// With another side that does as it should for so many requests, then hears everything and answers nothing.
    fn new(good: usize) -> Self {
        let ram = allocate(&layout::ram(64 << 20), Sharing::File).unwrap();
        let memory = ram.memory().clone();
        let interrupt = Interrupt::new(Box::new(NoLine));
        let info = fs::info("data");
        let transport = Transport::new(Slot(0), info, memory.clone(), Arc::clone(&interrupt));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let device = Share {
            slot: Slot(0),
            tag: "data".to_owned(),
            socket: ours,
            interrupt,
        };
        let kicks = (0..fs::QUEUES).map(|_| Arc::new(Event::new().unwrap()));
        let kicks = kicks.collect();
        let (tell, heard) = channel();
        let other = thread::spawn(move || {
            let mut other = FakeBackend(theirs);
            let served: Vec<_> = (0..good).map_while(|_| other.serve()).collect();
            for heard in served
                .into_iter()
                .chain(std::iter::from_fn(|| other.hear()))
            {
                let _ = tell.send(heard);
            }
        });
        Self {
            share: ServedShare::new(device, memory.clone(), kicks, NEVER).unwrap(),
            transport,
            memory,
            heard,
            other,
        }
    }

    /// With another side that does as it should.
    fn served() -> Self {
        Self::new(usize::MAX)
    }

    fn write(&mut self, offset: u64, value: u32) -> Effect {
        self.transport.write(offset, &value.to_le_bytes())
    }

    fn read(&mut self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.transport.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    /// What a driver does to have the device run.
    fn activate(&mut self) {
        for (offset, value) in [(STATUS, 1), (STATUS, 3), (0x24, 1), (0x20, 1), (STATUS, 11)] {
            let _ = self.write(offset, value);
        }
        for (queue, used) in (0..).zip(USED_RINGS) {
            let used = u32::try_from(used).unwrap();
            for (offset, value) in [
                (0x30, queue),
                (0x38, 64),
                (0x80, used - 0x2_0000),
                (0x90, used - 0x1_0000),
                (0xa0, used),
                (0x44, 1),
            ] {
                let _ = self.write(offset, value);
            }
        }
        match self.write(STATUS, 15) {
            Effect::Activate(activation) => self.share.activate(activation),
            other => panic!("{other:?}"),
        }
    }

    /// Ends the conversation, and gives all requests that the other side has heard.
    fn end(self) -> Vec<Heard> {
        drop(self.share);
        self.other.join().unwrap();
        self.heard.iter().collect()
    }
}

fn requests(heard: &[Heard]) -> Vec<u32> {
    heard.iter().map(|heard| heard.request).collect()
}

#[test]
fn a_pause_takes_the_queues_back_and_gives_them_again_where_they_stood() {
    let mut bench = Bench::served();
    bench.activate();
    for (count, used) in (40_u16..).zip(USED_RINGS) {
        let index = GuestAddress(used + 2);
        bench.memory.write_obj(count.to_le(), index).unwrap();
    }
    bench.share.suspend();
    let saved = bench.share.save();
    bench.share.resume();
    bench.share.suspend();
    assert_eq!(bench.share.save(), saved, "nothing was served meanwhile");

    let driver = saved.restore(&bench.memory).unwrap().expect("a driver");
    let next_avail = driver
        .queues
        .iter()
        .map(|queue| u32::from(queue.next_avail));
    assert_eq!(next_avail.collect::<Vec<_>>(), [PLACE, PLACE + 1]);
    let next_used = driver.queues.iter().map(|queue| queue.next_used);
    assert_eq!(next_used.collect::<Vec<_>>(), [40, 41]);

    let heard = bench.end();
    let taken = [
        SET_VRING_ENABLE,
        GET_VRING_BASE,
        SET_VRING_ENABLE,
        GET_VRING_BASE,
    ];
    assert!(requests(&heard).ends_with(&taken));
    let places = heard.iter().filter(|heard| heard.request == SET_VRING_BASE);
    let places: Vec<_> = places.map(|heard| (heard.word(0), heard.word(1))).collect();
    let [second, third] = [(0, PLACE), (1, PLACE + 1)];
    assert_eq!(places, [(0, 0), (1, 0), second, third]);
}

#[test]
fn a_notification_that_the_other_side_lost_in_a_pause_is_made_up_for() {
    let mut bench = Bench::served();
    bench.activate();
    bench.share.suspend();
    for kick in &bench.share.kicks {
        assert!(!kick.hear());
    }
    bench.share.resume();
    for kick in &bench.share.kicks {
        assert!(kick.hear());
    }
}

#[test]
fn calls_before_a_pause_are_interrupts_before_it() {
    let mut bench = Bench::served();
    bench.activate();
    bench.share.call.ring().unwrap();
    bench.share.suspend();
    assert_eq!(bench.read(INTERRUPT_STATUS), USED_BUFFER);
    assert!(!bench.share.call.hear());
}

#[test]
fn a_side_that_does_not_give_the_queues_back_is_hung_up_on_and_not_waited_for_again() {
    let mut bench = Bench::new(19);
    bench.activate();
    match &mut bench.share.state {
        State::Running(backend, _) => backend.limit = Duration::ZERO,
        _ => panic!("the share does not run"),
    }
    bench.share.suspend();
    assert_eq!(bench.share.save(), FsState::new(None));
    assert_eq!(bench.read(STATUS) & NEEDS_RESET, NEEDS_RESET);
    bench.share.resume();
    bench.share.suspend();
    bench.share.reset();
    // It would hear for ever if it were not hung up on: the share itself is still there.
    bench.other.join().unwrap();
    let heard: Vec<_> = bench.heard.try_iter().collect();
    assert_eq!(requests(&heard[19..]), [SET_VRING_ENABLE]);
}

#[test]
fn a_pause_before_the_driver_is_ready_asks_for_nothing() {
    let mut bench = Bench::served();
    bench.share.suspend();
    assert_eq!(bench.share.save(), FsState::new(None));
    bench.share.resume();
    assert!(bench.end().is_empty());
}

#[test]
fn a_reset_takes_the_queues_back_and_the_next_driver_starts_anew() {
    let mut bench = Bench::served();
    bench.activate();
    assert!(matches!(bench.write(STATUS, 0), Effect::ResetDevice(_)));
    bench.share.reset();
    bench.transport.reset_done();
    bench.share.suspend();
    assert_eq!(bench.share.save(), FsState::new(None));
    bench.share.resume();
    bench.activate();
    let heard = bench.end();
    let places = heard.iter().filter(|heard| heard.request == SET_VRING_BASE);
    assert!(places.map(|heard| heard.word(1)).eq([0; 4]));
}

#[test]
fn a_side_that_calls_without_end_delays_nothing() {
    let mut bench = Bench::served();
    bench.activate();
    let call = bench.share.call.as_fd().try_clone_to_owned().unwrap();
    let (stop, stopped) = channel::<()>();
    let caller = thread::spawn(move || {
        while stopped.try_recv().is_err() {
            rustix::io::write(&call, &1_u64.to_ne_bytes()).unwrap();
        }
    });
    for _ in 0..100 {
        bench.share.heard(false);
        bench.share.suspend();
        assert_ne!(bench.share.save(), FsState::new(None));
        bench.share.resume();
    }
    stop.send(()).unwrap();
    caller.join().unwrap();
    let heard = bench.end();
    let calls = heard.iter().filter(|heard| heard.request == SET_VRING_CALL);
    assert_eq!(calls.count(), 2 * 101);
}

#[test]
fn the_end_of_the_other_side_is_the_end_of_the_share() {
    let mut bench = Bench::served();
    bench.activate();
    bench.share.heard(true);
    assert_eq!(bench.share.polled().len(), 1, "its end is no news any more");
    bench.share.suspend();
    bench.share.resume();
    assert_eq!(bench.share.save(), FsState::new(None));
}
