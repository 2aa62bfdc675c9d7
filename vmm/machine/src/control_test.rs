use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

fn pair() -> (Control, OwnedFd) {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    (Control::new(ours), theirs)
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let bytes = [IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
}

#[test]
fn descriptors_come_with_their_message() {
    let (control, peer) = pair();
    let bytes = postcard::to_stdvec(&ToVmm::Connect { port: 80 }).unwrap();
    send(&peer, &bytes, &vec![peer.as_fd(); MAX_FDS]);
    let (message, descriptors) = control.receive().unwrap().unwrap();
    assert_eq!(message, ToVmm::Connect { port: 80 });
    assert_eq!(descriptors.len(), MAX_FDS);
}

#[test]
fn a_closed_socket_is_the_end() {
    let (control, peer) = pair();
    drop(peer);
    assert!(control.receive().unwrap().is_none());
    let error = control.send(&FromVmm::Paused, None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn nonsense_is_an_error_and_not_the_end_of_the_socket() {
    let (control, peer) = pair();
    send(&peer, &[0xff; 100], &[]);
    let error = control.receive().unwrap_err();
    assert_eq!(error.to_string(), "a control message makes no sense");
    send(&peer, &postcard::to_stdvec(&ToVmm::Stop).unwrap(), &[]);
    assert_eq!(control.receive().unwrap().unwrap().0, ToVmm::Stop);
}

#[test]
fn a_message_over_the_bound_is_refused() {
    let (control, peer) = pair();
    send(&peer, &vec![0; MAX_PACKET + 1], &[]);
    assert!(matches!(control.receive(), Err(ControlError::Cut)));
}

#[test]
fn a_reader_that_is_behind_holds_up_nobody() {
    let (control, _peer) = pair();
    let error = loop {
        if let Err(error) = control.send(&FromVmm::Resumed, None) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
