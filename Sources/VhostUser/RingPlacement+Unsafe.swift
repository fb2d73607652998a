// From what a front-end says about a ring to the memory it is in.
//
// SAFETY: addresses become pointers by GuestMemory or TranslationCache only, each part with its length, and are valid
// while the session has that memory and those translations.

import Virtio

extension Session {
  /// Where the parts of ring `index` are mapped here, checked as a whole. Nil when that is not known: it has no
  /// addresses, its memory was taken away, or they are not translated yet (they are asked for then).
  public func layout(of index: Int) throws(SessionError) -> VirtqueueLayout? {
    let vring = vrings[index]
    guard let memory, features != nil, !vring.isDisplaced,
      let parts = vring.parts(isPacked: isPacked)
    else { return nil }
    try vring.check(index, isPacked: isPacked)
    var places: [UnsafeMutableRawPointer] = []
    if let translations {
      guard let found = try translated(parts, of: index, translations) else { return nil }
      places = found
    } else {
      places = parts.compactMap { memory.map.translate(user: $0.address, $0.bytes) }
      guard places.count == parts.count else { throw misplaced(index) }
    }
    return VirtqueueLayout(
      size: vring.size, descriptors: places[0], available: places[1], used: places[2])
  }

  func misplaced(_ index: Int) -> SessionError {
    .violation("ring \(index) of \(vrings[index].size) entries lies outside the front-end's memory")
  }

  /// Whether a ring, if it is known where, is in memory. Translated addresses are looked up only when it is used.
  func isPlaced(_ index: Int) -> Bool {
    guard let memory, features != nil, translations == nil,
      let parts = vrings[index].parts(isPacked: isPacked)
    else { return true }
    return parts.allSatisfy { memory.map.translate(user: $0.address, $0.bytes) != nil }
  }

  /// Where the parts of ring `index` are; nil when they are not all translated, and then they are asked for.
  private func translated(_ parts: [Vring.Part], of index: Int, _ translations: TranslationCache)
    throws(SessionError) -> [UnsafeMutableRawPointer]?
  {
    var places: [UnsafeMutableRawPointer] = []
    for part in parts {
      switch translations.translate(part.address, part.bytes, part.permissions) {
      case .found(let place): places.append(place)
      case .missing(let pages): request(pages, of: part)
      case .scattered(let pieces):
        guard let place = joined(pieces, translations) else {
          throw .violation("ring \(index) is scattered over memory that cannot be mapped page by page")
        }
        places.append(place)
      }
    }
    if places.count == parts.count {
      untranslated.remove(index)
      return places
    }
    untranslated.insert(index)
    return nil
  }

  /// Asks again for what rings are waiting for; false when none is.
  public func requestRings() -> Bool {
    let waiting = untranslated.filter { vrings[$0].isRunnable }
    guard let translations, !waiting.isEmpty else { return false }
    for part in waiting.flatMap({ vrings[$0].parts(isPacked: isPacked) ?? [] }) {
      if case .missing(let pages) = translations.translate(part.address, part.bytes, part.permissions) {
        request(pages, of: part)
      }
    }
    return true
  }

  private func request(_ pages: [UInt64], of part: Vring.Part) {
    for page in pages { requestTranslation(of: page, forWriting: part.permissions.contains(.write)) }
  }

  /// Where scattered parts of a ring are contiguous after all. Asked again, the same mapping serves.
  private func joined(_ pieces: [JoinedMapping.Piece], _ translations: TranslationCache)
    -> UnsafeMutableRawPointer?
  {
    if let known = joinedParts.first(where: { $0.pieces == pieces }) { return known.mapping.start }
    guard let mapping = translations.join(pieces) else { return nil }
    joinedParts.append((pieces, mapping))
    return mapping.start
  }
}
