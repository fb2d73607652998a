#define _GNU_SOURCE
#include "process.h"

#include <unistd.h>

pid_t cl_fork(void) { return fork(); }
