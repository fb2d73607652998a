// What Swift cannot import of Linux: macros, inline instructions, ioctl numbers and the structures behind them.
//
// `_GNU_SOURCE` must not be defined here: Swift's own Glibc module is built without it, and the two would disagree
// about structures. What needs it is declared here and defined in the .c files. What runs per frame is inline.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <grp.h>
#include <pwd.h>
#include <linux/if_packet.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "cpu.h"
#include "guest_fault.h"
#include "interface.h"
#include "peer_signal.h"
#include "calls.h"
#include "write_many.h"
#include "process.h"
#include "control_message.h"
#include "namespace_agent.h"
