// The processor: time-stamp counter, prefetches, spin hint, compiler barrier, affinity.
#pragma once
#include <stddef.h>
#include <stdint.h>

static inline uint64_t cl_tsc(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t v;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
  return v;
#endif
}
// The place of the last of `count` ascending values (at least one) that is not above `bound`; 0 if all are. No branch
// depends on what is compared: a search whose turns cannot be foretold costs a misprediction in every second step.
static inline size_t cl_last_at_most(const uint64_t *values, size_t count, uint64_t bound) {
  size_t first = 0;
  while (count > 1) {
    size_t half = count / 2;
    first = __builtin_unpredictable(values[first + half] <= bound) ? first + half : first;
    count -= half;
  }
  return first;
}
static inline void cl_prefetch_read(const void *p) { __builtin_prefetch(p, 0, 3); }
// Fetches the line for writing, so that the store finds it owned. The builtin would fetch it shared on x86-64's
// baseline, and each store pay a second round trip; processors without the instruction take it for a no-op.
static inline void cl_prefetch_write(const void *p) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
  __builtin_prefetch(p, 1, 3);
#endif
}
static inline void cl_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
// The compiler may not move loads or stores of memory across this.
static inline void cl_barrier(void) { __asm__ volatile("" ::: "memory"); }

// Pins the calling thread. 0, or an errno value; a `cpu` that cannot be is EINVAL.
int cl_pin_current_thread(int cpu);
// Whether this process may run on `cpu`: 1 or 0.
int cl_cpu_is_allowed(int cpu);
