use std::sync::Arc;

use tidegate_sys::*;

use crate::error::{fault_of, no_fault, text, Error};
use crate::memory::Memory;
use crate::{Group, Stream};

/// A plan made ready for this processor. Copies share it.
#[derive(Clone)]
pub struct Model(Arc<Loaded>);

/// A model, the plan that it points into, and their memory.
pub(crate) struct Loaded {
    model: *const tide_model,
    _memory: Memory,
    _plan: Memory,
}

// SAFETY: a model is read-only after it was made, as tidegate.h says, and its memory belongs to no thread.
unsafe impl Send for Loaded {}
// SAFETY: the same.
unsafe impl Sync for Loaded {}

impl Model {
    /// Checks a plan, which may come from a stranger, and copies it.
    ///
    /// # Errors
    /// [`Error::Plan`] names the field for which the plan is refused; [`Error::Rounding`].
    pub fn load(plan: &[u8]) -> Result<Model, Error> {
        let copy = Memory::copy_of(plan);
        let mut fault = no_fault();
        // SAFETY: the memory has these bytes, is aligned, and is not changed until the model is freed.
        match unsafe { tide_plan_check(copy.at(), plan.len(), &mut fault) } {
            TIDE_OK => (),
            TIDE_E_ROUNDING => return Err(Error::Rounding),
            _ => return Err(Error::Plan(fault_of(&fault))),
        }
        // SAFETY: the plan was accepted, and the memory has the size that the library asks for.
        let (model, memory) = unsafe {
            let variant = tide_variant_best();
            let memory = Memory::new(tide_model_bytes(copy.at(), variant));
            (tide_model_init(memory.at(), copy.at(), variant), memory)
        };
        Ok(Model(Arc::new(Loaded { model, _memory: memory, _plan: copy })))
    }

    /// A new stream.
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    /// A group of rows, all joined.
    ///
    /// # Errors
    /// [`Error::Group`]: the model looks ahead, or `rows` is 0.
    pub fn group(&self, rows: u32) -> Result<Group, Error> {
        Group::new(self.clone(), rows)
    }

    /// The name of the instruction set that runs it, e.g. `avx2`.
    pub fn variant(&self) -> &'static str {
        // SAFETY: the model is alive; names are constants.
        unsafe { text(tide_variant_name(tide_model_variant(self.raw()))) }
    }

    /// Features of a frame.
    pub fn width(&self) -> usize {
        // SAFETY: the model is alive; so in the functions below.
        unsafe { tide_input_width(self.raw()) as usize }
    }

    /// The number of ids that a model of ids knows; 0: frames are features.
    pub fn ids(&self) -> u32 {
        unsafe { tide_input_ids(self.raw()) }
    }

    /// The number of ids that one feature of a frame may hold, next to other features; 0: it holds a number.
    pub fn feature_ids(&self, feature: u32) -> u32 {
        unsafe { tide_feature_ids(self.raw(), feature) }
    }

    /// The largest number of frames of a stream whose answers come at its end; 0: no limit.
    pub fn limit(&self) -> u32 {
        unsafe { tide_limit(self.raw()) }
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        unsafe { tide_output_count(self.raw()) as usize }
    }

    /// Features of an output.
    pub fn output_width(&self, output: usize) -> usize {
        unsafe { tide_output_width(self.raw(), self.output(output)) as usize }
    }

    /// Whether an output has one row per frame; if not, one per push, that of the last frame.
    pub fn output_timed(&self, output: usize) -> bool {
        unsafe { tide_output_timed(self.raw(), self.output(output)) != 0 }
    }

    /// The number of state vectors.
    pub fn states(&self) -> usize {
        unsafe { tide_state_count(self.raw()) as usize }
    }

    /// The length of a state vector.
    pub fn state_width(&self, state: usize) -> usize {
        unsafe { tide_state_width(self.raw(), self.state(state)) as usize }
    }

    pub(crate) fn raw(&self) -> *const tide_model {
        self.0.model
    }

    /// Returns the index for the library; panics if the model has no such output.
    pub(crate) fn output(&self, index: usize) -> u32 {
        assert!(index < self.outputs(), "output {} of a model with {}", index, self.outputs());
        index as u32
    }

    pub(crate) fn state(&self, index: usize) -> u32 {
        assert!(index < self.states(), "state {} of a model with {}", index, self.states());
        index as u32
    }
}
