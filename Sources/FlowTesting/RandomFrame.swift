import PacketTesting
import Seeded

/// Frames of every kind flows look into, whole and with every length right; checksums are 0.
public enum RandomFrame {
  /// - Parameter isDeep: whether IPv6 extension headers and options may reach far.
  public static func make(_ g: inout SeededRandom, isDeep: Bool = true) -> [UInt8] {
    var frame = g.bytes(12)
    for _ in 0..<[0, 0, 0, 1, 1, 2, 3].randomElement(using: &g)! {
      frame += [[0x81, 0x00], [0x88, 0xA8]].randomElement(using: &g)! + g.bytes(2)
    }
    let (type, packet) = network(&g, isDeep)
    switch Int.random(in: 0..<20, using: &g) {
    case 0: frame += bigEndian(packet.count + 8, bytes: 2) + [0xAA, 0xAA, 3, 0, 0, 0] + type
    case 1: frame += bigEndian(packet.count, bytes: 2)
    default: frame += type
    }
    frame += packet
    if Int.random(in: 0..<4, using: &g) == 0 { frame += g.bytes(.random(in: 0...30, using: &g)) }
    return frame
  }

  private static func network(_ g: inout SeededRandom, _ isDeep: Bool) -> ([UInt8], [UInt8]) {
    switch Int.random(in: 0..<20, using: &g) {
    case 0..<8: ([0x08, 0x00], ipv4(&g))
    case 8..<17: ([0x86, 0xDD], ipv6(&g, isDeep))
    case 17: ([0x08, 0x06], arp(&g))
    case 18: ([0x80, 0x35], arp(&g))
    default: (g.bytes(2), g.bytes(.random(in: 0...60, using: &g)))
    }
  }

  public static func arp(_ g: inout SeededRandom) -> [UInt8] {
    let operation: [UInt8] = [0, [0, 1, 2, 3, 255].randomElement(using: &g)!]
    return [0, 1, 8, 0, 6, 4] + operation + g.bytes(20)
  }

  public static func ipv4(_ g: inout SeededRandom) -> [UInt8] {
    let options = g.bytes([0, 0, 0, 4, 12, 40].randomElement(using: &g)!)
    let number: UInt8 = [6, 6, 17, 17, 1, 132, 2, 0, 58, 47].randomElement(using: &g)!
    let body = transport(number, isIPv6: false, &g, isDeep: false)
    let place = [0x4000, 0, 0, 0, 0x2000, 0x2001, 0x0123].randomElement(using: &g)!
    let length = 20 + options.count
    return [0x40 | UInt8(length / 4)] + g.bytes(1) + bigEndian(length + body.count, bytes: 2) + g.bytes(2)
      + bigEndian(place, bytes: 2) + g.bytes(1) + [number, 0, 0] + g.bytes(8) + options + body
  }

  public static func ipv6(_ g: inout SeededRandom, _ isDeep: Bool) -> [UInt8] {
    let number: UInt8 = [6, 6, 17, 17, 58, 58, 58, 132, 1, 59, 135].randomElement(using: &g)!
    let count = [0, 0, 0, 1, 2, isDeep ? 8 : 3].randomElement(using: &g)!
    let chain = (0..<count).map { _ in [0, 60, 43, 43, 51, 44, 44].randomElement(using: &g)! as UInt8 }
    var packet: [UInt8] = []
    for (index, header) in chain.enumerated() {
      let next = index + 1 < chain.count ? chain[index + 1] : number
      switch header {
      case 44:
        let place = [0, 0, 1, 1, 0x10, 0x11].randomElement(using: &g)!
        packet += [next, 0] + bigEndian(place, bytes: 2) + g.bytes(4)
      case 51:
        let words = Int.random(in: 0...4, using: &g)
        packet += [next, UInt8(words)] + g.bytes((words + 2) * 4 - 2)
      default:
        let words = isDeep && Int.random(in: 0..<8, using: &g) == 0 ? 20 : Int.random(in: 0...2, using: &g)
        packet += [next, UInt8(words)] + g.bytes(1) + [[0, 1, 2].randomElement(using: &g)!]
        packet += g.bytes(words * 8 + 4)
      }
    }
    packet += transport(number, isIPv6: true, &g, isDeep: isDeep)
    return [0x60 | .random(in: 0...15, using: &g)] + g.bytes(3) + bigEndian(packet.count, bytes: 2)
      + [chain.first ?? number] + g.bytes(33) + packet
  }

