/* What snapshots need of a model and its streams. */
#ifndef TIDE_ENGINE_H
#define TIDE_ENGINE_H

#include "operators.h"

const tide_model *tide_stream_model(const tide_stream *stream);
/* The HASH_BYTES that its plan is known by. */
const uint8_t *tide_model_hash(const tide_model *model);
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
