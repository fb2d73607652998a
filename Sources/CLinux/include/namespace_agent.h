// Sockets in other network namespaces, with or without an agent that alone may enter them.
#pragma once

// A datagram socket in the network namespace that `namespace_fd` refers to, or -1 with errno. The caller's own
// namespace never changes. For one thread at a time.
int cl_namespace_socket(int namespace_fd);

// From now on cl_namespace_socket asks the agent at the other end of `channel` (SOCK_SEQPACKET), which it keeps.
void cl_namespace_agent_use(int channel);
// Keeps none of this process's descriptors but `channel`, and ignores the signals that end its parent.
void cl_namespace_agent_detach(int channel);
// The agent: answers until the other end is closed.
void cl_namespace_agent_serve(int channel);
