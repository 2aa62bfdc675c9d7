use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::vmm::ExitReason;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

fn exited() -> FromVmm {
    FromVmm::Exited {
        reason: ExitReason::GuestReset,
        console: Blob::default(),
    }
}

#[test]
fn the_last_words_of_a_vmm_that_left_messages_unread_are_heard() {
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    let mut link = VmmLink::new(ours);
    assert!(matches!(link.receive().unwrap(), Received::Nothing));
    link.stop();
    let packet = frame::encode_packet(&exited(), MAX_PACKET).unwrap();
    send(&theirs, &packet, SendFlags::NOSIGNAL).unwrap();
    drop(theirs);

    let heard = link.receive().unwrap();
    assert!(matches!(heard, Received::Message(message, None) if message == exited()));
    assert!(matches!(link.receive().unwrap(), Received::End));
}
