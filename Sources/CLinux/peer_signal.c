#define _GNU_SOURCE
#include "peer_signal.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// The completions the kernel lists at the address of a context (fs/aio.c); readers move `head`, as libaio does.
struct ring {
  unsigned int id, size;
  _Atomic(unsigned int) head, tail;
  unsigned int magic;
};
#define RING_MAGIC 0xa10a10a1u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t context_key;
static int null_device = -1;
// 0: not made yet, 1: there is none.
static __thread aio_context_t context;

static void destroy_context(void *value) { syscall(SYS_io_destroy, (aio_context_t)(uintptr_t)value); }

static void prepare(void) {
  if (pthread_key_create(&context_key, destroy_context) != 0) return;
  null_device = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

// A context of the calling thread's own, destroyed with it.
static aio_context_t make_context(void) {
  pthread_once(&once, prepare);
  aio_context_t made = 0;
  if (null_device < 0 || syscall(SYS_io_setup, 4, &made) != 0) return 1;
  if (((struct ring *)made)->magic == RING_MAGIC && pthread_setspecific(context_key, (void *)made) == 0)
    return made;
  syscall(SYS_io_destroy, made);
  return 1;
}

static int submit(int fd) {
  if (context == 0) context = make_context();
  if (context == 1) return 0;
  struct ring *ring = (struct ring *)context;
  // Nobody wants to know of the completions; the room they take does.
  atomic_store_explicit(&ring->head, atomic_load_explicit(&ring->tail, memory_order_acquire), memory_order_release);
  char byte;
  struct iocb request;
  memset(&request, 0, sizeof request);
  request.aio_lio_opcode = IOCB_CMD_PREAD;
  request.aio_fildes = (uint32_t)null_device;
  request.aio_buf = (uint64_t)(uintptr_t)&byte;
  request.aio_flags = IOCB_FLAG_RESFD;
  request.aio_resfd = (uint32_t)fd;
  struct iocb *list = &request;
  return syscall(SYS_io_submit, context, 1, &list) == 1;
}

void cl_signal_peer(int fd) {
  if (submit(fd)) return;
  uint64_t one = 1;
  (void)!write(fd, &one, sizeof one);
}

uint64_t cl_drain_peer(int fd) {
  uint64_t count = 0;
  struct iovec target = {&count, sizeof count};
  return preadv2(fd, &target, 1, -1, RWF_NOWAIT) == sizeof count ? count : 0;
}

int cl_peer_signal_is_asynchronous(void) {
  if (context == 0) context = make_context();
  return context != 1;
}
