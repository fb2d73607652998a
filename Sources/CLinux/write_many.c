// A ring (io_uring) per thread
// ============================
//
// Made when a thread first writes, closed when the thread ends. Nothing is ever in flight between calls: requests are
// made with RWF_NOWAIT, which the kernel carries out, in order, while they are submitted, and every completion is
// taken before the call returns. So the caller's vectors need to live no longer than the call, and a descriptor is
// never held.
//
// Where io_uring is forbidden (kernel.io_uring_disabled, a seccomp filter) or the device has no RWF_NOWAIT (a TAP
// before Linux 6.4), the thread finds out once and says so from then on.
#define _GNU_SOURCE
#include "write_many.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { entries = 32 };

struct ring {
  int fd;  // -1: io_uring does not serve
  void *memory;
  size_t memory_length;
  struct io_uring_sqe *requests;
  struct io_uring_cqe *completions;
  _Atomic uint32_t *request_tail, *completion_head, *completion_tail;
  uint32_t request_mask, completion_mask;
};

static _Thread_local struct ring *own;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void give_up(struct ring *ring) {
  if (ring->requests) munmap(ring->requests, entries * sizeof *ring->requests);
  if (ring->memory) munmap(ring->memory, ring->memory_length);
  if (ring->fd >= 0) close(ring->fd);
  *ring = (struct ring){.fd = -1};
}

static void end_thread(void *ring) {
  give_up(ring);
  free(ring);
}

static void make_key(void) { pthread_key_create(&key, end_thread); }

static void *map(int fd, size_t length, off_t offset) {
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  return memory == MAP_FAILED ? NULL : memory;
}

static void open_ring(struct ring *ring) {
  struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
  ring->fd = (int)syscall(SYS_io_uring_setup, entries, &parameters);
  if (ring->fd < 0) return;
  ring->memory_length = parameters.sq_off.array + parameters.sq_entries * sizeof(uint32_t);
  size_t end = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
  if (end > ring->memory_length) ring->memory_length = end;
  ring->memory = map(ring->fd, ring->memory_length, IORING_OFF_SQ_RING);
  ring->requests = map(ring->fd, entries * sizeof *ring->requests, IORING_OFF_SQES);
  if (!ring->memory || !ring->requests || parameters.sq_entries != entries ||
      !(parameters.features & IORING_FEAT_SINGLE_MMAP)) {
    give_up(ring);
    return;
  }
  char *base = ring->memory;
  ring->request_tail = (void *)(base + parameters.sq_off.tail);
  ring->request_mask = *(uint32_t *)(base + parameters.sq_off.ring_mask);
  ring->completion_head = (void *)(base + parameters.cq_off.head);
  ring->completion_tail = (void *)(base + parameters.cq_off.tail);
  ring->completion_mask = *(uint32_t *)(base + parameters.cq_off.ring_mask);
  ring->completions = (void *)(base + parameters.cq_off.cqes);
  uint32_t *array = (void *)(base + parameters.sq_off.array);
  for (uint32_t index = 0; index < entries; index++) array[index] = index;
}

static struct ring *own_ring(void) {
  if (own) return own;
  pthread_once(&once, make_key);
  own = calloc(1, sizeof *own);
  if (!own) return NULL;
  open_ring(own);
  pthread_setspecific(key, own);
  return own;
}

static void request(struct ring *ring, int fd, const struct cl_mmsghdr *messages, unsigned int count) {
  uint32_t tail = atomic_load_explicit(ring->request_tail, memory_order_relaxed);
  for (unsigned int index = 0; index < count; index++) {
    ring->requests[(tail + index) & ring->request_mask] = (struct io_uring_sqe){
        .opcode = IORING_OP_WRITEV, .fd = fd, .off = (uint64_t)-1, .rw_flags = RWF_NOWAIT,
        .addr = (uintptr_t)messages[index].header.msg_iov,
        .len = (uint32_t)messages[index].header.msg_iovlen, .user_data = index};
  }
  atomic_store_explicit(ring->request_tail, tail + count, memory_order_release);
}

// Takes what is complete; returns how many that were.
static unsigned int collect(struct ring *ring, struct cl_mmsghdr *messages, unsigned int count) {
  uint32_t head = atomic_load_explicit(ring->completion_head, memory_order_relaxed);
  uint32_t tail = atomic_load_explicit(ring->completion_tail, memory_order_acquire);
  unsigned int taken = 0;
  for (; head != tail; head++, taken++) {
    struct io_uring_cqe *completion = &ring->completions[head & ring->completion_mask];
    if (completion->user_data < count) messages[completion->user_data].length = (unsigned int)completion->res;
  }
  atomic_store_explicit(ring->completion_head, head, memory_order_release);
  return taken;
}

int cl_write_many(int fd, struct cl_mmsghdr *messages, unsigned int count) {
  struct ring *ring = own_ring();
  if (!ring || ring->fd < 0 || count > entries) return -1;
  // What the kernel, for want of memory, does not even look at counts as not having been taken.
  for (unsigned int index = 0; index < count; index++) messages[index].length = (unsigned int)-EAGAIN;
  request(ring, fd, messages, count);
  unsigned int submitted = 0, taken = 0;
  while (taken < count) {
    long result = syscall(SYS_io_uring_enter, ring->fd, count - submitted, count - taken,
                          IORING_ENTER_GETEVENTS, NULL, 0);
    if (result > 0) submitted += (unsigned int)result;
    taken += collect(ring, messages, count);
    if (result < 0 && errno != EINTR) {
      // Nothing is in flight: what was submitted is complete.
      give_up(ring);
      return submitted ? 0 : -1;
    }
  }
  if (count > 0 && messages[0].length == (unsigned int)-EOPNOTSUPP) {
    give_up(ring);
    return -1;
  }
  return 0;
}
