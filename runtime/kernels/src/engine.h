/* What models, streams, groups and snapshots share. */
#ifndef TIDE_ENGINE_H
#define TIDE_ENGINE_H

#include "late.h"
#include "operators.h"

struct tide_model {
  const tide_variant *variant;
  plan_header header;
  const model_op *ops;
  uint32_t states;
  uint32_t ids; /* ids that every table has; 0: the input is features */
  int looks_up; /* some operation reads ids */
  int fallible; /* some operation's result may leave 2^64 */
  int late;     /* some operation's answers come late */
  int straight; /* every operation makes a row for each frame, at once, from its inputs alone */
  tide_clocks clocks;
  size_t code_bytes, row_floats, gathered; /* the largest that one frame needs in any operation */
};

/* Scratch memory for the frames of a push, of one stream or several. Nothing in it is needed after the push. */
typedef struct tide_room {
  const float **values; /* [ops + 1], each [streams, rows, width], of the current block */
  float **blocks;       /* [ops + 1], memory for the values; [0] is for the inputs of several streams */
  uint32_t *rows;       /* [ops + 1], rows of each stream in the current block */
  uint8_t *closed;      /* [ops + 1], whether these rows are the last of the stream */
  size_t *totals;       /* [ops + 1], rows in the current push; 1 or 0 for a value with one row per push */
  op_scratch scratch;
} tide_room;

struct tide_stream {
  const tide_model *model;
  tide_room *room;  /* its own, or its group's */
  op_state *states; /* [ops] */
  float *carried;   /* the floats of all states, one after another */
  float *before;    /* a copy from before the push */
  size_t carried_bytes;
  uint64_t frames, refused; /* counts */
  int finished;
  tide_status status; /* of the current push */
};

/* Streams of one model that go through the operations together: at most the variant's `block`; only one if operations
 * answer late. */
typedef struct tide_batch {
  const tide_model *model;
  tide_room *room;
  tide_stream *streams[MOST_BLOCK];
  const float *frames[MOST_BLOCK]; /* [count, input width] of each */
  size_t places[MOST_BLOCK];       /* the place of each in the outputs */
  uint32_t rows;                   /* streams */
} tide_batch;

/* The operation that makes an output. */
const model_op *tide_output_op(const tide_model *model, uint32_t output);

/* Lay a stream out in the arena: its room, which `streams` streams may share, and the memory of its state. */
tide_room *tide_lay_room(tide_arena *arena, const tide_model *model, uint32_t streams);
tide_stream *tide_lay_stream(tide_arena *arena, const tide_model *model, tide_room *room);
/* Computes the bytes of every state from its floats. */
void tide_derive(tide_stream *stream);
/* Sets what late operations hold back to what they hold after `frames` consumed frames; nothing is overwritten. */
void tide_undo_late(tide_stream *stream, uint64_t frames);

/* Runs the frames of a batch block by block; with `closing` they are the last of the stream. Returns 0 if a result
 * leaves 2^64. */
int tide_run(const tide_batch *b, size_t count, int closing, float *const *outputs);
/* Checks frames before any state changes. */
tide_status tide_admit(const tide_stream *stream, const float *frames, size_t count);
/* Runs `count` frames of each stream of a batch. Each stream takes all of them or none; its status says which. */
void tide_consume(const tide_batch *b, size_t count, float *const *outputs);
/* Counts the frames of a push as consumed or refused by the stream's status, and returns the status. */
tide_status tide_account(tide_stream *stream, size_t count);

/* The hash of the model's plan, HASH_BYTES long. */
const uint8_t *tide_model_hash(const tide_model *model);
/* A state vector and the operation that owns it. */
op_vector tide_state_vector(const tide_model *model, uint32_t state, uint32_t *owner);
/* The address of a state vector of tide_state_width values. */
float *tide_state_at(const tide_stream *stream, uint32_t state);
/* Values that a stream of the model holds back: at most, and after `frames` consumed frames. */
size_t tide_held_most(const tide_model *model);
size_t tide_held_at(const tide_model *model, uint64_t frames);
/* Whether a stream may have consumed `frames` frames. */
int tide_frames_ok(const tide_model *model, uint64_t frames);
/* The `count` values that operation `op` holds back. */
const float *tide_held(const tide_stream *stream, uint32_t op, size_t *count);
uint32_t tide_model_ops(const tide_model *model);
/* Loads a state: the counters, every state vector and all values held back, as little-endian floats that were checked
 * before. */
void tide_stream_load(tide_stream *stream, const uint8_t *values, uint64_t frames, uint64_t refused, int finished);

#endif
