use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_char;

use tidegate_sys::*;

/// Why a plan or a snapshot is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, as docs/plan.md and docs/snapshot.md name it.
    pub field: &'static str,
    /// Its operation; None if it belongs to none.
    pub op: Option<u32>,
    /// The value seen; a float by its bits.
    pub seen: u64,
    /// The value wanted, or a limit.
    pub wanted: u64,
}

/// What may fail. The stream, group or row is then as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The plan is truncated, altered, of another version, or not valid.
    Plan(Fault),
    /// The snapshot is truncated, altered, of another plan, or not valid.
    Snapshot(Fault),
    /// A value is NaN, infinite or above 2^64, or an id is not in the table.
    Input,
    /// A value inside the model left 2^64.
    Range,
    /// The stream was finished; `reset` makes it as new.
    Finished,
    /// The stream is one block and would become longer than its limit.
    Limit,
    /// The group has no such row, the row has not joined, or a push names it twice.
    Row,
    /// The calling thread does not round to nearest.
    Rounding,
    /// A slice has another length than the call wants.
    Size {
        /// The slice.
        what: &'static str,
        /// Its length.
        seen: usize,
        /// The length wanted; of an output at least this.
        wanted: usize,
    },
    /// A model that looks ahead has no groups; a group has at least one row.
    Group,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plan(fault) => write!(f, "the plan is refused for its {}", fault),
            Error::Snapshot(fault) => write!(f, "the snapshot is refused for its {}", fault),
            Error::Input => f.write_str("a value is NaN, infinite or above 2^64, or an id is not in the table"),
            Error::Range => f.write_str("a value inside the model left 2^64"),
            Error::Finished => f.write_str("the stream was finished; reset makes it as new"),
            Error::Limit => f.write_str("the stream is one block and would become longer than its limit"),
            Error::Row => f.write_str("the group has no such row, it has not joined, or it is named twice"),
            Error::Rounding => f.write_str("the calling thread does not round to nearest"),
            Error::Size { what, seen, wanted } => write!(f, "{} has {} values, wanted {}", what, seen, wanted),
            Error::Group => f.write_str("a group wants at least one row, and a model that does not look ahead"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field)?;
        if let Some(op) = self.op {
            write!(f, " of operation {}", op)?;
        }
        write!(f, ", which is {:#x}, wanted {:#x}", self.seen, self.wanted)
    }
}

/// Returns a result for the status of a call that gives no fault.
pub(crate) fn checked(status: tide_status) -> Result<(), Error> {
    match status {
        TIDE_OK => Ok(()),
        TIDE_E_RANGE => Err(Error::Range),
        TIDE_E_FINISHED => Err(Error::Finished),
        TIDE_E_LIMIT => Err(Error::Limit),
        TIDE_E_ROW => Err(Error::Row),
        TIDE_E_ROUNDING => Err(Error::Rounding),
        _ => Err(Error::Input),
    }
}

/// Checks a length that must be exact.
pub(crate) fn exact(what: &'static str, seen: usize, wanted: usize) -> Result<(), Error> {
    if seen == wanted {
        Ok(())
    } else {
        Err(Error::Size { what, seen, wanted })
    }
}

pub(crate) fn no_fault() -> tide_fault {
    tide_fault { field: std::ptr::null(), op: TIDE_NO_OP, seen: 0, wanted: 0 }
}

/// Returns the fault that a call filled in.
pub(crate) fn fault_of(fault: &tide_fault) -> Fault {
    Fault {
        // SAFETY: the library's faults name constant strings.
        field: unsafe { text(fault.field) },
        op: if fault.op == TIDE_NO_OP { None } else { Some(fault.op) },
        seen: fault.seen,
        wanted: fault.wanted,
    }
}

/// Returns a constant string of the library; an empty one for null.
///
/// # Safety
/// `text` is null or ends with a zero byte and is never freed.
pub(crate) unsafe fn text(text: *const c_char) -> &'static str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}
