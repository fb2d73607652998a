import Linux

/// A configuration of TLS, and what was read from its files; they are read again when they have changed, so that a
/// certificate can be renewed, or come to be, without a restart.
///
/// It belongs to the event loop's thread.
public final class TLSCredentials {
  public var configuration: TLSConfiguration {
    didSet { if configuration != oldValue { forget() } }
  }
  private var loaded: (context: TLSContext, stamps: [FileStamp?])?

  public init(_ configuration: TLSConfiguration = TLSConfiguration()) { self.configuration = configuration }

  /// Reads the files now, which later may not be readable any more.
  public func load() throws(TLSError) { _ = try context() }

  /// What new sessions are made of. While changed files do not fit together, as in the middle of being replaced, it is
  /// what was read before.
  func context() throws(TLSError) -> TLSContext {
    let stamps = configuration.files.map(FileStamp.init)
    if let loaded, loaded.stamps == stamps { return loaded.context }
    do throws(TLSError) {
      let context = try TLSContext(configuration)
      loaded = (context, stamps)
      return context
    } catch {
      guard let loaded else { throw error }
      Log.warning("tls", "\(error); going on with what was read before")
      self.loaded?.stamps = stamps
      return loaded.context
    }
  }

  private func forget() { loaded = nil }
}
