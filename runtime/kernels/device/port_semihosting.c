/* Standard input and output over semihosting, of a debugger or of qemu. On a real device the sensor is read here. */
#include <stdint.h>

#include "port.h"

enum { OPEN = 0x01, WRITE = 0x05, READ = 0x06, EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };
enum { INPUT_MODE = 0, OUTPUT_MODE = 4 };

static int call(int operation, const void *arguments) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = arguments;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

/* ":tt" is the terminal; the mode selects its input or its output. */
static int terminal(uint32_t mode) {
  const struct {
    const char *name;
    uint32_t mode, length;
  } arguments = {":tt", mode, 3};
  return call(OPEN, &arguments);
}

size_t port_read(void *bytes, size_t count) {
  static int input = -1;
  size_t left = count;
  if (input < 0) input = terminal(INPUT_MODE);
  while (left) {
    const struct {
      int handle;
      uint8_t *bytes;
      size_t count;
    } arguments = {input, (uint8_t *)bytes + (count - left), left};
    const size_t unread = (size_t)call(READ, &arguments);
    if (unread >= left) break; /* the end */
    left = unread;
  }
  return count - left;
}

void port_text(const char *text) {
  static int output = -1;
  size_t count = 0;
  while (text[count]) count++;
  if (output < 0) output = terminal(OUTPUT_MODE);
  const struct {
    int handle;
    const char *text;
    size_t count;
  } arguments = {output, text, count};
  call(WRITE, &arguments);
}

void port_exit(int status) {
  const struct {
    uint32_t reason;
    int status;
  } arguments = {APPLICATION_EXIT, status};
  call(EXIT_EXTENDED, &arguments);
  for (;;) continue;
}
