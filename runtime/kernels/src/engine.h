/* What snapshots need of a stream. */
#ifndef TIDE_ENGINE_H
#define TIDE_ENGINE_H

#include "operators.h"

const tide_model *tide_stream_model(const tide_stream *stream);
/* The HASH_BYTES that its plan is known by. */
const uint8_t *tide_model_hash(const tide_model *model);
/* Where a state vector stands, tide_state_width values. */
float *tide_state_at(const tide_stream *stream, uint32_t state);
/* Puts a state in place: every state vector, little-endian floats that were checked before, and the counters. */
void tide_stream_load(tide_stream *stream, const uint8_t *values, uint64_t frames, uint64_t refused, int finished);

#endif
