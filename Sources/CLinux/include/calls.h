// System calls whose wrappers or structures glibc hides from Swift.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

// The kernel's `struct mmsghdr`.
struct cl_mmsghdr {
  struct msghdr header;
  unsigned int length;  // bytes received or sent
};

int cl_accept(int listener);                     // close-on-exec, non-blocking
int cl_find(int directory, const char *name);    // the file or link itself (O_PATH), not opened, close-on-exec
int cl_memfd_create(const char *name, unsigned int flags);
int cl_receive_many(int socket, struct cl_mmsghdr *messages, unsigned int count);  // without blocking
int cl_send_many(int socket, struct cl_mmsghdr *messages, unsigned int count);     // without blocking
void cl_name_current_thread(const char *name);
// The calling thread's network namespace: a new one of its own, or the one `fd` refers to. 0 or -1 with errno.
int cl_unshare_network(void);
int cl_enter_network(int fd);
// Maps pages that are mapped shared at `source` a second time, in place of what is at `target`; not huge ones. 0, or -1
// when nothing has changed, or -2 when that failed halfway and what is at `target` may be somebody else's by now.
int cl_map_again(void *source, size_t length, void *target);
