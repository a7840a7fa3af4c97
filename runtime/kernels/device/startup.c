/* The start of a Cortex-M: vectors, memory, float unit; then main. */
#include <stdint.h>
#include <string.h>

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];
int main(void);
void start(void);
void port_exit(int status);

static void fail(void) { port_exit(70); }

void start(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: coprocessors 10 and 11 */
  __asm__ volatile("dsb\n isb" ::: "memory");
#endif
  memcpy(data_start, data_load, (size_t)((uint8_t *)data_end - (uint8_t *)data_start));
  memset(bss_start, 0, (size_t)((uint8_t *)bss_end - (uint8_t *)bss_start));
  port_exit(main());
}

typedef void (*vector)(void);
__attribute__((section(".vectors"), used)) static const vector VECTORS[16] = {(vector)(uintptr_t)stack_top,
                                                                              start,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail,
                                                                              fail};
