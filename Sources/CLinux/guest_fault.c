#define _GNU_SOURCE
#include "guest_fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct slot {
  _Atomic(uintptr_t) address;
  _Atomic(size_t) length;
  _Atomic(uintptr_t) flag;
};
static struct slot slots[CL_GUEST_FAULT_SLOTS];
static _Atomic(int) high_water;
static pthread_mutex_t register_lock = PTHREAD_MUTEX_INITIALIZER;

// The fault may be inside the thread sanitizer's own code, which holds a lock while it carries out an atomic operation:
// so neither what this function does nor the call it makes is to be looked at.
#if defined(__has_attribute) && __has_attribute(disable_sanitizer_instrumentation)
__attribute__((disable_sanitizer_instrumentation))
#endif
static void on_fault(int signal_number, siginfo_t *info, void *context) {
  (void)context;
  uintptr_t at = (uintptr_t)info->si_addr;
  int count = atomic_load(&high_water);
  for (int i = 0; i < count; i++) {
    size_t length = atomic_load(&slots[i].length);
    uintptr_t start = atomic_load(&slots[i].address);
    if (length == 0 || at < start || at - start >= length) continue;
    long cover = syscall(SYS_mmap, start, length, (long)(PROT_READ | PROT_WRITE),
                         (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE), -1L, 0L);
    if (cover == -1) break;
    __atomic_store_n((uint32_t *)atomic_load(&slots[i].flag), 1u, __ATOMIC_RELEASE);
    return;
  }
  struct sigaction fallback;
  memset(&fallback, 0, sizeof fallback);
  fallback.sa_handler = SIG_DFL;
  sigaction(signal_number, &fallback, NULL);  // returning runs the instruction again, now fatally
}

int cl_guest_fault_install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, NULL);
}

int cl_guest_fault_register(void *address, size_t length, uint32_t *flag) {
  int found = -1;
  pthread_mutex_lock(&register_lock);
  for (int i = 0; i < CL_GUEST_FAULT_SLOTS; i++) {
    if (atomic_load(&slots[i].length) != 0) continue;
    atomic_store(&slots[i].address, (uintptr_t)address);
    atomic_store(&slots[i].flag, (uintptr_t)flag);
    atomic_store(&slots[i].length, length);
    if (i >= atomic_load(&high_water)) atomic_store(&high_water, i + 1);
    found = i;
    break;
  }
  pthread_mutex_unlock(&register_lock);
  return found;
}

void cl_guest_fault_unregister(int slot) {
  if (slot >= 0 && slot < CL_GUEST_FAULT_SLOTS) atomic_store(&slots[slot].length, 0);
}
