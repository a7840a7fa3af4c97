/* What a module exports beside tidegate.h, for tidegate.js. */
#ifndef TIDE_WEB_H
#define TIDE_WEB_H

#include <stddef.h>

/* Memory on a cache line; NULL if there is no more. */
void *web_take(size_t bytes);
/* Clears memory that web_take returned, and makes it free. */
void web_give(void *bytes);
/* Bytes that are free without growth. */
size_t web_free(void);
/* Writes the hash of bytes, as plans and snapshots have it: BLAKE2b of 32 bytes. */
void web_digest(const void *bytes, size_t count, void *digest);

#endif
