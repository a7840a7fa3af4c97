/* tidegate: streams recurrent networks, the same bits on every machine.
 *
 *     #include <tidegate.h>
 *
 *     extern const unsigned char kws_plan[];  // written by: tidegate compile kws.int8.onnx -o kws.c --format c
 *     extern const size_t kws_plan_bytes;
 *
 *     tide_fault fault;
 *     if (tide_plan_check(kws_plan, kws_plan_bytes, &fault) != TIDE_OK) return complain(&fault);
 *     const tide_variant *variant = tide_variant_best();
 *     void *model_memory = aligned_alloc(TIDE_ALIGNMENT, tide_model_bytes(kws_plan, variant));
 *     const tide_model *model = tide_model_init(model_memory, kws_plan, variant);
 *     void *stream_memory = aligned_alloc(TIDE_ALIGNMENT, tide_stream_bytes(model));
 *     tide_stream *stream = tide_stream_init(stream_memory, model);
 *     float *outputs[] = {logits};
 *     while (next_frame(frame)) {
 *       if (tide_push(stream, frame, 1, outputs) == TIDE_OK) use(logits);
 *     }
 *
 * A plan is a model compiled to bytes: a file read whole, or an array in the program. A model is a plan made ready for
 * one instruction set; a stream is one sequence in progress on a model. `cmake --install` puts the library where
 * CMake (`find_package(tidegate)`, target `tidegate::tidegate`) and pkg-config (`tidegate`) find it. It is static; with
 * `-DBUILD_SHARED_LIBS=ON` it is shared, for programs in other languages, and exports the functions below alone.
 *
 * Memory is the caller's, of any kind, aligned to TIDE_ALIGNMENT: ask for the size, pass the memory, free it when
 * nothing uses it. A model points into its plan and a stream into its model, so free the stream first, then the model,
 * then the plan. There is nothing else to end; clear a stream's memory if others may read it later.
 *
 * After init nothing is allocated, locked or printed, no system call is made, and no setting of the process is read or
 * changed: every call may be made in an audio callback or an interrupt. The processor's rounding and flush-to-zero
 * modes are left as they are. The bits are the same with or without flush to zero; a thread that does not round to
 * nearest is refused.
 *
 * Threads: a model is read-only after init and serves any number of threads. A stream belongs to one caller at a time,
 * for every call; this may be another thread each time. The child of a fork may go on with its copies.
 *
 * Trust: a plan and a snapshot may come from a stranger. tide_plan_check and tide_restore check every field and refuse
 * by its name. What they accept runs within the memory that the size functions return. All other calls trust their
 * arguments and do not check them.
 */
#ifndef TIDEGATE_H
#define TIDEGATE_H

#include <stddef.h>
#include <stdint.h>

/* TIDE_SHARED: the library is a shared one; TIDE_BUILDING: it is being built. CMake defines both where they hold. */
#if !defined(TIDE_SHARED)
#define TIDE_API
#elif !defined(_WIN32)
#define TIDE_API __attribute__((visibility("default")))
#elif defined(TIDE_BUILDING)
#define TIDE_API __declspec(dllexport)
#else
#define TIDE_API __declspec(dllimport)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Versions follow semantic versioning. Before 1.0 functions, structs and enumerators may change with a minor version,
 * so programs are compiled again; with a patch they do not change. All structs but tide_fault are opaque. A static
 * library is of the header that the program was compiled with; a shared one is found by major and minor version.
 * tide_version gives its version. Plans and snapshots have versions of their own: another version is refused. */
#define TIDE_VERSION_MAJOR 0
#define TIDE_VERSION_MINOR 1
#define TIDE_VERSION_PATCH 0

/* The library's version, e.g. "0.1.0". */
extern TIDE_API const char *tide_version(void);

#define TIDE_ALIGNMENT 64
#define TIDE_NO_OP UINT32_MAX

typedef enum tide_status {
  TIDE_OK = 0,
  TIDE_E_PLAN = -1,     /* the plan is truncated, altered, of another version, or not valid */
  TIDE_E_INPUT = -2,    /* a frame or a state holds NaN, infinity, a magnitude above 2^64, or an id that is not in the
                         * table; the state is unchanged */
  TIDE_E_RANGE = -3,    /* a value inside the model left 2^64; the state is unchanged */
  TIDE_E_SNAPSHOT = -4, /* the snapshot is truncated, altered, of another plan, or not valid; the stream is unchanged */
  TIDE_E_FINISHED = -5, /* the stream was finished; tide_reset makes it as new */
  TIDE_E_LIMIT = -6,    /* the stream is one block and would become longer than its limit; the state is unchanged */
  TIDE_E_ROW = -7,      /* the group has no such row, the row has not joined, or the push names it twice */
  TIDE_E_ROUNDING = -8, /* the calling thread does not round to nearest; the state is unchanged */
} tide_status;

