/* Standard input and output of an operating system. */
#include <stdio.h>

#include "port.h"

size_t port_read(void *bytes, size_t count) { return fread(bytes, 1, count, stdin); }

void port_text(const char *text) { fputs(text, stdout); }
