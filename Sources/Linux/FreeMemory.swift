import CLinux

/// Gives memory that was freed, and that the allocator keeps for later, back to the system. It costs a walk through all of
/// it.
public func returnFreeMemory() { cl_return_free_memory() }