  private static func transport(_ number: UInt8, isIPv6: Bool, _ g: inout SeededRandom, isDeep: Bool)
    -> [UInt8]
  {
    let payload = g.bytes([0, 1, 7, 30, 31, 80].randomElement(using: &g)!)
    switch number {
    case 6:
      let options = g.bytes([0, 0, 12, 40].randomElement(using: &g)!)
      let control: [UInt8] =
        [UInt8((20 + options.count) / 4) << 4 | .random(in: 0...15, using: &g)] + g.bytes(1)
      return g.bytes(12) + control + g.bytes(2) + [0, 0] + g.bytes(2) + options + payload
    case 17:
      let checksum: [UInt8] = Int.random(in: 0..<4, using: &g) == 0 ? [0, 0] : [0xFF, 0xFF]
      return g.bytes(4) + bigEndian(8 + payload.count, bytes: 2) + checksum + payload
    case 58 where isIPv6: return neighborDiscovery(&g, isDeep: isDeep)
    case 1, 58: return g.bytes(2) + [0, 0] + g.bytes(4) + payload
    case 132: return g.bytes(8) + [0, 0, 0, 0] + payload
    default: return payload
    }
  }

  /// Neighbour discovery mostly, and other ICMPv6.
  private static func neighborDiscovery(_ g: inout SeededRandom, isDeep: Bool) -> [UInt8] {
    let type: UInt8 = [135, 135, 136, 136, 128, 134].randomElement(using: &g)!
    let code: UInt8 = Int.random(in: 0..<8, using: &g) == 0 ? 1 : 0
    var message = [type, code, 0, 0] + g.bytes(20)
    for _ in 0..<[0, 1, 1, 2, 3, isDeep ? 30 : 4].randomElement(using: &g)! {
      let option: UInt8 = [1, 2, 1, 2, 5, 14].randomElement(using: &g)!
      let length = [1, 1, 1, 1, 1, 2, 0].randomElement(using: &g)!
      let address = Int.random(in: 0..<6, using: &g) == 0 ? [0, 0, 0, 0, 0, 0] : g.bytes(6)
      message += [option, UInt8(length)] + address + g.bytes(max(0, length * 8 - 8))
    }
    return message
  }

  /// `frame` with some bytes wrong, missing or too many.
  public static func mutated(_ frame: [UInt8], _ g: inout SeededRandom) -> [UInt8] {
    var frame = frame
    for _ in 0..<Int.random(in: 0...3, using: &g) where !frame.isEmpty {
      let index = Int.random(in: 0..<min(frame.count, 140), using: &g)
      switch Int.random(in: 0..<4, using: &g) {
      case 0: frame[index] = .random(in: 0...255, using: &g)
      case 1: frame[index] ^= 1 << UInt8.random(in: 0...7, using: &g)
      case 2: frame[index] = frame[index] &+ [1, 255].randomElement(using: &g)!
      default: frame[index] = [0, 255, 1, 44, 58].randomElement(using: &g)!
      }
    }
    switch Int.random(in: 0..<4, using: &g) {
    case 0: frame.removeLast(.random(in: 0...frame.count, using: &g))
    case 1: frame += g.bytes(.random(in: 0...60, using: &g))
    case 2: frame.removeLast(.random(in: 0...min(frame.count, 24), using: &g))
    default: break
    }
    return frame
  }
}
