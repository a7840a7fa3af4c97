#include "../src/hash.h"
#include "web.h"

void web_digest(const void *bytes, size_t count, void *digest) { tide_hash(bytes, count, digest); }
