#define _GNU_SOURCE
#include "process.h"

#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t cl_fork(void) { return fork(); }

int cl_forbid_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

void cl_return_free_memory(void) { malloc_trim(0); }
