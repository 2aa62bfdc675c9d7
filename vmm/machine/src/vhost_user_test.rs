use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use bulkhead_kvm::memory::{Sharing, allocate};

use super::fake_backend::{
    FakeBackend, GET_FEATURES, GET_PROTOCOL_FEATURES, GET_VRING_BASE, Heard, answer, message,
};
use super::*;
use crate::end::chain;
use crate::layout;

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

/// What a greeting, a start and a stop of two queues ask for, and whether there is an answer.
const REQUESTS: [(&str, bool); 23] = [
    ("SET_OWNER", false),
    ("GET_FEATURES", true),
    ("GET_PROTOCOL_FEATURES", true),
    ("SET_PROTOCOL_FEATURES", false),
    ("SET_MEM_TABLE", true),
    ("GET_FEATURES", true),
    ("SET_FEATURES", true),
    ("SET_VRING_NUM", true),
    ("SET_VRING_ADDR", true),
    ("SET_VRING_BASE", true),
    ("SET_VRING_CALL", true),
    ("SET_VRING_KICK", true),
    ("SET_VRING_NUM", true),
    ("SET_VRING_ADDR", true),
    ("SET_VRING_BASE", true),
    ("SET_VRING_CALL", true),
    ("SET_VRING_KICK", true),
    ("SET_VRING_ENABLE", true),
    ("SET_VRING_ENABLE", true),
    ("SET_VRING_ENABLE", true),
    ("GET_VRING_BASE", true),
    ("SET_VRING_ENABLE", true),
    ("GET_VRING_BASE", true),
];

fn memory() -> GuestMemory {
    let ram = allocate(&layout::ram(64 << 20), Sharing::File).unwrap();
    ram.memory().clone()
}

fn driver() -> ActiveState {
    let queue = |base: u64| QueueSnapshot {
        size: 64,
        next_avail: 3,
        next_used: 3,
        desc_table: base,
        avail_ring: base + 0x1000,
        used_ring: base + 0x2000,
        stopped: false,
    };
    ActiveState {
        features: 1 << 32,
        queues: vec![queue(0x10_0000), queue(0x20_0000)],
    }
}

/// The other side as a thread, and a socket to it.
fn against(script: impl FnOnce(FakeBackend) + Send + 'static) -> (UnixStream, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours, thread::spawn(|| script(FakeBackend(theirs))))
}

fn start(socket: UnixStream) -> Result<Backend, VhostUserError> {
    let memory = memory();
    let mut backend = Backend::greet(socket, &memory, NEVER)?;
    let (kick, call) = (Event::new().unwrap(), Event::new().unwrap());
    let bells = Bells {
        kick: &kick,
        call: &call,
    };
    backend.start(&driver(), &memory, &[bells; 2])?;
    Ok(backend)
}

/// A greeting, a start and a stop with a side that does as it should for so many requests, then answers the next one wrongly, and
/// listens on.
#[track_caller]
fn answered(good: usize, wrong: impl FnOnce(&mut FakeBackend, &Heard) + Send + 'static) -> String {
    let (socket, other) = against(move |mut other| {
        for _ in 0..good {
            other.serve();
        }
        if let Some(heard) = other.hear() {
            wrong(&mut other, &heard);
            while other.hear().is_some() {}
        }
    });
    let result = start(socket).and_then(|mut backend| backend.stop(2));
    let text = match result {
        Ok(places) => format!("places {places:?}"),
        Err(error) => chain(&error),
    };
    // Nothing is left of the conversation: so the other side is hung up on, and ends.
    other.join().unwrap();
    text
}

/// Every request that is answered, answered wrongly, fails with its name and this reason.
#[track_caller]
fn fails_everywhere(wrong: fn(&mut FakeBackend, &Heard), reason: fn(u32) -> String) {
    for (good, (name, is_answered)) in REQUESTS.into_iter().enumerate() {
        if is_answered {
            let asked = number(name);
            assert_eq!(
                answered(good, wrong),
                format!("{name} failed: {}", reason(asked)),
                "request {good}"
            );
        }
    }
}

fn number(name: &str) -> u32 {
    let all = [
        Request::GetFeatures,
        Request::SetFeatures,
        Request::SetMemTable,
        Request::SetVringNum,
        Request::SetVringAddr,
        Request::SetVringBase,
        Request::GetVringBase,
        Request::SetVringKick,
        Request::SetVringCall,
        Request::GetProtocolFeatures,
        Request::SetVringEnable,
    ];
    let found = all.into_iter().find(|request| request.to_string() == name);
    found.unwrap() as u32
}

