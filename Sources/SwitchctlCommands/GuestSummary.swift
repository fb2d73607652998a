/// What `show` says of a vhost-user port's guest: the essentials of Interface.status.
enum GuestSummary {
  /// At most two lines; none for a row that is not such a port's, or of a switch that tells too little.
  static func lines(_ status: [String: String]) -> [String] {
    guard let mode = status["mode"], let socket = status["socket"], let connects = status["connects"] else {
      return []
    }
    var first = "guest: \(presence(status)) (\(mode), \(socket))"
    if let count = Int(connects), count > 1 { first += ", connects: \(count)" }
    if status["connected_since"] != nil, let reason = status["last_disconnect_reason"] {
      first += ", before: \(reason)"
    }
    return ([first] + (rings(status).map { ["rings: \($0)"] } ?? [])).map(printable)
  }

  private static func presence(_ status: [String: String]) -> String {
    if status["status"] == "connected" {
      return "connected" + (status["connected_since"].map { " since \($0)" } ?? "")
    }
    guard let since = status["disconnected_since"] else { return "none yet" }
    return "disconnected since \(since)" + (status["last_disconnect_reason"].map { ": \($0)" } ?? "")
  }

  /// Layout, queues, sizes and features, once they are agreed on.
  private static func rings(_ status: [String: String]) -> String? {
    guard let names = status["feature_names"], !names.isEmpty else { return nil }
    let pairs = status["queue_pairs"].flatMap { Int($0) } ?? 0
    var parts = [status["ring_layout"] ?? "split"]
    parts.append(pairs == 0 ? "none in use" : pairs == 1 ? "1 queue pair" : "\(pairs) queue pairs")
    if let sizes = sizes(status) { parts.append(sizes) }
    return parts.joined(separator: ", ") + "; " + features(names).joined(separator: ", ")
  }

  private static func sizes(_ status: [String: String]) -> String? {
    let sizes = status.compactMap { key, value in
      key.hasPrefix("vring_") && key.hasSuffix("_size") ? Int(value) : nil
    }
    guard let least = sizes.min(), let most = sizes.max() else { return nil }
    return least == most ? "\(least) entries" : "\(least) to \(most) entries"
  }

  /// What everybody has, and so tells nothing.
  private static let universal: Set<Substring> = ["version_1", "protocol_features", "any_layout", "packed"]
  private static let families: [(name: Substring, members: Set<Substring>)] = [
    ("csum", ["csum", "guest_csum"]),
    ("tso", ["host_tso4", "host_tso6", "host_ecn", "guest_tso4", "guest_tso6", "guest_ecn"]),
    ("ufo", ["host_ufo", "guest_ufo"]),
    ("uso", ["host_uso", "guest_uso4", "guest_uso6"]),
  ]

  /// The names of features, with one for each family of offloads.
  private static func features(_ names: String) -> [String] {
    var features: [String] = []
    for name in names.split(separator: ",") where !universal.contains(name) {
      let short = String(families.first { $0.members.contains(name) }?.name ?? name)
      if !features.contains(short) { features.append(short) }
    }
    return features
  }

  /// Anybody who may write the database may have written this: nothing of it is for the terminal to obey.
  private static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
  }
}
