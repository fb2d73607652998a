#define _GNU_SOURCE
#include "process.h"

#include <sys/prctl.h>
#include <unistd.h>

pid_t cl_fork(void) { return fork(); }

int cl_forbid_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
