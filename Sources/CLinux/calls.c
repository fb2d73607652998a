#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct cl_mmsghdr) == sizeof(struct mmsghdr), "layout of mmsghdr");

int cl_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int cl_find(int directory, const char *name) { return openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); }

int cl_memfd_create(const char *name, unsigned int flags) { return memfd_create(name, flags); }

int cl_receive_many(int socket, struct cl_mmsghdr *messages, unsigned int count) {
  return recvmmsg(socket, (struct mmsghdr *)messages, count, MSG_DONTWAIT, NULL);
}

int cl_send_many(int socket, struct cl_mmsghdr *messages, unsigned int count) {
  return sendmmsg(socket, (struct mmsghdr *)messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void cl_name_current_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int cl_unshare_network(void) { return unshare(CLONE_NEWNET); }

int cl_enter_network(int fd) { return setns(fd, CLONE_NEWNET); }

int cl_map_again(void *source, size_t length, void *target) {
  // An old length of 0 leaves the old mapping of shared memory where it is.
  void *copy = mremap(source, 0, length, MREMAP_MAYMOVE);
  if (copy == MAP_FAILED) return -1;
  if (mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target) return 0;
  munmap(copy, length);
  return -2;
}
