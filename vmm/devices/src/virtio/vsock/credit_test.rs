use proptest::prelude::*;

use super::*;

#[test]
fn a_guest_that_has_said_nothing_gives_no_credit() {
    assert_eq!(SendCredit::default().available(), 0);
}

#[test]
fn a_guest_that_shrinks_its_buffer_below_what_is_under_way_gives_none() {
    let mut credit = SendCredit::default();
    credit.update(100, 0);
    credit.spend(80);
    credit.update(50, 0);
    assert_eq!(credit.available(), 0);
    credit.update(50, 40);
    assert_eq!(credit.available(), 10);
}

#[test]
fn a_guest_that_took_what_was_never_sent_gets_nothing() {
    let mut credit = SendCredit::default();
    credit.update(u32::MAX - 1, 1);
    assert_eq!(credit.available(), 0);
}

#[test]
fn a_full_window_takes_no_byte_more_until_some_are_forwarded() {
    let mut credit = ReceiveCredit::default();
    assert!(!credit.accept(CONNECTION_BUFFER + 1));
    assert!(credit.accept(CONNECTION_BUFFER));
    assert!(!credit.accept(1));
    credit.forward(1);
    assert!(credit.accept(1));
    assert!(!credit.accept(u32::MAX));
}

proptest! {
    /// A sender against the true, unwrapped counts.
    #[test]
    fn no_more_is_sent_than_an_honest_guest_has_room_for(
        start in any::<u32>(),
        steps in prop::collection::vec((any::<bool>(), 0u32..5000), 1..200),
    ) {
        let mut credit = SendCredit { sent: Wrapping(start), peer_fwd_cnt: Wrapping(start), peer_buf_alloc: 8192 };
        let (mut sent, mut taken) = (0u64, 0u64);
        for (send, amount) in steps {
            if send {
                let amount = amount.min(credit.available());
                credit.spend(amount);
                sent += u64::from(amount);
            } else {
                taken += u64::from(amount).min(sent - taken);
                let fwd_cnt = start.wrapping_add(u32::try_from(taken).unwrap());
                credit.update(8192, fwd_cnt);
            }
            prop_assert!(sent - taken <= 8192);
            prop_assert!(u64::from(credit.available()) <= 8192 - (sent - taken));
        }
    }

    #[test]
    fn no_values_of_a_hostile_guest_give_more_credit_than_its_buffer(
        sent in any::<u32>(), buf_alloc in any::<u32>(), fwd_cnt in any::<u32>(),
    ) {
        let mut credit = SendCredit::default();
        credit.spend(sent);
        credit.update(buf_alloc, fwd_cnt);
        prop_assert!(credit.available() <= buf_alloc);
    }

    /// Two honest sides: the guest never stalls for want of news, nor exceeds the window.
    #[test]
    fn a_guest_that_keeps_to_its_window_is_always_accepted_and_never_starves(
        start in any::<u32>(),
        steps in prop::collection::vec((1u32..100_000, 1u32..100_000), 1..200),
    ) {
        let mut credit = ReceiveCredit { received: Wrapping(start), forwarded: Wrapping(start), told: Wrapping(start) };
        let (mut sent, mut known, mut held) = (start, start, 0);
        for (send, take) in steps {
            let room = CONNECTION_BUFFER - sent.wrapping_sub(known);
            let send = send.min(room);
            prop_assert!(credit.accept(send));
            sent = sent.wrapping_add(send);
            held += send;
            let take = take.min(held);
            held -= take;
            credit.forward(take);
            if credit.is_stale() {
                known = credit.tell();
            }
            let room = CONNECTION_BUFFER - sent.wrapping_sub(known);
            prop_assert!(room > 0 || held > 0, "an empty buffer leaves the guest a way on");
        }
    }
}
