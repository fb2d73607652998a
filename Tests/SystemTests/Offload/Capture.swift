import Glibc
import Packet
import PacketTesting

/// Frames in a file that tshark reads, each belonging to a cell of the matrix.
final class Capture {
  /// What tshark found in one cell.
  struct Finding {
    var payload = 0
    var faults: [String] = []
  }

  let path: String
  private let file: Int32
  private var pending: [UInt8] = []
  /// The cell of each frame.
  private var cells: [Int] = []

  init() throws {
    path = Scratch.shared.path("offload-\(Scratch.shared.number()).pcap")
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw HarnessError("cannot write \(path)") }
    // Magic number, version 2.4, zone, accuracy, longest frame, Ethernet.
    pending = [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0] + word(0) + word(0) + word(262_144) + word(1)
  }

  deinit {
    close(file)
    unlink(path)
  }

  /// Adds a frame as it would be on a wire: its checksum is completed, here and by other means than the switch's, if
  /// its header says that this is left to do.
  func append(_ arrival: Arrival, cell: Int) {
    var bytes = arrival.bytes
    if arrival.offload.needsChecksum {
      let start = Int(arrival.offload.checksumStart)
      let field = start + Int(arrival.offload.checksumOffset)
      if field + 2 <= bytes.count {
        let isUDP = arrival.offload.checksumOffset == 6
        let sum = naiveChecksum(Array(bytes[start...]))
        bytes.replaceSubrange(
          field..<field + 2, with: bigEndian(Int(sum == 0 && isUDP ? 0xFFFF : sum), bytes: 2))
      }
    }
    cells.append(cell)
    pending += word(cells.count) + word(0) + word(bytes.count) + word(bytes.count)
    pending += bytes
    if pending.count > 1 << 20 { flush() }
  }

  private func flush() {
    var done = 0
    pending.withUnsafeBytes { bytes in
      while done < bytes.count {
        let count = write(file, bytes.baseAddress! + done, bytes.count - done)
        if count <= 0 { break }
        done += count
      }
    }
    pending.removeAll(keepingCapacity: true)
  }

  private func word(_ value: Int) -> [UInt8] { bigEndian(value, bytes: 4).reversed() }

  /// Has tshark check every frame. Returns what it found, by cell.
  func check() throws -> [Int: Finding] {
    flush()
    let fields = [
      "frame.number", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "_ws.malformed",
      "tcp.len", "udp.length", "udp.checksum", "tcp.checksum",
    ]
    let options = [
      "ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE",
      "tcp.desegment_tcp_streams:FALSE", "tcp.analyze_sequence_numbers:FALSE",
    ]
    let output = try must(
      [
        "tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=,", "-d", "tcp.port==40009,data",
        "-d", "udp.port==40009,data",
      ]
        + options.flatMap { ["-o", $0] } + fields.flatMap { ["-e", $0] }, within: 120)
    var findings: [Int: Finding] = [:]
    var lines = 0
    for line in output.split(separator: "\n") {
      let values = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      guard values.count == fields.count, let frame = Int(values[0]), frame <= cells.count else {
        throw HarnessError("tshark says: \(line)")
      }
      lines += 1
      add(values, to: &findings[cells[frame - 1], default: Finding()])
    }
    guard lines == cells.count else { throw HarnessError("tshark read \(lines) of \(cells.count) frames") }
    return findings
  }

  /// A checksum's status is 1 when it is right, 3 when there is none.
  private func add(_ values: [String], to finding: inout Finding) {
    if !["", "1"].contains(values[1]) { finding.faults.append("IP checksum status \(values[1])") }
    let isWithout = values[7] == "0x0000" && values[3] == "3"
    // Linux writes 0 so; tshark would rather have 0.
    let isZero = values[8] == "0xffff"
    if values[2] + values[3] != "1" && !isWithout && !isZero {
      finding.faults.append("transport checksum status \(values[2])\(values[3])")
    }
    if !values[4].isEmpty { finding.faults.append("malformed") }
    finding.payload += Int(values[5]) ?? (Int(values[6]).map { $0 - 8 } ?? 0)
  }
}
