// Bursts on a bridge with flows
// =============================
//
//     for each frame:  extract its key, hash it, begin to fetch its microflow
//     for each frame:  find the entry  ->  (miss: translate, enter)  ->  count  ->  do its steps
//
// A step sends the frame in some form: as it was received, or with headers rewritten. Forms are made when first needed,
// each in a place of its own that lasts for the burst, and are then items like any other: offloads, MTU and bursts per
// output are as for frames that no flow has touched.
//
// Where no decision depends on anything but the port (all flows say `in_port=…` or nothing), nothing is extracted, and
// a burst is looked up once.

import CLinux
import Flow
import Linux
import Packet
import Ports

/// Where frames of a burst come from, and what their bridge decides by.
struct FlowContext {
  let source: ReceiveQueue
  let bridge: BridgeEntry
  let flows: UnsafePointer<PublishedFlows>
  let cache: UnsafeMutablePointer<FlowCache>
  /// Word 0 of each frame's key, without its EtherType.
  let origin: UInt64

  var counters: PortCounters { source.counters }
}

extension Pipeline {
  /// Lists every frame of the burst for the ports that flows send it to.
  @inline(never)
  mutating func classifyByFlows(
    from source: ReceiveQueue, _ port: UnsafePointer<PortEntry>, _ bridge: BridgeEntry,
    _ published: UnsafePointer<PublishedFlows>, _ view: borrowing View
  ) {
    let context = FlowContext(
      source: source, bridge: bridge, flows: published, cache: flows.cache ?? flows.makeCache(),
      origin: UInt64(UInt32(truncatingIfNeeded: bridge.index)) << 32 | UInt64(port.pointee.number) << 16)
    if context.cache.pointee.depth == .port, forwardAsOne(context, view) { return }
    let count = extract(context)
    var position = 0
    while position < count {
      let index = Int(flows.listed[position])
      let key = flows.key(index)
      if let entry = entry(context.cache.pointee.find(key, flows.hashes[index]), index, context) {
        context.cache.pointee.count(
          entry, packets: 1, bytes: UInt64(outputs.items[index].length), at: turnBegan)
        follow(entry, index, context, view)
      }
      position = position &+ 1
    }
  }

  /// The whole burst by one entry, if there is one.
  private mutating func forwardAsOne(_ context: FlowContext, _ view: borrowing View) -> Bool {
    let key = flows.key(0)
    key[0] = context.origin
    for word in 1..<FlowCache.keyStride { key[word] = 0 }
    let hash = context.cache.pointee.hash(key, isShort: true)
    guard let entry = context.cache.pointee.find(key, hash),
      entry.pointee.generation == context.flows.pointee.generation
    else { return false }
    // What the one output of all takes as it is goes straight onto its list.
    var output = 0
    var longestFrame = 0
    if entry.pointee.isSoleOutput, let port = view.port(Int(entry.pointee.soleOutput)),
      Int(port.pointee.bridge) == context.bridge.index
    {
      output = Int(entry.pointee.soleOutput)
      longestFrame = Int(port.pointee.longestFrame)
    }
    var packets = 0
    var bytes = 0
    for index in 0..<batch.count {
      describe(index)
      if isPlain(index) && outputs.items[index].length <= longestFrame {
        packets = packets &+ 1
        bytes = bytes &+ outputs.items[index].length
        list(index, for: output, view)
        continue
      }
      retagged[index] = 0
      guard isAcceptable(index, context.counters) else { continue }
      packets = packets &+ 1
      bytes = bytes &+ outputs.items[index].length
      follow(entry, index, context, view)
    }
    context.cache.pointee.count(
      entry, packets: UInt64(truncatingIfNeeded: packets), bytes: UInt64(truncatingIfNeeded: bytes),
      at: turnBegan)
    return true
  }

  // MARK: Keys

