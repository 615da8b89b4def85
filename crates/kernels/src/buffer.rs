//! f32 memory whose start lies on a cache line, so that no 16-lane access crosses one.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};

/// A fixed-size array of f32, zero at first, aligned for the kernels.
pub struct Buffer {
    start: *mut f32,
    len: usize,
    /// What was allocated, which begins before `start` where that lies on a huge page.
    allocated: *mut u8,
}

// SAFETY: it owns its memory like a `Vec<f32>`.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// If so many do not fit the address space.
    pub fn zeros(len: usize) -> Self {
        let layout = Self::layout(len);
        let allocation = Self::allocation(layout);
        // SAFETY: the allocation has a size above zero.
        let allocated = unsafe { alloc_zeroed(allocation) };
        if allocated.is_null() {
            handle_alloc_error(allocation);
        }
        // At most what the allocation is longer than the layout.
        let start = allocated.wrapping_add(allocated.align_offset(layout.align()));
        // Before the first touch: it decides which pages the system takes.
        ask_for_huge_pages(start, layout);
        Self {
            start: start.cast(),
            len,
            allocated,
        }
    }

    /// What is asked of the allocator: large arrays at any address, with room to begin on a huge
    /// page. Zeros at a boundary of its own choice the system gives untouched, and whichever thread
    /// writes a page first makes it; zeros at a boundary of ours would be written here, by one
    /// thread, and once more by the system.
    fn allocation(layout: Layout) -> Layout {
        const ANY: usize = 16;
        if layout.align() < HUGE_PAGE {
            return layout;
        }
        let bytes = layout.size().checked_add(HUGE_PAGE);
        bytes
            .and_then(|bytes| Layout::from_size_align(bytes, ANY).ok())
            .expect("buffer fits the address space")
    }

    /// Large arrays start on a huge page, so that the system can back them with few page-table
    /// entries.
    fn layout(len: usize) -> Layout {
        const LINE: usize = 64;
        // Unchecked, a size beyond the address space would wrap to a small one that is then written
        // past its end.
        let bytes = len.max(1).checked_mul(size_of::<f32>());
        let align = match bytes {
            Some(bytes) if bytes < HUGE_PAGE => LINE,
            _ => HUGE_PAGE,
        };
        bytes
            .and_then(|bytes| bytes.checked_next_multiple_of(align))
            .and_then(|bytes| Layout::from_size_align(bytes, align).ok())
            .expect("buffer fits the address space")
    }

    /// Makes room for `len` values; the contents are unspecified afterwards.
    pub(crate) fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeros(len);
        }
    }
}

/// Size of a huge page on x86-64 and most ARM systems.
const HUGE_PAGE: usize = 2 << 20;

/// Transformed filters are walked with strides of many pages: with small pages the processor spends
/// its time looking up addresses. A hint only; the system may ignore it.
fn ask_for_huge_pages(start: *mut u8, layout: Layout) {
    #[cfg(target_os = "linux")]
    if layout.align() == HUGE_PAGE {
        // SAFETY: the range was just allocated and is page-aligned; the advice does not change its
        // contents.
        unsafe { libc::madvise(start.cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, layout);
}

impl Default for Buffer {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeros` with the same layout.
        unsafe { dealloc(self.allocated, Self::allocation(Self::layout(self.len))) }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised values.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: `len` initialised values, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_and_begin_where_the_kernels_want_them() {
        for len in [0, 1, 1000, HUGE_PAGE / 4, HUGE_PAGE + 3] {
            let mut buffer = Buffer::zeros(len);
            assert!(buffer.len() == len && buffer.iter().all(|&x| x == 0.0));
            // The last value is written: it must lie in what was allocated.
            buffer.iter_mut().for_each(|x| *x = 1.0);
            let line = if len * 4 < HUGE_PAGE { 64 } else { HUGE_PAGE };
            assert!(buffer.as_ptr().addr().is_multiple_of(line), "{len}");
        }
    }

    #[test]
    fn a_size_beyond_the_address_space_is_refused_and_does_not_wrap() {
        // Times four these are 0, 4 and just below 2^64, which rounds up to 0.
        for len in [1 << 62, (1 << 62) + 1, usize::MAX / 4, usize::MAX] {
            let refused = std::panic::catch_unwind(|| Buffer::layout(len));
            assert!(refused.is_err(), "{len}");
        }
        assert_eq!(Buffer::layout(0).size(), 64);
        assert_eq!(Buffer::layout((HUGE_PAGE / 4) + 1).size(), 2 * HUGE_PAGE);
    }
}
