// Prints "near" or "far", and the cycles a cache line takes from one processor to another and back.
//
//   core-distance CPU CPU
//
// A virtual machine's processors are moved between real ones. When two that share data end up on different sockets or
// core complexes, everything that passes between them costs a multiple, for seconds or minutes, and nothing else in
// the machine shows it. Only measurements taken at the same distance may be compared.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

enum { warm_up = 2000, rounds = 30000, near_limit = 400 };

static _Alignas(128) atomic_int ball;  // odd: thrown by the server, even: returned
static int cpus[2];

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
    fprintf(stderr, "core-distance: cannot run on CPU %d\n", cpu);
    exit(1);
  }
}

static void wait_for(int value) {
  while (atomic_load_explicit(&ball, memory_order_acquire) != value) _mm_pause();
}

static void *return_ball(void *unused) {
  pin(cpus[1]);
  for (int i = 0; i < warm_up + rounds; i++) {
    wait_for(2 * i + 1);
    atomic_store_explicit(&ball, 2 * i + 2, memory_order_release);
  }
  return unused;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: core-distance CPU CPU\n");
    return 2;
  }
  cpus[0] = atoi(arguments[1]);
  cpus[1] = atoi(arguments[2]);
  pin(cpus[0]);
  pthread_t other;
  if (pthread_create(&other, 0, return_ball, 0) != 0) return 1;
  uint64_t start = 0;
  for (int i = 0; i < warm_up + rounds; i++) {
    if (i == warm_up) start = __rdtsc();
    atomic_store_explicit(&ball, 2 * i + 1, memory_order_release);
    wait_for(2 * i + 2);
  }
  uint64_t cycles = (__rdtsc() - start) / rounds;
  pthread_join(other, 0);
  printf("%s %lu\n", cycles < near_limit ? "near" : "far", (unsigned long)cycles);
}
