// Tells how far apart two processors are, again and again, while something else runs on them.
//
//   core-distance CPU CPU MILLISECONDS
//
// prints a line "TIME sibling|near|far CYCLES" every so many milliseconds: the monotonic clock in seconds, and the
// cycles a cache line takes from one processor to the other and back.
//
// A virtual machine's processors are moved between real ones, several times a second or once a minute. Two that share
// data may be two threads of one core (siblings, which also share its execution units), neighbours, or in different
// core complexes or sockets, where everything that passes between them costs a multiple. Nothing else in the machine
// shows it, and only measurements taken at the same distance may be compared.
//
// One thread on each processor wakes at the same moment with real-time priority, so that whatever is measured stands
// still for the 10 to 100 µs that a look takes.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

enum { warm_up = 20, rounds = 120, sibling_limit = 110, near_limit = 400 };

static _Alignas(128) atomic_uint ball;  // odd: thrown by the server, even: returned
static int cpus[2];
static long period;
static struct timespec first;

static void take_place(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  struct sched_param priority = {.sched_priority = 50};
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0 ||
      pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) != 0) {
    fprintf(stderr, "core-distance: cannot run on processor %d with real-time priority\n", cpu);
    exit(1);
  }
}

static void wait_for(unsigned value) {
  while (atomic_load_explicit(&ball, memory_order_acquire) != value) _mm_pause();
}

// Both threads walk through the same moments.
static void sleep_to(struct timespec *moment) {
  moment->tv_nsec += period;
  while (moment->tv_nsec >= 1000000000) {
    moment->tv_nsec -= 1000000000;
    moment->tv_sec++;
  }
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, moment, NULL) != 0) {}
}

static void *return_ball(void *unused) {
  take_place(cpus[1]);
  struct timespec moment = first;
  for (unsigned value = 0;;) {
    sleep_to(&moment);
    for (int i = 0; i < warm_up + rounds; i++) {
      wait_for(++value);
      atomic_store_explicit(&ball, ++value, memory_order_release);
    }
  }
  return unused;
}

int main(int count, char **arguments) {
  if (count != 4 || atol(arguments[3]) < 1) {
    fprintf(stderr, "usage: core-distance CPU CPU MILLISECONDS\n");
    return 2;
  }
  cpus[0] = atoi(arguments[1]);
  cpus[1] = atoi(arguments[2]);
  period = atol(arguments[3]) * 1000000;
  clock_gettime(CLOCK_MONOTONIC, &first);
  first.tv_sec++;
  take_place(cpus[0]);
  pthread_t other;
  if (pthread_create(&other, 0, return_ball, 0) != 0) return 1;
  struct timespec moment = first;
  for (unsigned value = 0;;) {
    sleep_to(&moment);
    uint64_t start = 0;
    for (int i = 0; i < warm_up + rounds; i++) {
      if (i == warm_up) start = __rdtsc();
      atomic_store_explicit(&ball, ++value, memory_order_release);
      wait_for(++value);
    }
    unsigned long cycles = (__rdtsc() - start) / rounds;
    const char *distance = cycles < sibling_limit ? "sibling" : cycles < near_limit ? "near" : "far";
    printf("%ld.%06ld %s %lu\n", (long)moment.tv_sec, moment.tv_nsec / 1000, distance, cycles);
    fflush(stdout);
  }
}
