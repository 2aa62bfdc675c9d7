//! Images that are damaged on the host's disk: who reads the bad blocks gets an error, and the host hears of it once.

use std::io;

use bulkhead_protocol::agent::FromAgent;
use rustix::event::epoll::EventFlags;

use super::Agent;
use crate::damage::Damage;
use crate::poller::{Poller, Token};
use crate::setup::Machine;

/// Hears of damage from now on, where images are checked at all. Once the first is there and before it is read: what is told of the making of
/// devices is of no use to anybody.
pub(super) fn listen(
    damage: &mut Option<Damage>,
    machine: &Machine,
    poller: &Poller,
) -> io::Result<()> {
    if damage.is_none() && machine.mapper.is_some() {
        let heard = damage.insert(Damage::listen()?);
        poller.add(&*heard, Token::Damage, EventFlags::IN)?;
    }
    Ok(())
}

impl Agent {
    /// Something happened to a block device.
    pub(super) fn hear_of_damage(&mut self) {
        let device = self.damage.as_ref().and_then(Damage::next);
        let (Some(device), Some(pod)) = (device, &mut self.pod) else {
            return;
        };
        if pod.note_damage(&device) {
            self.tell_of_damage();
        }
    }

    /// Says of each app whose image is damaged that it is. The host says it on once.
    pub(super) fn tell_of_damage(&mut self) {
        let damaged = self.pod.iter().flat_map(|pod| pod.with_damage());
        let messages: Vec<_> = damaged
            .map(|app| FromAgent::ImageDamaged { app: app.clone() })
            .collect();
        messages.iter().for_each(|message| self.send(message));
    }
}
