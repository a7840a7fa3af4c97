/* tidegate: streams recurrent networks, the same bits on every machine.
 *
 * The memory is the caller's. Check a plan once, ask how much memory a model and a stream need, hand
 * over that much (aligned to TIDE_ALIGNMENT bytes), and push frames. After tide_stream_init nothing
 * is allocated, locked or printed, and no setting of the process is read or changed.
 *
 *     tide_fault fault;
 *     if (tide_plan_check(plan, bytes, &fault) != TIDE_OK) return complain(&fault);
 *     const tide_variant *variant = tide_variant_best();
 *     tide_model *model = tide_model_init(model_memory, plan, variant);
 *     tide_stream *stream = tide_stream_init(stream_memory, model);
 *     float *outputs[1] = {answer};
 *     tide_push(stream, frames, count, outputs);
 *
 * A model is read-only after init and may serve any number of threads; a stream belongs to one caller
 * at a time.
 */
#ifndef TIDEGATE_H
#define TIDEGATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIDE_ALIGNMENT 64
#define TIDE_NO_OP UINT32_MAX

typedef enum tide_status {
  TIDE_OK = 0,
  TIDE_E_PLAN = -1,     /* the plan is truncated, altered, of another version, or says what cannot be */
  TIDE_E_INPUT = -2,    /* a frame holds NaN, infinity, a magnitude above 2^64 or an id that is not in the table;
                         * the state is unchanged */
  TIDE_E_RANGE = -3,    /* a value inside the model left 2^64; the state is unchanged */
  TIDE_E_SNAPSHOT = -4, /* the snapshot is truncated, altered, of another model, or says what cannot be; the stream
                         * is unchanged */
} tide_status;

/* Why a plan or a snapshot is refused: the field, the operation it belongs to (TIDE_NO_OP: none), the value
 * seen and the value wanted (a limit where the field is a size). Floats are told by their bits. */
typedef struct tide_fault {
  const char *field;
  uint32_t op;
  uint64_t seen;
  uint64_t wanted;
} tide_fault;

typedef struct tide_variant tide_variant; /* the kernels for one instruction set */
typedef struct tide_model tide_model;
typedef struct tide_stream tide_stream;

/* Variants, best first. NULL beyond the end. */
const tide_variant *tide_variant_at(size_t index);
const char *tide_variant_name(const tide_variant *variant);
/* 1 if this processor runs it, else 0. */
int tide_variant_supported(const tide_variant *variant);
/* The best that this processor runs; scalar C always does. */
const tide_variant *tide_variant_best(void);

/* Checks every field of a plan. `plan` must be aligned to TIDE_ALIGNMENT. */
tide_status tide_plan_check(const void *plan, size_t bytes, tide_fault *fault);

/* All below take a plan that tide_plan_check accepted. A model keeps pointers into it: the plan must
 * outlive the model, and the model its streams. */
size_t tide_model_bytes(const void *plan, const tide_variant *variant);
tide_model *tide_model_init(void *memory, const void *plan, const tide_variant *variant);
const tide_variant *tide_model_variant(const tide_model *model);

/* How many ids a model takes, 0 and up, each a frame of one float; 0 for a model whose frames are features. */
uint32_t tide_input_ids(const tide_model *model);
/* Features of a frame. */
uint32_t tide_input_width(const tide_model *model);
/* Outputs, their features, and whether they have one row a frame (1) or one a push (0: the last frame's). */
uint32_t tide_output_count(const tide_model *model);
uint32_t tide_output_width(const tide_model *model, uint32_t output);
int tide_output_timed(const tide_model *model, uint32_t output);
/* State vectors (h of each layer in plan order, of an LSTM then c) and their lengths. */
uint32_t tide_state_count(const tide_model *model);
uint32_t tide_state_width(const tide_model *model, uint32_t state);

size_t tide_stream_bytes(const tide_model *model);
tide_stream *tide_stream_init(void *memory, const tide_model *model);
/* Makes the stream as new. */
void tide_reset(tide_stream *stream);
/* Consumes `count` frames [count, input width], row-major. outputs[i] receives [count, width] for a
 * timed output, [width] for another; with count 0 nothing is written. Any cut of the same frames into
 * pushes gives the same bits. */
tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs);
/* Copies state vector `state` (tide_state_width values). */
void tide_state_read(const tide_stream *stream, uint32_t state, float *values);

/* Frames that the stream has consumed since it was new, and frames of pushes that were refused. At 2^64 - 1 a
 * counter stays where it is. */
uint64_t tide_frames(const tide_stream *stream);
uint64_t tide_refused(const tide_stream *stream);

/* A snapshot is a stream as bytes: its state vectors and counters, the hash of its plan, and a hash of all that; see
 * docs/snapshot.md. A stream of the same plan goes on from it with the same bits: in another process, on another
 * processor, with another variant. All snapshots of a model have one size. The bytes need no alignment. */
size_t tide_snapshot_bytes(const tide_model *model);
void tide_snapshot(const tide_stream *stream, void *bytes);
/* TIDE_OK, or TIDE_E_SNAPSHOT and the fault: the bytes may come from anywhere. */
tide_status tide_restore(tide_stream *stream, const void *bytes, size_t size, tide_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
