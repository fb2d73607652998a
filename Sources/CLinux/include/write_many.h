// Several frames to one descriptor in one system call, for descriptors that sendmmsg does not take.
#pragma once
#include "calls.h"

// Writes `messages` (at most 32), in order and without blocking, to `fd`; each one's `length` becomes the bytes
// written or -errno. 0, or -1 with nothing written where io_uring does not serve: write them one by one.
int cl_write_many(int fd, struct cl_mmsghdr *messages, unsigned int count);
