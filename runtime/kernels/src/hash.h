/* The hash of plans and snapshots: BLAKE2b (RFC 7693) of 32 bytes, without a key. */
#ifndef TIDE_HASH_H
#define TIDE_HASH_H

#include <stdint.h>

enum { HASH_BYTES = 32 };

void tide_hash(const uint8_t *data, uint64_t bytes, uint8_t *hash);

#endif
