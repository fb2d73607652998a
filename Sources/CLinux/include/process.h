// Process control that Swift marks unavailable.
#pragma once
#include <sys/types.h>

// fork(2): only before the first thread starts.
pid_t cl_fork(void);
// From now on no program that this thread, or one it starts, executes can gain privileges. 0 or -1 with errno.
int cl_forbid_new_privileges(void);
// Gives memory that malloc(3) keeps for later back to the system.
void cl_return_free_memory(void);
