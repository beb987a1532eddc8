//! Memory for secrets: guard pages around it, locked and left out of core dumps where the kernel
//! allows, overwritten when freed. The one place of this crate with `unsafe` besides the signature.
#![expect(
    unsafe_code,
    reason = "locking and guarding memory needs raw allocation; everything else uses this type"
)]

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// An owned block of guarded memory.
pub(super) struct Locked {
    /// Valid, initialised and owned by this value alone until it is dropped.
    memory: NonNull<[u8]>,
    in_ram: bool,
}

// SAFETY: the block is owned by this value alone, and only `&mut self` writes to it.
unsafe impl Send for Locked {}
// SAFETY: as above; `&self` only reads.
unsafe impl Sync for Locked {}

impl Locked {
    /// A block of `length` zeros. Without memory for it the process ends, as for any allocation.
    pub(super) fn zeroed(length: usize) -> Self {
        // SAFETY: no precondition; the block is checked for null below.
        let Some(memory) = (unsafe { memsec::malloc_sized(length) }) else {
            handle_alloc_error(Layout::array::<u8>(length).unwrap_or(Layout::new::<u8>()))
        };
        // SAFETY: the range is the block just allocated. Locking it twice is the same as once, and
        // this time the answer is kept.
        let in_ram = unsafe { memsec::mlock(memory.as_ptr().cast(), length) };
        let mut block = Self { memory, in_ram };
        block.bytes_mut().fill(0);
        block
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: valid, initialised (the allocator fills it) and not written to while borrowed.
        unsafe { self.memory.as_ref() }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: valid, initialised, and borrowed by nobody else.
        unsafe { self.memory.as_mut() }
    }

    pub(super) fn is_locked(&self) -> bool {
        self.in_ram
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: made by `malloc_sized`, freed once. It overwrites the block first.
        unsafe { memsec::free(self.memory) }
    }
}
