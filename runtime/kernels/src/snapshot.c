/* Snapshots: docs/snapshot.md is their specification. */
#include <math.h>

#include "bytes.h"
#include "engine.h"
#include "hash.h"

enum {
  AT_MAGIC = 0,
  AT_VERSION = 8,
  AT_BACKEND = 12,
  AT_HASH = 16,
  AT_SIZE = 48, /* the hash covers all bytes from here on */
  AT_MODEL = 56,
  AT_FRAMES = 88,
  AT_REFUSED = 96,
  AT_FINISHED = 104,
  AT_VALUES = 112,
};

enum { SNAPSHOT_VERSION = 2, THIS_ENGINE = 1 };

static const char MAGIC[8] = {'T', 'I', 'D', 'E', 'S', 'N', 'A', 'P'};

/* Bytes of a snapshot with `held` values held back. */
static size_t bytes_with(const tide_model *model, size_t held) {
  size_t floats = held;
  for (uint32_t i = 0; i < tide_state_count(model); i++) floats += tide_state_width(model, i);
  return AT_VALUES + floats * sizeof(float);
}

size_t tide_snapshot_bytes(const tide_model *model) { return bytes_with(model, tide_held_most(model)); }

/* Bytes after `frames` consumed frames; a finished stream holds nothing back. */
static size_t bytes_at(const tide_model *model, uint64_t frames, uint64_t finished) {
  return bytes_with(model, finished ? 0 : tide_held_at(model, frames));
}

/* ---- writing ---- */

static uint8_t *put_floats(uint8_t *at, const float *values, size_t count) {
  for (size_t i = 0; i < count; i++, at += 4) put_u32(at, float_bits(values[i]));
  return at;
}

static void put_values(const tide_stream *stream, uint8_t *at) {
  const tide_model *model = stream->model;
  for (uint32_t state = 0; state < tide_state_count(model); state++) {
    at = put_floats(at, tide_state_at(stream, state), tide_state_width(model, state));
  }
  for (uint32_t op = 0; !tide_finished(stream) && op < tide_model_ops(model); op++) {
    size_t count;
    const float *held = tide_held(stream, op, &count);
    at = put_floats(at, held, count);
  }
}

size_t tide_snapshot(const tide_stream *stream, void *bytes) {
  const tide_model *model = stream->model;
  const size_t size = bytes_at(model, tide_frames(stream), (uint64_t)tide_finished(stream));
  uint8_t *p = bytes;
  memcpy(p + AT_MAGIC, MAGIC, sizeof MAGIC);
  put_u32(p + AT_VERSION, SNAPSHOT_VERSION);
  put_u32(p + AT_BACKEND, THIS_ENGINE);
  put_u64(p + AT_SIZE, size);
  memcpy(p + AT_MODEL, tide_model_hash(model), HASH_BYTES);
  put_u64(p + AT_FRAMES, tide_frames(stream));
  put_u64(p + AT_REFUSED, tide_refused(stream));
  put_u64(p + AT_FINISHED, (uint64_t)tide_finished(stream));
  put_values(stream, p + AT_VALUES);
  tide_hash(p + AT_SIZE, size - AT_SIZE, p + AT_HASH);
  return size;
}

/* ---- reading ---- */

static int equal(tide_fault *fault, const char *field, uint64_t seen, uint64_t wanted) {
  if (seen == wanted) return 1;
  *fault = (tide_fault){field, TIDE_NO_OP, seen, wanted};
  return 0;
}

static int same_hash(tide_fault *fault, const char *field, const uint8_t *seen, const uint8_t *wanted) {
  for (int i = 0; i < HASH_BYTES; i += 8) {
    if (!equal(fault, field, u64_at(seen + i), u64_at(wanted + i))) return 0;
  }
  return 1;
}

static int header_ok(const tide_model *model, const uint8_t *p, size_t bytes, tide_fault *fault) {
  uint8_t hash[HASH_BYTES];
  if (bytes < AT_VALUES) return equal(fault, "size", bytes, bytes_at(model, 0, 0));
  const uint64_t frames = u64_at(p + AT_FRAMES), finished = u64_at(p + AT_FINISHED);
  if (!equal(fault, "magic", u64_at(p + AT_MAGIC), u64_at((const uint8_t *)MAGIC)) ||
      !equal(fault, "version", u32_at(p + AT_VERSION), SNAPSHOT_VERSION) ||
      !equal(fault, "size", bytes, u64_at(p + AT_SIZE))) {
    return 0;
  }
  tide_hash(p + AT_SIZE, bytes - AT_SIZE, hash);
  return same_hash(fault, "hash", p + AT_HASH, hash) && equal(fault, "backend", u32_at(p + AT_BACKEND), THIS_ENGINE) &&
         same_hash(fault, "model", p + AT_MODEL, tide_model_hash(model)) &&
         (finished <= 1 || equal(fault, "finished", finished, 1)) &&
         (tide_frames_ok(model, frames) || equal(fault, "frames", frames, 0)) &&
         equal(fault, "size", bytes, bytes_at(model, frames, finished));
}

static int values_ok(const uint8_t *p, size_t bytes, tide_fault *fault) {
  for (size_t at = AT_VALUES; at < bytes; at += sizeof(float)) {
    const float value = float_at(p + at);
    if (fabsf(value) <= 0x1p64f) continue;
    *fault = (tide_fault){"state", TIDE_NO_OP, u32_at(p + at), float_bits(0x1p64f)};
    return 0;
  }
  return 1;
}

tide_status tide_restore(tide_stream *stream, const void *bytes, size_t size, tide_fault *fault) {
  const uint8_t *p = bytes;
  if (!header_ok(stream->model, p, size, fault) || !values_ok(p, size, fault)) return TIDE_E_SNAPSHOT;
  tide_stream_load(stream, p + AT_VALUES, u64_at(p + AT_FRAMES), u64_at(p + AT_REFUSED), (int)u64_at(p + AT_FINISHED));
  return TIDE_OK;
}