/* Why a plan or a snapshot is refused: the field as docs/plan.md and docs/snapshot.md name it, its operation
 * (TIDE_NO_OP: none), the value seen and the value wanted (a limit if several values would do). Floats are given by
 * their bits. `field` is a constant string. */
typedef struct tide_fault {
  const char *field;
  uint32_t op;
  uint64_t seen;
  uint64_t wanted;
} tide_fault;

/* ---- variants: the kernels for one instruction set each; all give the same bits ---- */

typedef struct tide_variant tide_variant;

/* Variants, best first; NULL after the last. The last one, "scalar", is plain C and runs everywhere. */
extern TIDE_API const tide_variant *tide_variant_at(size_t index);
/* E.g. "avx512_vnni". */
extern TIDE_API const char *tide_variant_name(const tide_variant *variant);
/* 1 if this processor can run the variant, else 0. */
extern TIDE_API int tide_variant_supported(const tide_variant *variant);
/* The best variant that this processor can run. */
extern TIDE_API const tide_variant *tide_variant_best(void);

/* ---- plans ---- */

/* Checks every field of a plan, its hash first. Returns TIDE_OK; TIDE_E_PLAN and the fault; or TIDE_E_ROUNDING. A
 * plan that is not aligned to TIDE_ALIGNMENT is refused. The plan is only read; the time is linear in `bytes`. */
extern TIDE_API tide_status tide_plan_check(const void *plan, size_t bytes, tide_fault *fault);

/* ---- models: made from a plan that tide_plan_check accepted and whose bytes do not change ---- */

typedef struct tide_model tide_model;

/* On a big-endian machine a model also holds a copy of its plan. */
extern TIDE_API size_t tide_model_bytes(const void *plan, const tide_variant *variant);
extern TIDE_API tide_model *tide_model_init(void *memory, const void *plan, const tide_variant *variant);
extern TIDE_API const tide_variant *tide_model_variant(const tide_model *model);

/* The number of ids that a model knows, which count from 0; a frame is one id, as a float. 0: frames are features. */
extern TIDE_API uint32_t tide_input_ids(const tide_model *model);
/* The same of one feature of a frame: it holds ids, as floats, next to other features. 0: it holds a number. */
extern TIDE_API uint32_t tide_feature_ids(const tide_model *model, uint32_t feature);
/* Features of a frame; several signals are side by side in the order of the contract. */
extern TIDE_API uint32_t tide_input_width(const tide_model *model);
/* Outputs, their features, and whether they have one row per frame (1) or one per push (0: that of the last frame). */
extern TIDE_API uint32_t tide_output_count(const tide_model *model);
extern TIDE_API uint32_t tide_output_width(const tide_model *model, uint32_t output);
extern TIDE_API int tide_output_timed(const tide_model *model, uint32_t output);
/* The largest number of frames of a stream, if its answers come at its end; 0: no limit. */
extern TIDE_API uint32_t tide_limit(const tide_model *model);
/* State vectors and their lengths, in the plan's order: of each layer h and, if it is an LSTM, c; of a window its tail,
 * channel by channel, the oldest frame first; of a static input its values, which only tide_state_write changes. */
extern TIDE_API uint32_t tide_state_count(const tide_model *model);
extern TIDE_API uint32_t tide_state_width(const tide_model *model, uint32_t state);

/* ---- streams ---- */

typedef struct tide_stream tide_stream;

extern TIDE_API size_t tide_stream_bytes(const tide_model *model);
extern TIDE_API tide_stream *tide_stream_init(void *memory, const tide_model *model);
/* Makes the stream as new: it starts from the states of the plan, which are zeros if the plan has none. */
extern TIDE_API void tide_reset(tide_stream *stream);

/* Rows that a push of `count` frames will write to an output, and rows that tide_finish will write: the answers of a
 * model that looks ahead come late. If nothing looks ahead, a push writes `count` rows to a timed output and one to
 * another (none if count is 0), and tide_finish writes none. */
extern TIDE_API size_t tide_rows(const tide_stream *stream, uint32_t output, size_t count);
extern TIDE_API size_t tide_rest(const tide_stream *stream, uint32_t output);

