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

// What follows works on interface `name` in the network namespace `socket` (any datagram socket) was made in.
// 0 or a length, or -1 with errno.
int cl_interface_flags(int socket, const char *name, int *flags);
int cl_interface_mtu(int socket, const char *name, int *mtu);
int cl_interface_set_mtu(int socket, const char *name, int mtu);
int cl_interface_index(int socket, const char *name, int *index);
int cl_interface_speed(int socket, const char *name, unsigned int *megabits, int *full_duplex);

// The device behind a TAP descriptor, wherever it has been moved to. 0 or -1 with errno.
int cl_tap_name(int fd, char *name);
int cl_tap_mac(int fd, unsigned char *six);
int cl_tap_set_mac(int fd, const unsigned char *six);
// A datagram socket in the device's network namespace, or -1 with errno.
int cl_tap_namespace_socket(int fd);

// Opens `count` packet sockets on interface `index`, which share its frames by flow: promiscuous, deaf to what is
// sent through the interface, with auxiliary data and virtio-net headers. 0, or -1 with errno and none open.
int cl_packet_sockets(int index, int buffer_bytes, int count, int *sockets);

// Frames the kernel dropped since the last call because the packet socket was full; 0 when it does not say.
unsigned int cl_packet_socket_drops(int socket);

// Whether the running kernel is `major.minor` or newer: 1 or 0.
int cl_kernel_is_at_least(int major, int minor);