#[test]
fn the_right_answers_start_and_stop_the_queues() {
    let (socket, other) = against(|mut other| {
        let heard: Vec<_> = std::iter::from_fn(|| other.serve()).collect();
        assert_eq!(heard.len(), REQUESTS.len());
        for (heard, (name, is_answered)) in heard.iter().zip(REQUESTS) {
            assert_eq!(heard.is_answered(), is_answered, "{name}");
            if is_answered {
                assert_eq!(heard.request, number(name));
            }
        }
        let descriptors = heard.iter().map(|heard| heard.descriptors.len());
        assert_eq!(descriptors.sum::<usize>(), 1 + 4, "memory and bells");
        assert_eq!((heard[9].word(0), heard[9].word(1)), (0, 3));
        assert_eq!((heard[14].word(0), heard[14].word(1)), (1, 3));
    });
    let mut backend = start(socket).unwrap();
    assert_eq!(backend.stop(2).unwrap(), [7, 8]);
    drop(backend);
    other.join().unwrap();
}

#[test]
fn a_side_that_hangs_up_is_told_by_the_request_it_left_unanswered() {
    for good in 0..REQUESTS.len() {
        let (socket, other) = against(move |mut other| {
            for _ in 0..good {
                other.serve();
            }
            other.hear();
        });
        let error = start(socket).and_then(|mut backend| backend.stop(2));
        let error = chain(&error.unwrap_err());
        // What is not answered may be sent before the other side is gone, or after.
        let names = REQUESTS[good..].iter();
        let names = names.take(1 + REQUESTS[good..].iter().take_while(|(_, yes)| !yes).count());
        let mut texts = names.map(|(name, _)| format!("{name} failed: the other side has hung up"));
        assert!(texts.any(|text| text == error), "request {good}: {error}");
        other.join().unwrap();
    }
}

#[test]
fn the_answer_to_another_request_is_none() {
    fails_everywhere(
        |other, heard| other.say(&answer(heard.request + 1, &heard.answer())),
        |asked| {
            let request = asked + 1;
            format!("the answer is one to request {request}, with flags 0x5 and 8 bytes")
        },
    );
}

#[test]
fn a_request_is_no_answer_and_neither_is_another_version() {
    fails_everywhere(
        |other, heard| other.say(&message(heard.request, 0x1, &heard.answer())),
        |asked| format!("the answer is one to request {asked}, with flags 0x1 and 8 bytes"),
    );
    fails_everywhere(
        |other, heard| other.say(&message(heard.request, 0x6, &heard.answer())),
        |asked| format!("the answer is one to request {asked}, with flags 0x6 and 8 bytes"),
    );
}

#[test]
fn short_and_long_answers_are_none() {
    fails_everywhere(
        |other, heard| other.say(&answer(heard.request, &[0; 7])),
        |asked| format!("the answer is one to request {asked}, with flags 0x5 and 7 bytes"),
    );
    fails_everywhere(
        |other, heard| other.say(&answer(heard.request, &[0; 4096])),
        |asked| format!("the answer is one to request {asked}, with flags 0x5 and 4096 bytes"),
    );
}

#[test]
fn garbage_without_end_is_read_no_further_than_an_answer() {
    fails_everywhere(
        |other, _| while other.0.write_all(&[0xee; 4096]).is_ok() {},
        |_| {
            "the answer is one to request 4008636142, with flags 0xeeeeeeee and 4008636142 bytes"
                .to_owned()
        },
    );
}

#[test]
fn an_answer_in_pieces_is_whole_and_one_that_comes_twice_is_the_next_request_s_failure() {
    let pieces = |other: &mut FakeBackend, heard: &Heard| {
        for byte in answer(heard.request, &heard.answer()) {
            other.say(&[byte]);
        }
    };
    assert_eq!(answered(REQUESTS.len() - 1, pieces), "places [7, 8]");
    let twice = |other: &mut FakeBackend, heard: &Heard| {
        let answer = answer(heard.request, &heard.answer());
        other.say(&[answer.clone(), answer].concat());
    };
    assert_eq!(
        answered(4, twice),
        "GET_FEATURES failed: the answer is one to request 5, with flags 0x5 and 8 bytes"
    );
}

