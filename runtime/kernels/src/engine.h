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
  uint32_t ids; /* ids that every table has; 0: the input is floats */
  int fallible; /* some operation's result may leave 2^64 */
  int late;     /* some operation answers late */
  tide_clocks clocks;
  size_t code_bytes, row_floats; /* most that a frame's codes and packed rows need in any operation */
};

/* Where frames go through the operations, of one stream or of several; nothing in it outlives a push. */
typedef struct tide_room {
  const float **values; /* [ops + 1] of the block at hand, [streams, rows, width] each */
  float **blocks;       /* [ops + 1], room for them; [0] is for the inputs of several streams */
  uint32_t *rows;       /* [ops + 1], how many of each stream */
  uint8_t *closed;      /* [ops + 1], whether they are the last of the stream */
  size_t *totals;       /* [ops + 1], rows in the push at hand; of a value with one row a push 1, or 0 */
  op_scratch scratch;
} tide_room;

struct tide_stream {
  const tide_model *model;
  tide_room *room;  /* its own, or that of its group */
  op_state *states; /* [ops] */
  float *carried;   /* the floats of all states, one after the other */
  float *before;    /* the same as before the push */
  size_t carried_bytes;
  uint64_t frames, refused; /* counts */
  int finished;
  tide_status status; /* of the push at hand */
};

/* Streams of one model that go through the operations together, no more than the variant's `block`; where operations
 * answer late, one. */
typedef struct tide_batch {
  const tide_model *model;
  tide_room *room;
  tide_stream *streams[MOST_BLOCK];
  const float *frames[MOST_BLOCK]; /* [count, input width] of each */
  size_t places[MOST_BLOCK];       /* of each in the outputs */
  uint32_t rows;                   /* streams */
} tide_batch;

/* The operation that makes an output. */
const model_op *tide_output_op(const tide_model *model, uint32_t output);

/* Lays what a stream needs in the arena: a room, which `streams` may share, and what it carries. */
tide_room *tide_lay_room(tide_arena *arena, const tide_model *model, uint32_t streams);
tide_stream *tide_lay_stream(tide_arena *arena, const tide_model *model, tide_room *room);
/* The bytes of every state follow from its floats. */
void tide_derive(tide_stream *stream);
/* Puts what late operations hold back where it is when the stream has consumed `frames`, nothing overwritten. */
void tide_undo_late(tide_stream *stream, uint64_t frames);

/* Runs frames of a batch, the last ones of the stream if `closing`, block after block; 0 when a result leaves 2^64. */
int tide_run(const tide_batch *b, size_t count, int closing, float *const *outputs);
/* What a stream says of frames before any state changes. */
tide_status tide_admit(const tide_stream *stream, const float *frames, size_t count);
/* Streams `count` frames of each stream of a batch; the status of each tells whether it took them all or none. */
void tide_consume(const tide_batch *b, size_t count, float *const *outputs);
/* Counts the frames of a push by the stream's status, and returns it. */
tide_status tide_account(tide_stream *stream, size_t count);

/* The HASH_BYTES that its plan is known by. */
const uint8_t *tide_model_hash(const tide_model *model);
/* A state vector and the operation that owns it. */
op_vector tide_state_vector(const tide_model *model, uint32_t state, uint32_t *owner);
/* Where a state vector stands, tide_state_width values. */
float *tide_state_at(const tide_stream *stream, uint32_t state);
/* Values that a model's streams hold back at most, and that one does which has consumed `frames`. */
size_t tide_held_most(const tide_model *model);
size_t tide_held_at(const tide_model *model, uint64_t frames);
/* Whether a stream may have consumed so many. */
int tide_frames_ok(const tide_model *model, uint64_t frames);
/* What operation `op` holds back, `count` values. */
const float *tide_held(const tide_stream *stream, uint32_t op, size_t *count);
uint32_t tide_model_ops(const tide_model *model);
/* Puts a state in place: every state vector and all that is held back, little-endian floats that were checked before,
 * and the counters. */
void tide_stream_load(tide_stream *stream, const uint8_t *values, uint64_t frames, uint64_t refused, int finished);

#endif
