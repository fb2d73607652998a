/// A port of testpmd: DPDK's virtio-user driver, with what its options can ask for.
struct VirtioUser {
  /// Which side of the vhost-user socket it is: it listens (`server=1`) for a port of type `vhost-user-client`, or
  /// connects to one of type `vhost-user`.
  var role = Guest.Role.connects
  var isPacked = false
  var isInOrder = true
  var isMergeable = true
  /// Its vector code, which takes a split ring that is neither in order nor mergeable, or a packed one that is in
  /// order and not mergeable.
  var isVectorized = false
  /// Queue pairs.
  var queues = 1
  /// Descriptors of each ring.
  var ringSize = 256

  /// The argument that makes it port `number`.
  func argument(_ number: Int, socket: String) -> String {
    func flag(_ value: Bool) -> Int { value ? 1 : 0 }
    return "--vdev=net_virtio_user\(number),path=\(socket),mac=\(Testpmd.mac(number)),queues=\(queues)"
      + ",queue_size=\(ringSize),server=\(flag(role == .listens)),packed_vq=\(flag(isPacked))"
      + ",in_order=\(flag(isInOrder)),mrg_rxbuf=\(flag(isMergeable)),vectorized=\(flag(isVectorized))"
  }
}
