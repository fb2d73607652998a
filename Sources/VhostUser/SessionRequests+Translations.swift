// The vIOMMU: translations that come and go while frames move, and the back-end's own requests, by which it asks for
// them.
//
//  * An update is kept, and shown to poll threads with the others that came along.
//  * An invalidation is acknowledged when no poll thread can use the range any longer: its maps are gone, and a ring
//    that lies in it has been stopped. The ring is started again by what `resume` finds: its translations are asked for,
//    and when they have come it goes on.

import Linux
import Virtio

extension Session {
  func changeTranslations(_ message: Message) throws(SessionError) -> Reply {
    guard let translations else { return .failed("addresses are not translated") }
    let change = TranslationMessage(message)
    switch TranslationMessage.Kind(rawValue: change.kind) {
    case .update: return try update(translations, change)
    case .invalidate: return try invalidate(translations, change)
    case .miss, .accessFail, nil:
      throw .violation("IOTLB_MSG of type \(change.kind) is not for a back-end")
    }
  }

  private func update(_ translations: TranslationCache, _ change: TranslationMessage) throws(SessionError)
    -> Reply
  {
    let permissions = TranslationCache.Permissions(rawValue: change.permissions)
    guard permissions.subtracting([.read, .write]).isEmpty else {
      throw .violation("IOTLB_MSG has unknown permissions 0x\(hexadecimal(change.permissions))")
    }
    do {
      try translations.update(change.address, size: change.size, user: change.user, permissions)
    } catch { throw .violation("IOTLB_MSG: \(error)") }
    let last = change.address + (change.size - 1)
    misses.answer(change.address, last, permissions)
    if untranslated.contains(where: { overlaps($0, change.address, last) && isTranslated($0, translations) })
    {
      quiesce()
    }
    return .done
  }

  private func invalidate(_ translations: TranslationCache, _ change: TranslationMessage) throws(SessionError)
    -> Reply
  {
    // Everything is said as 2^64 bytes from 0 on, which wrap to none.
    guard change.size > 0 || change.address == 0 else {
      throw .violation("IOTLB_MSG invalidates an empty range")
    }
    let (end, overflow) = change.address.addingReportingOverflow(change.size &- 1)
    let last = overflow ? .max : end
    if vrings.indices.contains(where: { vrings[$0].isRunnable && overlaps($0, change.address, last) }) {
      quiesce()
    }
    let isChanged = translations.invalidate(change.address, last)
    // Maps that were replaced before may have the range too.
    guard isChanged || translations.retiredCount > 0 else { return .done }
    publish(translations)
    if !isQuiet { owner?.synchronize() }
    translations.release()
    return .done
  }

  private func overlaps(_ index: Int, _ first: UInt64, _ last: UInt64) -> Bool {
    vrings[index].overlaps(first, last, isPacked: isPacked)
  }

  /// Whether all of ring `index` is.
  private func isTranslated(_ index: Int, _ translations: TranslationCache) -> Bool {
    vrings[index].parts(isPacked: isPacked)?.allSatisfy {
      if case .missing = translations.translate($0.address, $0.bytes, $0.permissions) { return false }
      return true
    } ?? false
  }

  // MARK: publication

  /// Shows poll threads the translations that have come. Maps they may still use are kept for a few publications.
  func showTranslations() {
    guard let translations else { return }
    publish(translations)
    if translations.retiredCount > 16 {
      if !isQuiet { owner?.synchronize() }
      translations.release()
    }
    guard translationsArePublished else { return }
    translationsArePublished = false
    owner?.translationsChanged(self)
  }

  private func publish(_ translations: TranslationCache) {
    guard translations.hasChanges else { return }
    translations.publish()
    translationsArePublished = true
  }

  /// Begins without translations, if there are to be any. Poll threads are out of the way.
  func resetTranslations() {
    translations = features?.contains(.accessPlatform) == true ? TranslationCache(memory) : nil
    misses.forgetAll()
    untranslated = []
    translationsArePublished = false
  }

  // MARK: misses

  /// Asks the front-end to translate the page of `address`, unless it has been asked. Never waits.
  public func requestTranslation(of address: UInt64, forWriting: Bool) {
    guard translations != nil, protocolFeatures.contains(.backendRequests),
      misses.ask(address, forWriting: forWriting, at: monotonicNanoseconds())
    else { return }
    let miss = TranslationMessage(
      .miss, address: address & ~0xFFF, permissions: forWriting ? 2 : 1)
    if !channel.send(.translation, miss.bytes) { misses.forget(address, forWriting: forWriting) }
  }

  // MARK: the back-end's own requests

  /// The same, unless so many translations are outstanding that it would delay those that frames wait for; false then.
  public func requestTranslationAhead(of address: UInt64, forWriting: Bool) -> Bool {
    guard misses.mayAskAhead(at: monotonicNanoseconds()) else { return false }
    requestTranslation(of: address, forWriting: forWriting)
    return true
  }

  func setBackendChannel(_ message: Message) throws(SessionError) -> Reply {
    guard message.descriptors.count == 1, message.descriptors[0].isLocalStream else {
      throw .violation("SET_BACKEND_REQ_FD came without a local stream socket")
    }
    channel.open(message.descriptors[0])
    return .done
  }

  /// Whether requests of the back-end wait for room in the front-end's socket. They are sent with the next ones, when
  /// the front-end says something, or by `sendRequests`.
  public var hasUnsentRequests: Bool { channel.hasUnsent }

  public func sendRequests() { channel.flush() }
}
