use tidegate_sys::*;

use crate::error::{checked, exact, Error};
use crate::memory::{Memory, Outputs};
use crate::Model;

/// Many streams on one model in one step, which share every read of the weights. A row gives the bits of a stream.
pub struct Group {
    raw: *mut tide_group,
    outputs: Outputs,
    statuses: Vec<tide_status>,
    _memory: Memory,
    model: Model,
}

// SAFETY: as a stream.
unsafe impl Send for Group {}

impl Group {
    pub(crate) fn new(model: Model, rows: u32) -> Result<Group, Error> {
        // SAFETY: the model is alive.
        let bytes = if rows == 0 { 0 } else { unsafe { tide_group_bytes(model.raw(), rows) } };
        if bytes == 0 {
            return Err(Error::Group);
        }
        let memory = Memory::new(bytes);
        // SAFETY: the memory has the size that the library asks for, and the group keeps its model.
        let raw = unsafe { tide_group_init(memory.at(), model.raw(), rows) };
        let (outputs, statuses) = (Outputs::new(model.outputs()), vec![TIDE_OK; rows as usize]);
        Ok(Group { raw, outputs, statuses, _memory: memory, model })
    }

    /// The number of rows.
    pub fn rows(&self) -> u32 {
        // SAFETY: the group is alive; so in the functions below.
        unsafe { tide_group_rows(self.raw) }
    }

    /// Whether a row is a stream.
    pub fn joined(&self, row: u32) -> bool {
        row < self.rows() && unsafe { tide_group_joined(self.raw, row) } != 0
    }

    /// Makes a row a new stream.
    ///
    /// # Errors
    /// [`Error::Row`]: there is no such row.
    pub fn join(&mut self, row: u32) -> Result<(), Error> {
        self.existing(row)?;
        unsafe { tide_group_join(self.raw, row) };
        Ok(())
    }

    /// Ends the stream in a row; no byte of it stays in memory.
    ///
    /// # Errors
    /// [`Error::Row`]: there is no such row.
    pub fn leave(&mut self, row: u32) -> Result<(), Error> {
        self.existing(row)?;
        unsafe { tide_group_leave(self.raw, row) };
        Ok(())
    }

    /// Frames that the stream in a row has consumed.
    ///
    /// # Errors
    /// [`Error::Row`]: the row has not joined.
    pub fn frames(&self, row: u32) -> Result<u64, Error> {
        if !self.joined(row) {
            return Err(Error::Row);
        }
        // SAFETY: the row is a stream of the group.
        Ok(unsafe { tide_frames(tide_group_stream(self.raw, row)) })
    }

    /// Consumes `count` frames of each of the rows, `[rows, count, width]`, and writes `[rows, count, width]` of a timed
    /// output, `[rows, width]` of another. The result for each row: the frames of a refused row change nothing, its
    /// answers are NaN, and the other rows go on.
    ///
    /// # Errors
    /// [`Error::Size`]: a slice has another length than the call wants; nothing was done.
    pub fn push<'a>(
        &'a mut self,
        rows: &[u32],
        frames: &[f32],
        count: usize,
        outputs: &mut [&mut [f32]],
    ) -> Result<impl Iterator<Item = Result<(), Error>> + 'a, Error> {
        let all = rows.len().saturating_mul(count); // no slice is as long as the largest size
        exact("the frames", frames.len(), all.saturating_mul(self.model.width()))?;
        if rows.len() > self.statuses.len() {
            return Err(Error::Size { what: "the list of rows", seen: rows.len(), wanted: self.statuses.len() });
        }
        let model = &self.model;
        let wanted = |i: usize| {
            let each = if model.output_timed(i) { count } else { usize::from(count > 0) };
            rows.len().saturating_mul(each).saturating_mul(model.output_width(i))
        };
        let pointers = self.outputs.set(outputs, wanted)?;
        let statuses = &mut self.statuses[..rows.len()];
        // SAFETY: the slices were checked; rows that the group does not have are refused by the library.
        unsafe {
            let (frames, statuses) = (frames.as_ptr(), statuses.as_mut_ptr());
            tide_group_push(self.raw, rows.as_ptr(), rows.len(), frames, count, pointers, statuses);
        }
        Ok(statuses.iter().map(|&status| checked(status)))
    }

    fn existing(&self, row: u32) -> Result<(), Error> {
        if row < self.rows() {
            Ok(())
        } else {
            Err(Error::Row)
        }
    }
}
