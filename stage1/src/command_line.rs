//! The guest kernel's command line, each word with its reason. The VMM appends the virtio devices.

/// Words of every boot.
const ALWAYS: &[&str] = &[
    // The early console on the VMM's ring, kept for the machine's whole life: what a dying guest says. `nocfg`: there is
    // no line speed to set, and every register access is an exit.
    "earlyprintk=serial,0x3f8,nocfg,keep",
    // Reset by the keyboard controller's command, the one way out that the VMM has.
    "reboot=k",
    // A panic ends the machine at once; the console says why.
    "panic=-1",
    // KVM's timer interrupt works; the check would cost a tenth of a second.
    "no_timer_check",
    // KVM tells the TSC's frequency and keeps it steady; no watchdog has to compare it with another clock.
    "tsc=reliable",
    // The host's seed (setup_data) and RDRAND count: nothing waits for randomness.
    "random.trust_bootloader=on",
    "random.trust_cpu=on",
    // Nobody else runs during the boot: grace periods end at once.
    "rcupdate.rcu_expedited=1",
];

/// Warnings and errors only: every character of the early console is an exit. First in the line, so that it holds before
/// the console is there.
const LEVEL_QUIET: &str = "quiet";

/// Everything but the kernel's debugging messages.
const LEVEL_DEBUG: &str = "loglevel=7";

/// The command line without the devices.
pub fn command_line(debug: bool) -> String {
    let level = if debug { LEVEL_DEBUG } else { LEVEL_QUIET };
    let words: Vec<&str> = [level].into_iter().chain(ALWAYS.iter().copied()).collect();
    words.join(" ")
}