  /// Makes the keys of all frames that are frames; returns how many.
  private mutating func extract(_ context: FlowContext) -> Int {
    var count = 0
    for index in 0..<batch.count {
      describe(index)
      retagged[index] = 0
      guard isAcceptable(index, context.counters) else { continue }
      guard let isShort = extract(index, context) else {
        context.counters.drop(.headersTooLong)
        continue
      }
      let hash = context.cache.pointee.hash(flows.key(index), isShort: isShort)
      context.cache.pointee.prefetch(hash)
      flows.hashes[index] = hash
      flows.listed[count] = UInt8(truncatingIfNeeded: index)
      count = count &+ 1
    }
    return count
  }

  /// Makes the key of frame `index`, with its header made longer if need be; whether it is a short one. Nil when its
  /// headers go on beyond what is ever looked at: then nobody can say which flow it belongs to.
  @inline(__always)
  private mutating func extract(_ index: Int, _ context: FlowContext) -> Bool? {
    let key = flows.key(index)
    let item = outputs.items + index
    let length = Int(batch.frames[index].length)
    key[0] = context.origin
    var extent = KeyExtraction.extract(
      item.pointee.header, count: Int(item.pointee.headerLength), frameLength: length, into: key)
    if extent.needsMore {
      deepen(index, length)
      key[0] = context.origin
      extent = KeyExtraction.extract(
        item.pointee.header, count: Int(item.pointee.headerLength), frameLength: length, into: key)
    }
    if extent.isCut { return nil }
    // What a key does not have is 0.
    if extent.words == FlowCache.shortWords {
      UnsafeMutableRawPointer(key + FlowCache.shortWords).storeBytes(of: .zero, as: SIMD8<UInt64>.self)
      key[14] = 0
      return true
    }
    for word in extent.words..<FlowWords.packetCount { key[word] = 0 }
    return false
  }

  /// Makes more of a frame private. What is private already is not read again.
  // SAFETY: the snapshot and the slot are longer than what is copied, and `count` is within the frame.
  @inline(never)
  private mutating func deepen(_ index: Int, _ length: Int) {
    let slot = flows.deepSlot(index)
    let known = Int(outputs.items[index].headerLength)
    let count = min(length, FlowScratch.deepLength)
    guard count > known else { return }
    slot.copyMemory(from: outputs.items[index].header, byteCount: known)
    batch.copy(batch.frames[index], from: known, count: count &- known, to: slot + known)
    outputs.items[index].header = UnsafeRawPointer(slot)
    outputs.items[index].headerLength = UInt32(truncatingIfNeeded: count)
    outputs.items[index].sourceOffset = UInt32(truncatingIfNeeded: count)
    outputs.items[index].sourceLength = UInt32(truncatingIfNeeded: length &- count)
  }

  // MARK: Entries

  /// The entry to go by: `found`, if it still holds, or a new one.
  @inline(__always)
  private mutating func entry(
    _ found: UnsafeMutablePointer<FlowEntry>?, _ index: Int, _ context: FlowContext
  ) -> UnsafeMutablePointer<FlowEntry>? {
    if let found, found.pointee.generation == context.flows.pointee.generation { return found }
    return renew(found, index, context)
  }

  /// After a miss, or when flows have changed since `found` was entered.
  @inline(never)
  private mutating func renew(
    _ found: UnsafeMutablePointer<FlowEntry>?, _ index: Int, _ context: FlowContext
  ) -> UnsafeMutablePointer<FlowEntry>? {
    let cache = context.cache
    let tables = context.flows.pointee.tables
    if found != nil { cache.pointee.renewals &+= 1 }
    if let found, let program = found.pointee.program?.takeUnretainedValue() {
      if tables.isUnaffected(program.decision, since: found.pointee.generation &- 1) {
        found.pointee.generation = context.flows.pointee.generation
        return found
      }
      cache.pointee.remove(found - cache.pointee.entries)
    }
    cache.pointee.misses &+= 1
    let key = flows.key(index)
    var words = FlowWords()
    for word in 0..<FlowWords.packetCount { words[word] = key[word] }
    words[FlowWord.inPort] &= 0xFFFF_FFFF
    let translation = Translator(lookup: tables).translate(words)
    let program = FlowProgram(
      translation, key: words, bridge: UInt32(truncatingIfNeeded: context.bridge.index), tables: tables)
    if !program.learned.isEmpty {
      flows.learned.submit(LearnedFlows.Request(bridge: program.bridge, flows: program.learned))
    }
    let entry = cache.pointee.enter(
      program, key, mask: translation.mask, generation: context.flows.pointee.generation, at: turnBegan)
    cache.pointee.remember(entry - cache.pointee.entries, flows.hashes[index])
    return entry
  }

