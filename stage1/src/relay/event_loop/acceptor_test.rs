use super::*;

#[test]
fn without_descriptors_it_rests_and_tries_again_whoever_leaves_or_not() {
    let mut acceptor = Acceptor::default();
    let now = Duration::from_secs(7);
    assert!(!acceptor.rests(now));
    for errno in [Errno::MFILE, Errno::NFILE] {
        assert_eq!(acceptor.take::<()>(Err(errno), now), None);
        assert!(acceptor.rests(now));
        let again = acceptor.deadline(now).unwrap();
        assert!(!acceptor.rests(again));
        assert_eq!(acceptor.deadline(again), None);
    }
}

#[test]
fn a_client_that_has_gone_again_is_no_reason_to_rest() {
    let mut acceptor = Acceptor::default();
    let now = Duration::from_secs(7);
    assert_eq!(acceptor.take::<()>(Err(Errno::CONNABORTED), now), None);
    assert_eq!(acceptor.take(Ok(1), now), Some(1));
    assert_eq!(acceptor.deadline(now), None);
}
