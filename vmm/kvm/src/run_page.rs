//! Our own mapping of the page that the kernel shares with a vCPU (`struct kvm_run`).
//!
//! kvm-ioctls has one too, but lends it only to the thread that runs the vCPU, and drops it with the vCPU. This one may
//! be held by whoever wants to stop the vCPU, and outlives it.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, Ordering};

use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `struct kvm_run` lies at the start of the first page (`KVM_GET_VCPU_MMAP_SIZE` is at least this).
const LENGTH: usize = 4096;

const _: () = assert!(size_of::<kvm_run>() <= LENGTH);

#[derive(Debug)]
pub(crate) struct RunPage(NonNull<kvm_run>);

// SAFETY: the mapping stays until drop, and every access through it is atomic or volatile.
unsafe impl Send for RunPage {}
// SAFETY: as above.
unsafe impl Sync for RunPage {}

impl RunPage {
    /// Maps the first page of `vcpu`.
    pub(crate) fn map(vcpu: &VcpuFd) -> rustix::io::Result<Self> {
        // SAFETY: `vcpu` keeps its descriptor open for longer than this borrow.
        let vcpu = unsafe { BorrowedFd::borrow_raw(vcpu.as_raw_fd()) };
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let page = unsafe {
            mmap(
                null_mut(),
                LENGTH,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                vcpu,
                0,
            )?
        };
        Ok(Self(
            NonNull::new(page.cast()).expect("mmap never answers with address 0"),
        ))
    }

    /// While this is not 0, `KVM_RUN` returns at once with `EINTR`.
    pub(crate) fn set_immediate_exit(&self, on: bool) {
        // SAFETY: the field lies in our mapping, is one byte, and is only ever accessed whole.
        let flag = unsafe { AtomicU8::from_ptr(&raw mut (*self.0.as_ptr()).immediate_exit) };
        flag.store(u8::from(on), Ordering::SeqCst);
    }

    /// Bytes of one access of the last `KVM_EXIT_IO`.
    pub(crate) fn io_size(&self) -> u8 {
        // SAFETY: in our mapping; any bytes are a valid u8. The kernel writes it only inside KVM_RUN.
        unsafe { (&raw const (*self.0.as_ptr()).__bindgen_anon_1.io.size).read_volatile() }
    }

    /// Why the last `KVM_EXIT_INTERNAL_ERROR`.
    pub(crate) fn suberror(&self) -> u32 {
        // SAFETY: as in `io_size`, with a u32.
        unsafe {
            (&raw const (*self.0.as_ptr()).__bindgen_anon_1.internal.suberror).read_volatile()
        }
    }
}

impl Drop for RunPage {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; nothing points into it any more. An error leaves a page mapped.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), LENGTH) };
    }
}