  // MARK: Steps

  /// Does with frame `index` what `entry` says.
  @inline(__always)
  private mutating func follow(
    _ entry: UnsafeMutablePointer<FlowEntry>, _ index: Int, _ context: FlowContext, _ view: borrowing View
  ) {
    if entry.pointee.isSoleOutput {
      return output(index, to: Int(entry.pointee.soleOutput), context, view)
    }
    followSteps(entry, index, context, view)
  }

  @inline(never)
  private mutating func followSteps(
    _ entry: UnsafeMutablePointer<FlowEntry>, _ index: Int, _ context: FlowContext, _ view: borrowing View
  ) {
    guard let steps = entry.pointee.steps else { return }
    let program = entry.pointee.program!
    let count = Int(entry.pointee.stepCount)
    if count == 0 { return context.counters.drop(program._withUnsafeGuaranteedRef { $0.drop }) }
    let rewrites = program._withUnsafeGuaranteedRef { $0.rewrites }
    flows.formCount = 0
    var position = 0
    while position < count {
      let step = steps + position
      switch step.pointee.kind {
      case .output:
        let item = form(index, step, rewrites, context, view)
        if item >= 0 { output(item, to: Int(step.pointee.port), context, view) }
      case .normal:
        let item = form(index, step, rewrites, context, view)
        if item >= 0 { normal(item, step, isOnly: count == 1, index, context, view) }
      case .flood:
        let item = form(index, step, rewrites, context, view)
        if item >= 0 { flood(item, except: Int(step.pointee.port), context, view) }
      case .meter:
        let time = clock.nanoseconds(at: turnBegan)
        if let bands = step.pointee.bands, !bands.admits(length: outputs.items[index].length, now: time) {
          return context.counters.drop(.meter)
        }
      case .controller: context.counters.drop(.noController)
      }
      position = position &+ 1
    }
  }

  /// Lists an item for one port, whatever its VLANs.
  @inline(__always)
  private mutating func output(_ item: Int, to output: Int, _ context: FlowContext, _ view: borrowing View) {
    // A port that has gone since may have left its index to another bridge's.
    guard let entry = view.port(output), Int(entry.pointee.bridge) == context.bridge.index else {
      return context.counters.drop(.noOutput)
    }
    add(item, Admitted(vlan: 0, isTagged: false), to: output, entry, context.counters, view)
  }

  private mutating func flood(_ item: Int, except: Int, _ context: FlowContext, _ view: borrowing View) {
    guard view.ports[Int(context.source.port)]?.slot.pointee.storm.admits() ?? false else {
      return context.counters.drop(.stormLimit)
    }
    var copies = 0
    for position in 0..<context.bridge.portCount {
      let port = Int(context.bridge.ports[position])
      guard port != except, let entry = view.port(port) else { continue }
      add(item, Admitted(vlan: 0, isTagged: false), to: port, entry, context.counters, view)
      copies &+= 1
    }
    if copies == 0 { context.counters.drop(.noOutput) }
  }

  /// MAC learning and VLANs, as on a bridge without flows.
  private mutating func normal(
    _ item: Int, _ step: UnsafePointer<FlowStep>, isOnly: Bool, _ index: Int, _ context: FlowContext,
    _ view: borrowing View
  ) {
    let source = Int(step.pointee.port)
    guard let port = view.port(source), Int(port.pointee.bridge) == context.bridge.index else {
      return context.counters.drop(.noOutput)
    }
    var item = item
    if !isOnly {
      // A priority tag is taken off in place: not from what other steps send. Another NORMAL may have seen the frame in
      // another VLAN.
      if outputs.items[item].header.isTagged { item = copy(item, index, view) }
      retagged[item] = 0
    }
    guard let frame = admit(item, port, context.counters) else { return }
    let output = decide(item, frame, from: source, context.bridge, context.counters, view)
    if output >= 0 { add(item, frame, to: output, view.port(output)!, context.counters, view) }
  }

