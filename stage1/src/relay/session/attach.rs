//! Clients that read and write the streams of an app beside those who do already. What they do is nobody's end.

use bulkhead_protocol::control::{Attach, Streams};
use bulkhead_protocol::plan::{AppName, ProcessId};
use bulkhead_protocol::relay::{Destination, Outputs};

use super::input::Input;
use super::{Phase, Refusal, Session};

/// What an app has to attach to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its main process.
    pub process: ProcessId,
    /// Its streams.
    pub streams: Streams,
    /// Whether they are a terminal's.
    pub terminal: bool,
}

impl Session {
    /// What there is to attach to.
    ///
    /// # Errors
    /// When the pod has no such app, or it has ended.
    pub fn offer(&self, app: &AppName) -> Result<Offer, Refusal> {
        let Some((process, of_app)) = self.apps.named(app) else {
            let (app, apps) = (app.clone(), self.apps.names());
            return Err(Refusal::App { app, apps });
        };
        if !matches!(self.phase, Phase::Booting | Phase::Running) || of_app.has_ended() {
            return Err(Refusal::Over { app: app.clone() });
        }
        let input = self.inputs.get(process);
        let terminal = input.is_some_and(Input::is_terminal);
        let outputs = self.outputs.get(&process);
        let is_there = |of: fn(&Outputs) -> Destination| {
            outputs.is_some_and(|outputs| of(outputs) != Destination::Null)
        };
        Ok(Offer {
            process,
            streams: Streams {
                stdin: input.is_some(),
                stdout: is_there(|outputs| outputs.stdout),
                stderr: !terminal && is_there(|outputs| outputs.stderr),
            },
            terminal,
        })
    }

    /// Whether a client may attach, and to which process.
    ///
    /// # Errors
    /// When it may not.
    pub fn attach(&mut self, attach: &Attach) -> Result<ProcessId, Refusal> {
        let offer = self.offer(&attach.app)?;
        if attach.streams.is_empty() || !attach.streams.within(offer.streams) {
            return Err(Refusal::Streams {
                app: attach.app.clone(),
            });
        }
        if let Some(size) = attach.size {
            self.resized(offer.process, size);
        }
        Ok(offer.process)
    }
}
