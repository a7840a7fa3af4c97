//! Streams recurrent networks chunk by chunk, the state carried, with the same bits on every machine.
//!
//! ```no_run
//! let plan = std::fs::read("kws.tide")?; // written by `tidegate compile kws.int8.onnx -o kws.tide`
//! let model = tidegate::Model::load(&plan)?;
//! let mut stream = model.stream();
//! let frames = vec![0.0; 10 * model.width()]; // row-major, any number of whole frames
//! let mut answers = vec![0.0; stream.answers(10, 0)];
//! stream.push(&frames, &mut [&mut answers])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Model`] is read-only and serves any number of threads; a [`Stream`] or a [`Group`] belongs to one caller at a
//! time. A push does not allocate, lock or print. Indices of outputs and states that a model does not have panic; all
//! else that can fail returns an [`Error`], and leaves the stream as it was.
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

mod error;
mod group;
mod memory;
mod model;
mod stream;

pub use error::{Error, Fault};
pub use group::Group;
pub use model::Model;
pub use stream::Stream;

/// The version of the C library, e.g. `0.1.0`.
pub fn version() -> &'static str {
    // SAFETY: a constant string.
    unsafe { error::text(tidegate_sys::tide_version()) }
}