#[test]
fn what_is_refused_is_told() {
    for (good, (name, _)) in REQUESTS.into_iter().enumerate() {
        let ordered = name.starts_with("SET_") && REQUESTS[good].1;
        if ordered {
            let refuse =
                |other: &mut FakeBackend, heard: &Heard| other.say(&answer(heard.request, &[1; 8]));
            assert_eq!(
                answered(good, refuse),
                format!("{name} failed: the other side refuses it with 72340172838076673")
            );
        }
    }
}

#[test]
fn missing_features_are_told() {
    let nothing = |other: &mut FakeBackend, heard: &Heard| {
        assert!([GET_FEATURES, GET_PROTOCOL_FEATURES].contains(&heard.request));
        other.say(&answer(heard.request, &[0; 8]));
    };
    for (good, text) in [
        (1, "GET_FEATURES failed: features 0x40000000 are missing"),
        (2, "GET_PROTOCOL_FEATURES failed: features 0x8 are missing"),
        (5, "GET_FEATURES failed: features 0x140000000 are missing"),
    ] {
        assert_eq!(answered(good, nothing), text);
    }
}

#[test]
fn a_place_that_no_ring_has_or_that_of_another_queue_is_told() {
    for (queue, place) in [(0, 0x1_0000), (1, 7), (u32::MAX, u32::MAX)] {
        let wrong = move |other: &mut FakeBackend, heard: &Heard| {
            assert_eq!(heard.request, GET_VRING_BASE);
            let body = [queue, place].map(u32::to_ne_bytes);
            other.say(&answer(heard.request, body.as_flattened()));
        };
        assert_eq!(
            answered(20, wrong),
            format!("GET_VRING_BASE failed: the answer is place {place} of queue {queue}")
        );
    }
}

#[test]
fn descriptors_that_come_with_an_answer_are_closed() {
    for good in [1, 4, 22] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let with_descriptors = move |other: &mut FakeBackend, heard: &Heard| {
            let writers = [OwnedFd::from(writer.try_clone().unwrap()), writer.into()];
            other.say_with(&answer(heard.request, &heard.answer()), &writers);
        };
        let (name, _) = REQUESTS[good];
        assert_eq!(
            answered(good, with_descriptors),
            format!("{name} failed: descriptors came with the answer")
        );
        // Its end: nobody has the other one open any more.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_side_that_never_answers_is_not_waited_for_beyond_the_limit() {
    let (socket, other) = against(|mut other| while other.hear().is_some() {});
    let error = Backend::greet(socket, &memory(), Duration::ZERO).unwrap_err();
    assert_eq!(
        chain(&error),
        "GET_FEATURES failed: there was no whole answer in time"
    );
    other.join().unwrap();
}

#[test]
fn a_stop_that_is_not_answered_whole_ends_at_the_limit() {
    let (socket, other) = against(|mut other| {
        for _ in 0..19 {
            other.serve();
        }
        let heard = other.hear().unwrap();
        let answer = answer(heard.request, &heard.answer());
        other.say(&answer[..answer.len() - 1]);
        assert!(other.hear().is_none());
    });
    let mut backend = start(socket).unwrap();
    backend.limit = Duration::ZERO;
    assert_eq!(
        chain(&backend.stop(2).unwrap_err()),
        "SET_VRING_ENABLE failed: there was no whole answer in time"
    );
    drop(backend);
    other.join().unwrap();
}

#[test]
fn a_side_that_never_reads_is_not_waited_for_either() {
    let (socket, _deaf) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    while (&socket).write(&[0; 4096]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    let error = Backend::greet(socket, &memory(), Duration::ZERO).unwrap_err();
    assert_eq!(
        chain(&error),
        "SET_OWNER failed: there was no whole answer in time"
    );
}

#[test]
fn memory_that_nobody_else_can_map_is_not_given_away() {
    let ram = allocate(&layout::ram(64 << 20), Sharing::Private).unwrap();
    let (socket, other) = against(|mut other| while other.serve().is_some() {});
    let error = Backend::greet(socket, ram.memory(), NEVER).unwrap_err();
    assert_eq!(
        chain(&error),
        "SET_MEM_TABLE failed: address 0x0 is outside of guest memory that can be shared"
    );
    other.join().unwrap();
}
