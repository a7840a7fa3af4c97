use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::os::raw::c_void;
use std::ptr::NonNull;

use tidegate_sys::TIDE_ALIGNMENT;

/// Memory for a plan, a model, a stream or a group.
pub(crate) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: bytes on the heap, which belong to no thread.
unsafe impl Send for Memory {}
// SAFETY: a shared reference gives no access to the bytes but through `at`, whose callers answer for it.
unsafe impl Sync for Memory {}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Memory {
        let layout = Layout::from_size_align(bytes.max(1), TIDE_ALIGNMENT).expect("a size that fits into memory");
        // SAFETY: the layout has at least one byte.
        match NonNull::new(unsafe { alloc(layout) }) {
            Some(start) => Memory { start, layout },
            None => handle_alloc_error(layout),
        }
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Memory {
        let memory = Memory::new(bytes.len());
        // SAFETY: as many bytes were allocated, and nothing else is there.
        unsafe { memory.start.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        memory
    }

    pub(crate) fn at(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Pointers to all outputs of a model for a call, without an allocation in it.
pub(crate) struct Outputs(Vec<*mut f32>);

// SAFETY: the pointers are used only in the call that set them.
unsafe impl Send for Outputs {}

impl Outputs {
    pub(crate) fn new(count: usize) -> Outputs {
        Outputs(vec![std::ptr::null_mut(); count])
    }

    /// Takes the slices of all outputs, each of at least `wanted(output)` values.
    pub(crate) fn set(
        &mut self,
        slices: &mut [&mut [f32]],
        wanted: impl Fn(usize) -> usize,
    ) -> Result<*const *mut f32, crate::Error> {
        crate::error::exact("the list of outputs", slices.len(), self.0.len())?;
        for (i, slice) in slices.iter_mut().enumerate() {
            if slice.len() < wanted(i) {
                return Err(crate::Error::Size { what: "an output", seen: slice.len(), wanted: wanted(i) });
            }
            self.0[i] = slice.as_mut_ptr();
        }
        Ok(self.0.as_ptr())
    }
}
