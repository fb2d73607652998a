#define _GNU_SOURCE
#include "interface.h"
#include "namespace_agent.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/if_ether.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000  // Linux 5.16
#endif

static struct ifreq request_for(const char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return request;
}

int cl_interface_flags(int socket, const char *name, int *flags) {
  struct ifreq request = request_for(name);
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return -1;
  *flags = (unsigned short)request.ifr_flags;
  return 0;
}

int cl_interface_mtu(int socket, const char *name, int *mtu) {
  struct ifreq request = request_for(name);
  if (ioctl(socket, SIOCGIFMTU, &request) != 0) return -1;
  *mtu = request.ifr_mtu;
  return 0;
}

int cl_interface_set_mtu(int socket, const char *name, int mtu) {
  struct ifreq request = request_for(name);
  request.ifr_mtu = mtu;
  return ioctl(socket, SIOCSIFMTU, &request);
}

int cl_interface_index(int socket, const char *name, int *index) {
  struct ifreq request = request_for(name);
  if (ioctl(socket, SIOCGIFINDEX, &request) != 0) return -1;
  *index = request.ifr_ifindex;
  return 0;
}

int cl_interface_speed(int socket, const char *name, unsigned int *megabits, int *full_duplex) {
  struct ethtool_cmd command;
  struct ifreq request = request_for(name);
  memset(&command, 0, sizeof command);
  command.cmd = ETHTOOL_GSET;
  request.ifr_data = (void *)&command;
  if (ioctl(socket, SIOCETHTOOL, &request) != 0) return -1;
  *megabits = ethtool_cmd_speed(&command);
  if (*megabits == (unsigned int)SPEED_UNKNOWN || *megabits == 0) {
    errno = ENODATA;
    return -1;
  }
  *full_duplex = command.duplex == DUPLEX_FULL;
  return 0;
}

int cl_tap_name(int fd, char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (ioctl(fd, TUNGETIFF, &request) != 0) return -1;
  memcpy(name, request.ifr_name, IFNAMSIZ);
  return 0;
}

int cl_tap_mac(int fd, unsigned char *six) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return -1;
  memcpy(six, request.ifr_hwaddr.sa_data, 6);
  return 0;
}

int cl_tap_set_mac(int fd, const unsigned char *six) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(request.ifr_hwaddr.sa_data, six, 6);
  return ioctl(fd, SIOCSIFHWADDR, &request);
}

int cl_tap_namespace_socket(int fd) {
  int namespace_fd = ioctl(fd, TUNGETDEVNETNS);
  if (namespace_fd < 0) return -1;
  int result = cl_namespace_socket(namespace_fd);
  int error = errno;
  close(namespace_fd);
  errno = error;
  return result;
}

static int set_option(int socket, int level, int option, int value) {
  return setsockopt(socket, level, option, &value, sizeof value);
}

unsigned int cl_packet_socket_drops(int raw) {
  struct tpacket_stats statistics = {0};
  socklen_t length = sizeof statistics;
  return getsockopt(raw, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0 ? statistics.tp_drops : 0;
}

static int join_fanout(int raw, int *group) {
  int mode = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
  if (*group >= 0) return set_option(raw, SOL_PACKET, PACKET_FANOUT, mode << 16 | *group);
  socklen_t length = sizeof *group;
  if (set_option(raw, SOL_PACKET, PACKET_FANOUT, (mode | PACKET_FANOUT_FLAG_UNIQUEID) << 16) != 0 ||
      getsockopt(raw, SOL_PACKET, PACKET_FANOUT, group, &length) != 0)
    return -1;
  *group &= 0xFFFF;
  return 0;
}

// Opens a packet socket on interface `index`. With `fanout`, it receives nothing yet and joins the group
// `*fanout`, or makes one that no other program has and stores its number if that is negative.
static int open_packet_socket(int index, int buffer_bytes, int *fanout) {
  // Protocol 0: nothing is received before bind names the interface.
  int raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (raw < 0) return -1;
  if (set_option(raw, SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes) != 0)
    set_option(raw, SOL_SOCKET, SO_RCVBUF, buffer_bytes);
  if (set_option(raw, SOL_SOCKET, SO_SNDBUFFORCE, buffer_bytes) != 0)
    set_option(raw, SOL_SOCKET, SO_SNDBUF, buffer_bytes);
  struct packet_mreq membership = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index};
  struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog filter = {.len = 1, .filter = &none};
  if (set_option(raw, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) == 0 &&
      set_option(raw, SOL_PACKET, PACKET_AUXDATA, 1) == 0 &&
      set_option(raw, SOL_PACKET, PACKET_VNET_HDR, 1) == 0 &&
      (!fanout || setsockopt(raw, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0) &&
      bind(raw, (struct sockaddr *)&address, sizeof address) == 0 &&
      (!fanout || join_fanout(raw, fanout) == 0) &&
      setsockopt(raw, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) == 0)
    return raw;
  int error = errno;
  close(raw);
  errno = error;
  return -1;
}

int cl_packet_sockets(int index, int buffer_bytes, int count, int *sockets) {
  int fanout = -1, ready = 0, error = 0;
  while (ready < count && !error) {
    sockets[ready] = open_packet_socket(index, buffer_bytes, count > 1 ? &fanout : NULL);
    if (sockets[ready] < 0) error = errno; else ready++;
  }
  // Only now that each frame has one receiver: before, every socket outside the group was to have them all.
  for (int queue = 0; queue < ready && count > 1 && !error; queue++)
    if (set_option(sockets[queue], SOL_SOCKET, SO_DETACH_FILTER, 0) != 0) error = errno;
  if (!error) return 0;
  while (ready > 0) close(sockets[--ready]);
  errno = error;
  return -1;
}

int cl_kernel_is_at_least(int major, int minor) {
  struct utsname name;
  int has_major = 0, has_minor = 0;
  if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &has_major, &has_minor) != 2) return 0;
  return has_major > major || (has_major == major && has_minor >= minor);
}
