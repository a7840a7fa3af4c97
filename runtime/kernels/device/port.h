/* What a program needs from its platform; there is no heap and no printf. */
#ifndef PORT_H
#define PORT_H

#include <stddef.h>

/* Reads up to `count` bytes from standard input; returns how many came. Frames are float32 in the machine's order. */
size_t port_read(void *bytes, size_t count);
void port_text(const char *text);
/* Writes a space and the value with six decimals. */
void port_number(float value);

#endif
