/* Standard input and output of an operating system. */
#include <stdio.h>

#include "port.h"

#ifdef _WIN32 /* where standard input is lines of text, unless a program says otherwise */
#include <fcntl.h>
#include <io.h>
#define TAKE_BYTES(file) _setmode(_fileno(file), _O_BINARY)
#else
#define TAKE_BYTES(file)
#endif

size_t port_read(void *bytes, size_t count) {
  TAKE_BYTES(stdin);
  return fread(bytes, 1, count, stdin);
}

void port_text(const char *text) { fputs(text, stdout); }
