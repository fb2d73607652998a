// Ancillary data of sockets: file descriptors (SCM_RIGHTS) and packet auxiliary data.
#pragma once
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <linux/if_packet.h>

#define CL_MAX_FDS 64

// Receives once; descriptors arrive close-on-exec. Surplus ones (beyond capacity) are closed here.
// Returns recvmsg's result; *fd_count says how many of `fds` were filled, *truncated whether any were lost.
ssize_t cl_receive_with_fds(int socket, void *buffer, size_t length, int *fds, int capacity, int *fd_count,
                            int *truncated);
// Sends once, without blocking. Returns sendmsg's result; more than CL_MAX_FDS descriptors is EINVAL.
ssize_t cl_send_with_fds(int socket, const void *buffer, size_t length, const int *fds, int count);
// The PACKET_AUXDATA of a received message, if it carries one: 1, else 0.
int cl_packet_auxdata(struct msghdr *message, struct tpacket_auxdata *out);
