//! Names and numbers of system calls and errors, from the tables of the `syscalls` crate.

use syscalls::{Errno, x86, x86_64};

/// The number of a call for 64-bit programs.
pub(super) fn x86_64_number(name: &str) -> Option<u32> {
    let call = name.parse::<x86_64::Sysno>().ok()?;
    u32::try_from(call.id()).ok()
}

/// The number of a call for 32-bit programs.
pub(super) fn i386_number(name: &str) -> Option<u32> {
    let call = name.parse::<x86::Sysno>().ok()?;
    u32::try_from(call.id()).ok()
}

/// Whether any program here can make a call of this name.
pub(super) fn exists(name: &str) -> bool {
    x86_64_number(name).is_some() || i386_number(name).is_some()
}

/// Number and name of every call of 64-bit programs.
pub(super) fn x86_64_calls() -> impl Iterator<Item = (u32, &'static str)> {
    let number = |call: &x86_64::Sysno| u32::try_from(call.id()).ok();
    x86_64::Sysno::iter().filter_map(move |call| Some((number(&call)?, call.name())))
}

/// Number and name of every call of 32-bit programs.
pub(super) fn i386_calls() -> impl Iterator<Item = (u32, &'static str)> {
    let number = |call: &x86::Sysno| u32::try_from(call.id()).ok();
    x86::Sysno::iter().filter_map(move |call| Some((number(&call)?, call.name())))
}

/// Every name, of both tables.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    x86_64_calls().chain(i386_calls()).map(|(_, name)| name)
}

/// The last error number that Linux has on x86.
const LAST_ERRNO: i32 = 133;

/// The number of an error by its name.
pub(super) fn errno(name: &str) -> Option<u16> {
    let aliases = [
        ("EWOULDBLOCK", Errno::EWOULDBLOCK),
        ("EDEADLOCK", Errno::EDEADLOCK),
        ("ENOTSUP", Errno::EOPNOTSUPP),
    ];
    let alias = aliases.iter().find(|(alias, _)| *alias == name);
    let number = alias.map(|(_, errno)| errno.into_raw());
    let listed = || (1..=LAST_ERRNO).find(|raw| Errno::new(*raw).name() == Some(name));
    number
        .or_else(listed)
        .and_then(|number| u16::try_from(number).ok())
}
