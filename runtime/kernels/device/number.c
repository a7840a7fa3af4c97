#include <stdint.h>

#include "port.h"

enum { PLACES = 6, MILLION = 1000000 };

/* Writes at least `least` digits so that they end before `end`; returns where they start. */
static char *put_digits(char *end, uint64_t value, int least) {
  for (int i = 0; i < least || value; i++, value /= 10) *--end = (char)('0' + value % 10);
  return end;
}

void port_number(float value) {
  char text[40], *at = text + sizeof text - 1;
  const float magnitude = value < 0 ? -value : value;
  const uint64_t millionths = magnitude < 1e12f ? (uint64_t)(magnitude * MILLION + 0.5f) : UINT64_MAX;
  *at = 0;
  at = put_digits(at, millionths % MILLION, PLACES);
  *--at = '.';
  at = put_digits(at, millionths / MILLION, 1);
  if (value < 0) *--at = '-';
  *--at = ' ';
  port_text(at);
}
