@testable import Ports

/// A port that does nothing but remember how it was treated.
final class FakePort: Port {
  let io: PortIO
  private(set) var configuration: PortConfiguration
  private(set) var isClosed = false
  private(set) var reconfigurations = 0
  var status = PortStatus()
  var queueStatistics: [(name: String, value: UInt64)] = []
  /// What `start` says, when it is to fail.
  var startError: PortError?
  /// Whether altered options can be applied in place, and whether trying fails.
  var takesOptions = true
  var optionsError: PortError?
  private let memory: UnsafeMutablePointer<MemoryIO>

  // SAFETY: no poll thread ever sees the port; the memory lives as long as it.
  init(_ configuration: PortConfiguration) {
    self.configuration = configuration
    memory = .allocate(capacity: 1)
    memory.initialize(to: MemoryIO(capacity: 1, accepts: []))
    io = .memory(memory)
  }

  deinit {
    memory.deinitialize(count: 1)
    memory.deallocate()
  }

  var name: String { configuration.name }
  var receiveQueueCount: Int { 1 }

  func start(_ environment: PortEnvironment) throws(PortError) {
    if let startError { throw startError }
    status.adminUp = true
    status.linkUp = true
  }

  func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool {
    if let optionsError { throw optionsError }
    guard takesOptions else { return false }
    self.configuration = configuration
    reconfigurations += 1
    return true
  }

  func close() { isClosed = true }
}
