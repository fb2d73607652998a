import Synchronization

/// Between publishing buffers and reading whether the device wants a kick.
func driverFence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }
