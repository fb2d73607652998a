import Glibc
import Linux

/// Sole owner of the descriptors of a kernel port's queues, one each; closed when the owner goes.
struct QueueDescriptors: ~Copyable {
  /// The most receive queues a port of the kernel's can be given (`options:n_rxq`).
  static let limit = 16

  /// By queue, for system calls made while the owner lives.
  private(set) var raw: [Int32] = []

  init() {}

  deinit { for descriptor in raw { close(descriptor) } }

  mutating func append(_ descriptor: consuming FileDescriptor) { raw.append(descriptor.release()) }

  /// How many queues `configuration` asks for: `options:n_rxq`, 1 unless set.
  static func count(_ configuration: PortConfiguration) throws(PortError) -> Int {
    guard let text = configuration.options["n_rxq"] else { return 1 }
    guard let count = Int(text), (1...limit).contains(count) else {
      throw PortError(
        "\(configuration.name): options:n_rxq is \(text); give a number of receive queues from 1 to \(limit)")
    }
    return count
  }
}
