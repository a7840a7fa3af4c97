use tidegate_sys::*;

use crate::error::{checked, exact, fault_of, no_fault, Error};
use crate::memory::{Memory, Outputs};
use crate::Model;

/// One sequence in progress on a model.
pub struct Stream {
    raw: *mut tide_stream,
    outputs: Outputs,
    _memory: Memory,
    model: Model,
}

// SAFETY: a stream may be called by another thread each time, as tidegate.h says.
unsafe impl Send for Stream {}

impl Stream {
    pub(crate) fn new(model: Model) -> Stream {
        // SAFETY: the memory has the size that the library asks for, and the stream keeps its model.
        let (raw, memory) = unsafe {
            let memory = Memory::new(tide_stream_bytes(model.raw()));
            (tide_stream_init(memory.at(), model.raw()), memory)
        };
        Stream { raw, outputs: Outputs::new(model.outputs()), _memory: memory, model }
    }

    /// Values that a push of `count` frames will write to an output.
    pub fn answers(&self, count: usize, output: usize) -> usize {
        // SAFETY: the stream is alive; so in the functions below.
        unsafe { tide_rows(self.raw, self.model.output(output), count) }.saturating_mul(self.model.output_width(output))
    }

    /// Values that `finish` will write to an output.
    pub fn rest(&self, output: usize) -> usize {
        unsafe { tide_rest(self.raw, self.model.output(output)) }.saturating_mul(self.model.output_width(output))
    }

    /// Consumes frames, row-major, any number of whole ones, and writes the answers: a slice for each output, of at
    /// least [`Stream::answers`] values. However frames are cut into pushes, the bits are the same.
    ///
    /// # Errors
    /// All frames of the push are refused, and outputs may have been written.
    pub fn push(&mut self, frames: &[f32], outputs: &mut [&mut [f32]]) -> Result<(), Error> {
        let count = frames.len() / self.model.width();
        exact("the frames", frames.len(), count * self.model.width())?;
        let (raw, model) = (self.raw, &self.model);
        // SAFETY: the stream is alive.
        let wanted = |i: usize| unsafe { tide_rows(raw, i as u32, count) }.saturating_mul(model.output_width(i));
        let pointers = self.outputs.set(outputs, wanted)?;
        // SAFETY: the slices were checked; they cannot overlap the frames, which are shared.
        checked(unsafe { tide_push(raw, frames.as_ptr(), count, pointers) })
    }

    /// Ends the stream and writes the rows that a lookahead still holds back, [`Stream::rest`] values of each output.
    ///
    /// # Errors
    /// The stream is unchanged.
    pub fn finish(&mut self, outputs: &mut [&mut [f32]]) -> Result<(), Error> {
        let (raw, model) = (self.raw, &self.model);
        // SAFETY: the stream is alive.
        let wanted = |i: usize| unsafe { tide_rest(raw, i as u32) }.saturating_mul(model.output_width(i));
        let pointers = self.outputs.set(outputs, wanted)?;
        // SAFETY: the slices were checked.
        checked(unsafe { tide_finish(raw, pointers) })
    }

    /// Makes the stream as new.
    pub fn reset(&mut self) {
        unsafe { tide_reset(self.raw) }
    }

    /// Whether the stream was finished.
    pub fn finished(&self) -> bool {
        unsafe { tide_finished(self.raw) != 0 }
    }

    /// Frames that the stream has consumed.
    pub fn frames(&self) -> u64 {
        unsafe { tide_frames(self.raw) }
    }

    /// Frames of refused pushes.
    pub fn refused(&self) -> u64 {
        unsafe { tide_refused(self.raw) }
    }

    /// A state vector.
    pub fn state(&self, index: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.model.state_width(index)];
        // SAFETY: the vector has the width of the state.
        unsafe { tide_state_read(self.raw, self.model.state(index), values.as_mut_ptr()) };
        values
    }

    /// Sets a state vector, from which the stream goes on.
    ///
    /// # Errors
    /// The stream is unchanged.
    pub fn set_state(&mut self, index: usize, values: &[f32]) -> Result<(), Error> {
        exact("the state", values.len(), self.model.state_width(index))?;
        // SAFETY: the slice has the width of the state.
        checked(unsafe { tide_state_write(self.raw, self.model.state(index), values.as_ptr()) })
    }

    /// The stream as bytes, from which any stream of the same plan goes on.
    pub fn snapshot(&self) -> Vec<u8> {
        // SAFETY: the vector has the bytes that the library asks for.
        unsafe {
            let mut bytes = vec![0; tide_snapshot_bytes(self.model.raw())];
            let size = tide_snapshot(self.raw, bytes.as_mut_ptr().cast());
            bytes.truncate(size);
            bytes
        }
    }

    /// Makes the stream that of a snapshot, which may come from a stranger.
    ///
    /// # Errors
    /// [`Error::Snapshot`] names the field; the stream is unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), Error> {
        let mut fault = no_fault();
        // SAFETY: the slice has these bytes, which the library checks.
        match unsafe { tide_restore(self.raw, snapshot.as_ptr().cast(), snapshot.len(), &mut fault) } {
            TIDE_OK => Ok(()),
            TIDE_E_ROUNDING => Err(Error::Rounding),
            _ => Err(Error::Snapshot(fault_of(&fault))),
        }
    }

    /// A stream that goes on from the same state.
    ///
    /// # Errors
    /// [`Error::Rounding`]
    pub fn fork(&self) -> Result<Stream, Error> {
        let mut copy = self.model.stream();
        copy.restore(&self.snapshot())?;
        Ok(copy)
    }
}
