// Process control that Swift marks unavailable.
#pragma once
#include <sys/types.h>

// fork(2): only before the first thread starts.
pid_t cl_fork(void);
