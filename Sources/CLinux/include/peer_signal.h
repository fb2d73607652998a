// Signalling an eventfd that a peer shares.
#pragma once

#include <stdint.h>

// Adds 1 to the eventfd `fd`, or leaves it at its largest value; never blocks.
//
// write(2) is no such thing: whether it blocks is a property of the open file, which the peer can change at any
// moment, and it fills the counter when it likes. The kernel itself signals eventfds without waiting, at the end of
// asynchronous I/O for one, and so this reads nothing from /dev/null asynchronously. Where the kernel does not offer
// that, the eventfd is written to.
void cl_signal_peer(int fd);
// Takes what the eventfd holds, 0 if nothing. Never blocks, whatever the peer made of the open file.
uint64_t cl_drain_peer(int fd);
// Whether the calling thread signals without write(2): 1 or 0.
int cl_peer_signal_is_asynchronous(void);