/* Consumes `count` frames [count, input width], row-major. outputs[i] receives [tide_rows, width]. However frames are
 * cut into pushes, the bits are the same. Outputs must not overlap the frames. Returns TIDE_OK; or TIDE_E_INPUT,
 * TIDE_E_RANGE, TIDE_E_FINISHED, TIDE_E_LIMIT or TIDE_E_ROUNDING: then all frames of the push are refused, and outputs
 * may have been written. */
extern TIDE_API tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs);

/* Ends the stream: outputs[i] receives [tide_rest, width], the rows that a lookahead still holds back. Returns TIDE_OK;
 * or TIDE_E_RANGE, TIDE_E_FINISHED or TIDE_E_ROUNDING: then the stream is unchanged. */
extern TIDE_API tide_status tide_finish(tide_stream *stream, float *const *outputs);
/* 1 if the stream was finished, else 0. */
extern TIDE_API int tide_finished(const tide_stream *stream);

/* Copies state vector `state` (tide_state_width values). */
extern TIDE_API void tide_state_read(const tide_stream *stream, uint32_t state, float *values);
/* Sets state vector `state` (tide_state_width values), so that a stream starts or goes on from it. Returns TIDE_OK; or
 * TIDE_E_INPUT if a value is NaN, infinite or above 2^64, or TIDE_E_FINISHED: then the stream is unchanged. */
extern TIDE_API tide_status tide_state_write(tide_stream *stream, uint32_t state, const float *values);

/* Frames that the stream has consumed since it was new, and frames of refused pushes. A counter stays at 2^64 - 1. */
extern TIDE_API uint64_t tide_frames(const tide_stream *stream);
extern TIDE_API uint64_t tide_refused(const tide_stream *stream);

/* ---- snapshots ---- */

/* A snapshot is a stream as bytes: its state vectors, the frames that it holds back, its counters, the hash of its
 * plan, and a hash of all this; see docs/snapshot.md. A stream of the same plan goes on from it with the same bits: in
 * another process, on another processor, with another variant. The bytes need no alignment. tide_snapshot returns the
 * number of bytes that it wrote: tide_snapshot_bytes, or fewer if the model looks ahead. */
extern TIDE_API size_t tide_snapshot_bytes(const tide_model *model);
extern TIDE_API size_t tide_snapshot(const tide_stream *stream, void *bytes);
/* Returns TIDE_OK, or TIDE_E_SNAPSHOT and the fault. */
extern TIDE_API tide_status tide_restore(tide_stream *stream, const void *bytes, size_t size, tide_fault *fault);

/* ---- groups: many streams in one step ---- */

/* A group has rows, each of which is a stream. Rows that are pushed together share every read of the weights. A row
 * gives the same bits as a stream on its own, whatever the other rows hold. A group with all its rows belongs to one
 * caller at a time. */
typedef struct tide_group tide_group;

/* `rows` is 1 or more; all rows are joined, as new streams. Models that look ahead have no groups, because their rows
 * would answer at different times: then the size is 0. For more rows than addresses have room for, it is a size that no
 * allocation gives. */
extern TIDE_API size_t tide_group_bytes(const tide_model *model, uint32_t rows);
extern TIDE_API tide_group *tide_group_init(void *memory, const tide_model *model, uint32_t rows);
extern TIDE_API uint32_t tide_group_rows(const tide_group *group);

/* tide_group_leave ends the stream in a row: no byte of it stays in the group's memory. The row may join again, as a
 * new stream. */
extern TIDE_API void tide_group_leave(tide_group *group, uint32_t row);
extern TIDE_API void tide_group_join(tide_group *group, uint32_t row);
extern TIDE_API int tide_group_joined(const tide_group *group, uint32_t row);

/* The stream in a row, for every call that takes a stream: to reset it, to read it, to push it on its own, and for
 * snapshots, which any stream of the model can restore. Its memory is the group's. */
extern TIDE_API tide_stream *tide_group_stream(const tide_group *group, uint32_t row);

/* Consumes `count` frames of each of the `row_count` rows in `rows`, in any order; other rows do nothing. Frames are
 * [row_count, count, input width] in the order of `rows`. outputs[i] receives [row_count, count, width] for a timed
 * output, [row_count, width] for another. statuses[k] is TIDE_OK, or says why all frames of rows[k] are refused: its
 * state is unchanged and its answers are NaN. The other rows go on. Returns the first status that is not TIDE_OK, else
 * TIDE_OK. */
extern TIDE_API tide_status tide_group_push(tide_group *group, const uint32_t *rows, size_t row_count,
                                            const float *frames, size_t count, float *const *outputs,
                                            tide_status *statuses);

#ifdef __cplusplus
}
#endif
#endif
