//! The C library of tidegate as it is: `tidegate.h` is its manual. The crate `tidegate` is the safe one.
#![allow(non_camel_case_types)]

use std::os::raw::{c_char, c_int, c_uchar, c_void};

pub type tide_status = c_int;
pub const TIDE_OK: tide_status = 0;
pub const TIDE_E_PLAN: tide_status = -1;
pub const TIDE_E_INPUT: tide_status = -2;
pub const TIDE_E_RANGE: tide_status = -3;
pub const TIDE_E_SNAPSHOT: tide_status = -4;
pub const TIDE_E_FINISHED: tide_status = -5;
pub const TIDE_E_LIMIT: tide_status = -6;
pub const TIDE_E_ROW: tide_status = -7;
pub const TIDE_E_ROUNDING: tide_status = -8;

pub const TIDE_ALIGNMENT: usize = 64;
pub const TIDE_NO_OP: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct tide_fault {
    pub field: *const c_char,
    pub op: u32,
    pub seen: u64,
    pub wanted: u64,
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            _private: [c_uchar; 0],
        }
    )*};
}
opaque!(tide_variant, tide_model, tide_stream, tide_group);

extern "C" {
    pub fn tide_version() -> *const c_char;

    pub fn tide_variant_at(index: usize) -> *const tide_variant;
    pub fn tide_variant_name(variant: *const tide_variant) -> *const c_char;
    pub fn tide_variant_supported(variant: *const tide_variant) -> c_int;
    pub fn tide_variant_best() -> *const tide_variant;

    pub fn tide_plan_check(plan: *const c_void, bytes: usize, fault: *mut tide_fault) -> tide_status;

    pub fn tide_model_bytes(plan: *const c_void, variant: *const tide_variant) -> usize;
    pub fn tide_model_init(memory: *mut c_void, plan: *const c_void, variant: *const tide_variant) -> *mut tide_model;
    pub fn tide_model_variant(model: *const tide_model) -> *const tide_variant;
    pub fn tide_input_ids(model: *const tide_model) -> u32;
    pub fn tide_feature_ids(model: *const tide_model, feature: u32) -> u32;
    pub fn tide_input_width(model: *const tide_model) -> u32;
    pub fn tide_output_count(model: *const tide_model) -> u32;
    pub fn tide_output_width(model: *const tide_model, output: u32) -> u32;
    pub fn tide_output_timed(model: *const tide_model, output: u32) -> c_int;
    pub fn tide_limit(model: *const tide_model) -> u32;
    pub fn tide_state_count(model: *const tide_model) -> u32;
    pub fn tide_state_width(model: *const tide_model, state: u32) -> u32;

    pub fn tide_stream_bytes(model: *const tide_model) -> usize;
    pub fn tide_stream_init(memory: *mut c_void, model: *const tide_model) -> *mut tide_stream;
    pub fn tide_reset(stream: *mut tide_stream);
    pub fn tide_rows(stream: *const tide_stream, output: u32, count: usize) -> usize;
    pub fn tide_rest(stream: *const tide_stream, output: u32) -> usize;
    pub fn tide_push(
        stream: *mut tide_stream,
        frames: *const f32,
        count: usize,
        outputs: *const *mut f32,
    ) -> tide_status;
    pub fn tide_finish(stream: *mut tide_stream, outputs: *const *mut f32) -> tide_status;
    pub fn tide_finished(stream: *const tide_stream) -> c_int;
    pub fn tide_state_read(stream: *const tide_stream, state: u32, values: *mut f32);
    pub fn tide_state_write(stream: *mut tide_stream, state: u32, values: *const f32) -> tide_status;
    pub fn tide_frames(stream: *const tide_stream) -> u64;
    pub fn tide_refused(stream: *const tide_stream) -> u64;

    pub fn tide_snapshot_bytes(model: *const tide_model) -> usize;
    pub fn tide_snapshot(stream: *const tide_stream, bytes: *mut c_void) -> usize;
    pub fn tide_restore(
        stream: *mut tide_stream,
        bytes: *const c_void,
        size: usize,
        fault: *mut tide_fault,
    ) -> tide_status;

    pub fn tide_group_bytes(model: *const tide_model, rows: u32) -> usize;
    pub fn tide_group_init(memory: *mut c_void, model: *const tide_model, rows: u32) -> *mut tide_group;
    pub fn tide_group_rows(group: *const tide_group) -> u32;
    pub fn tide_group_leave(group: *mut tide_group, row: u32);
    pub fn tide_group_join(group: *mut tide_group, row: u32);
    pub fn tide_group_joined(group: *const tide_group, row: u32) -> c_int;
    pub fn tide_group_stream(group: *const tide_group, row: u32) -> *mut tide_stream;
    pub fn tide_group_push(
        group: *mut tide_group,
        rows: *const u32,
        row_count: usize,
        frames: *const f32,
        count: usize,
        outputs: *const *mut f32,
        statuses: *mut tide_status,
    ) -> tide_status;
}