  // MARK: Forms

  /// The item that is frame `index` in the form `step` names; -1 when it was dropped instead.
  @inline(__always)
  private mutating func form(
    _ index: Int, _ step: UnsafePointer<FlowStep>, _ rewrites: UnsafePointer<PreparedRewrite>,
    _ context: FlowContext,
    _ view: borrowing View
  ) -> Int {
    let rewrite = step.pointee.rewrite
    if rewrite == 0 { return index }
    var place = 0
    while place < flows.formCount {
      if flows.forms[place] == rewrite { return formItem(index, place) }
      place = place &+ 1
    }
    let item = newPlace(index, form: rewrite, view)
    if write(rewrites + Int(rewrite), index, to: item) { return item }
    deepen(index, Int(batch.frames[index].length))
    if write(rewrites + Int(rewrite), index, to: item) { return item }
    flows.formCount = flows.formCount &- 1
    context.counters.drop(.pipelineError)
    return -1
  }

  /// Makes a form of frame `index`; false when more of it has to be private for that.
  private mutating func write(_ rewrite: UnsafePointer<PreparedRewrite>, _ index: Int, to item: Int) -> Bool {
    var made = outputs.items[index]
    let slot = flows.formSlot(index, item &- formItem(index, 0))
    let header = HeaderRewrite.write(
      rewrite, made.header, count: Int(made.headerLength), frameLength: made.length, offload: made.offload,
      to: slot)
    guard header.length > 0 else { return false }
    made.header = UnsafeRawPointer(slot)
    made.headerLength = UInt32(truncatingIfNeeded: header.length)
    made.offload = header.offload
    outputs.items[item] = made
    return true
  }

  /// An unused place for a form of frame `index`. When there is none, what is listed is sent, and all are.
  private mutating func newPlace(_ index: Int, form rewrite: UInt16, _ view: borrowing View) -> Int {
    if flows.formCount == Outputs.formsPerFrame {
      sendAll(view)
      flows.formCount = 0
    }
    let place = flows.formCount
    flows.forms[place] = rewrite
    flows.formCount = place &+ 1
    retagged[formItem(index, place)] = 0
    return formItem(index, place)
  }

  @inline(__always)
  private func formItem(_ index: Int, _ place: Int) -> Int {
    Batch.capacity &+ index &* Outputs.formsPerFrame &+ place
  }

  /// A copy of `item` that may be altered.
  // SAFETY: a private header is no longer than a slot.
  private mutating func copy(_ item: Int, _ index: Int, _ view: borrowing View) -> Int {
    let made = newPlace(index, form: .max, view)
    let slot = flows.formSlot(index, made &- formItem(index, 0))
    slot.copyMemory(from: outputs.items[item].header, byteCount: Int(outputs.items[item].headerLength))
    outputs.items[made] = outputs.items[item]
    outputs.items[made].header = UnsafeRawPointer(slot)
    return made
  }

  // MARK: Between bursts

  /// A little of what the cache has to do besides.
  @inline(__always)
  func workOnFlows() {
    guard let cache = flows.cache else { return }
    if cache.pointee.hasWork { cache.pointee.work(limit: 4) }
  }

  /// Some times a second.
  func beginFlowRound(at time: UInt64, _ counters: WorkCounters) {
    guard let cache = flows.cache else { return }
    cache.pointee.report(to: counters)
    cache.pointee.beginRound()
    cache.pointee.age(limit: 1024, at: time)
  }

  func finishFlows(_ counters: WorkCounters) {
    guard let cache = flows.cache else { return }
    cache.pointee.finish()
    cache.pointee.report(to: counters)
  }
}

extension UnsafeRawPointer {
  /// Whether an Ethernet header has a tag.
  // SAFETY: frames have 14 bytes at least.
  @inline(__always)
  fileprivate var isTagged: Bool {
    let type = UInt16(bigEndian: loadUnaligned(fromByteOffset: 12, as: UInt16.self))
    return VLANTag.isTag(type)
  }
}
