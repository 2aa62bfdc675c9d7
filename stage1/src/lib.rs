//! The stage1 entrypoints.
//!
//! ```text
//! bulkhead run ──exec──▶ run = supervise      holds the pod's lock and all privileges
//!                          ├─ relay           speaks to the agent and moves streams; unprivileged
//!                          └─ vmm             the machine; unprivileged
//! ```
//!
//! * [`arguments`]: what stage0 calls the `run` entrypoint with;
//! * [`plan`]: pure; manifests in, what the agent runs and what the machine has out;
//! * [`scratch`]: the apps' writable disks; [`hosts`]: the pod's name in their `/etc/hosts`;
//! * [`group`]: the control group of a pod without a machine; [`load`]: whether the host is overloaded;
//! * `bin/run`: the supervisor, which opens, spawns, waits and ends;
//! * [`relay`]: the process that speaks to the guest.
//!
//! **Invariant.** The supervisor reads nothing that a guest wrote. It writes the machine's description into the VMM's
//! socket, the plan and commands into the relay's, and takes exit codes from the kernel.

pub mod arguments;
pub mod command_line;
pub mod group;
pub mod hosts;
pub mod load;
pub mod plan;
pub mod relay;
pub mod scratch;
pub mod trace;
