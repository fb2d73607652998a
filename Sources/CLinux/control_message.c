#define _GNU_SOURCE
#include "control_message.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

ssize_t cl_receive_with_fds(int socket, void *buffer, size_t length, int *fds, int capacity, int *fd_count,
                            int *truncated) {
  union { char bytes[CMSG_SPACE(sizeof(int) * CL_MAX_FDS)]; struct cmsghdr align; } control;
  struct iovec iov = {buffer, length};
  struct msghdr message = {0};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  *fd_count = 0;
  *truncated = 0;
  ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) return n;
  *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + sizeof(int) * (size_t)i, sizeof fd);
      if (*fd_count < capacity) fds[(*fd_count)++] = fd; else { close(fd); *truncated = 1; }
    }
  }
  return n;
}

ssize_t cl_send_with_fds(int socket, const void *buffer, size_t length, const int *fds, int count) {
  union { char bytes[CMSG_SPACE(sizeof(int) * CL_MAX_FDS)]; struct cmsghdr align; } control;
  struct iovec iov = {(void *)buffer, length};
  struct msghdr message = {0};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (count > CL_MAX_FDS) { errno = EINVAL; return -1; }
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int cl_packet_auxdata(struct msghdr *message, struct tpacket_auxdata *out) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA &&
        c->cmsg_len >= CMSG_LEN(sizeof *out)) {
      memcpy(out, CMSG_DATA(c), sizeof *out);
      return 1;
    }
  }
  return 0;
}
