//! f32 memory whose start lies on a cache line, so that no 16-lane access crosses one.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};

/// A fixed-size array of f32, zero at first, aligned for the kernels.
pub struct Buffer {
    start: *mut f32,
    len: usize,
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
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        // Before the first touch: it decides which pages the system takes.
        ask_for_huge_pages(start, layout);
        // SAFETY: `layout.size()` bytes were just allocated.
        unsafe { start.write_bytes(0, layout.size()) };
        Self {
            start: start.cast(),
            len,
        }
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
        unsafe { dealloc(self.start.cast(), Self::layout(self.len)) }
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
