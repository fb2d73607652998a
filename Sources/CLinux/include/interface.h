// Network interfaces by ioctl: TUN/TAP and what of `struct ifreq` Swift cannot reach through its unions.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <linux/if_packet.h>

// Creates or attaches a TAP queue on an open /dev/net/tun. `name` (IFNAMSIZ bytes) receives the kernel's choice.
// 0 or -1 with errno.
static inline int cl_tap_attach(int fd, char *name, short flags) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags);
  if (ioctl(fd, TUNSETIFF, &request) != 0) return -1;
  memcpy(name, request.ifr_name, IFNAMSIZ);
  return 0;
}
static inline int cl_tap_set_header_size(int fd, int bytes) { return ioctl(fd, TUNSETVNETHDRSZ, &bytes); }
static inline int cl_tap_set_offload(int fd, unsigned int flags) { return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags); }
static inline int cl_tap_set_persist(int fd, int on) { return ioctl(fd, TUNSETPERSIST, (unsigned long)on); }
static inline int cl_tap_set_carrier(int fd, int on) { return ioctl(fd, TUNSETCARRIER, &on); }
