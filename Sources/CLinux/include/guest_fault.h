// Guest memory is a file the guest's owner can truncate at any time; touching a page that went away raises SIGBUS.
//
// A mapping registered here survives that: the handler lays private zero pages over the whole mapping, raises the
// owner's flag, and the faulting instruction runs again. The owner sees the flag and stops the port. A SIGBUS
// elsewhere keeps its default meaning.
//
// The table is fixed and lock-free because a signal handler reads it: a slot is live while its `length` is non-zero.
#pragma once
#include <stddef.h>
#include <stdint.h>

// More than the mappings a process may have (vm.max_map_count is 65530): no peer can use the table up for others.
#define CL_GUEST_FAULT_SLOTS 65536

// Installs the handler for the process. 0 or -1 with errno. Idempotent.
int cl_guest_fault_install(void);
// Registers [address, address + length); `flag` becomes 1 on a fault and must outlive the registration.
// A slot number, or -1 when the table is full.
int cl_guest_fault_register(void *address, size_t length, uint32_t *flag);
void cl_guest_fault_unregister(int slot);
