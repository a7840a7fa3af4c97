/* Prints the version of the library, and fails if it is not that of the header. */
#include <stdio.h>
#include <string.h>
#include <tidegate.h>

int main(void) {
  char wanted[32];
  snprintf(wanted, sizeof wanted, "%d.%d.%d", TIDE_VERSION_MAJOR, TIDE_VERSION_MINOR, TIDE_VERSION_PATCH);
  printf("tidegate %s, %s\n", tide_version(), tide_variant_name(tide_variant_best()));
  return strcmp(wanted, tide_version()) != 0;
}
