import Flow
import Testing

/// VLAN tags.
@Suite struct TranslationTagTests {
  private static let presence: FlowWords = {
    var words = FlowWords()
    words[.vlanTCI] = 0x1000
    return words
  }()
  private static let innerPresence: FlowWords = {
    var words = FlowWords()
    words[FlowWord.tags] = 0x1000
    return words
  }()

  private func translate(_ actions: Action..., of frame: FlowWords) -> Translation {
    Translator(lookup: ListTables([flow(0, [], actions + [.output(PortNumber(2))])])).translate(frame)
  }

  private let untagged = Frames.tcp
  private let tagged = Frames.tagged(Frames.tcp, 0x8100_6005)
  private let double = Frames.tagged(Frames.tcp, 0x88A8_2007, 0x8100_6005)

  @Test func `A pushed tag has VLAN and priority 0, whatever is inside of it`() {
    for frame in [untagged, tagged] {
      let translation = translate(.pushVLAN(0x88A8), of: frame)
      #expect(translation.rewrite(0)?.pushedTags == [0x88A8_0000])
      #expect(translation.rewrite(0)?.poppedTags == 0)
      #expect(translation.mask == Field.inPort.mask | Self.innerPresence)
    }
  }

  @Test func `A third tag is an error`() {
    #expect(translate(.pushVLAN(0x8100), of: double).drop == .pipelineError)
    #expect(translate(.pushVLAN(0x8100), .pushVLAN(0x8100), of: tagged).drop == .pipelineError)
    #expect(translate(.pushVLAN(0x8100), .pushVLAN(0x8100), of: untagged).drop == nil)
  }

  @Test func `A pop takes the outer tag, if there is one`() {
    let one = translate(.popVLAN, of: tagged)
    #expect(one.rewrite(0)?.poppedTags == 1)
    #expect(one.mask == Field.inPort.mask | Self.presence)
    let none = translate(.popVLAN, of: untagged)
    #expect(none.rewrite(0)?.isNothing == true)
    #expect(none.mask == Field.inPort.mask | Self.presence)
    let two = translate(.popVLAN, .popVLAN, .popVLAN, of: double)
    #expect(two.rewrite(0)?.poppedTags == 2)
    #expect(two.rewrite(0)?.applied(to: double) == untagged)
  }

  @Test func `Nothing of a tag comes back that was not there when another was pushed`() {
    let provider = Frames.tagged(Frames.tcp, 0x88A8_6005)
    let translation = translate(
      .load(0, SubField(.vlanTCI, offset: 12, count: 1)), .pushVLAN(0x88A8), .popVLAN, .modVLANPCP(2),
      of: provider)
    #expect(translation.rewrite(0)?.applied(to: provider) == Frames.tagged(Frames.tcp, 0x8100_4000))
  }

  @Test func `mod_vlan_vid writes a tag in place and keeps its priority`() {
    let translation = translate(.modVLANVID(9), of: double)
    var expected = Rewrite()
    expected.mask[.vlanTCI] = 0x0FFF
    expected.value[.vlanTCI] = 9
    #expect(translation.rewrite(0) == expected)
    #expect(translation.mask == Field.inPort.mask | Self.presence)
  }

  @Test func `mod_vlan_vid and mod_vlan_pcp make a tag where there is none`() {
    #expect(translate(.modVLANVID(9), of: untagged).rewrite(0)?.pushedTags == [0x8100_0009])
    #expect(translate(.modVLANPCP(3), of: untagged).rewrite(0)?.pushedTags == [0x8100_6000])
    #expect(translate(.modVLANPCP(3), .modVLANVID(9), of: untagged).rewrite(0)?.pushedTags == [0x8100_6009])
  }

  @Test func `A made tag that is popped leaves the frame as received`() {
    #expect(translate(.modVLANVID(9), .popVLAN, of: untagged).rewrite(0)?.isNothing == true)
    #expect(translate(.pushVLAN(0x8100), .popVLAN, of: tagged).rewrite(0)?.isNothing == true)
    #expect(translate(.pushVLAN(0x8100), .popVLAN, .popVLAN, of: tagged).rewrite(0)?.poppedTags == 1)
  }

  @Test func `set_field vlan_vid with the presence bit tags an untagged frame`() {
    let translation = translate(.setField(.vlanVID, value: 0x1009, mask: .max), of: untagged)
    #expect(translation.rewrite(0)?.pushedTags == [0x8100_0009])
    let inPlace = translate(.setField(.vlanVID, value: 0x1009, mask: .max), of: tagged)
    #expect(inPlace.rewrite(0)?.applied(to: tagged)[.vlanTCI] == 0x7009)
    // Without that bit nothing becomes a tag.
    let nothing = translate(.setField(.vlanVID, value: 9, mask: 0xFFF), of: untagged)
    #expect(nothing.rewrite(0)?.isNothing == true)
  }

  @Test func `vlan_pcp is a field of tagged frames only`() {
    #expect(translate(.setField(.vlanPCP, value: 3, mask: .max), of: untagged).rewrite(0)?.isNothing == true)
    let translation = translate(.setField(.vlanPCP, value: 1, mask: .max), of: tagged)
    #expect(translation.rewrite(0)?.applied(to: tagged)[.vlanTCI] == 0x3005)
  }

  @Test func `A TCI of 0 takes the tags off`() {
    let strip = Action.load(0, SubField(.vlanTCI))
    #expect(translate(strip, of: tagged).rewrite(0)?.applied(to: tagged) == untagged)
    #expect(translate(strip, of: double).rewrite(0)?.applied(to: double) == untagged)
    #expect(translate(strip, of: untagged).rewrite(0)?.isNothing == true)
  }

  @Test func `A tag that was written and then is not the outer one any more is put on anew`() {
    let translation = translate(.modVLANVID(9), .pushVLAN(0x88A8), .modVLANVID(4), of: tagged)
    #expect(translation.rewrite(0)?.poppedTags == 1)
    #expect(translation.rewrite(0)?.pushedTags == [0x8100_6009, 0x88A8_0004])
    // All of the tag is in the program, so all of it is depended on but what was written.
    #expect(translation.mask[FlowWord.tags] == 0xFFFF_F000_0000_1000)
  }

  @Test func `The inner tag can be written once the outer one is off`() {
    let translation = translate(.popVLAN, .modVLANVID(9), of: double)
    #expect(translation.rewrite(0)?.applied(to: double) == Frames.tagged(Frames.tcp, 0x8100_6009))
  }

  @Test func `Moved tags are matched where they are, and depended on where they were received`() {
    let rules = [
      flow(0, [], [.popVLAN, .gotoTable(1)]), flow(1, [(.vlanVID, 0x1005)], [.output(PortNumber(2))]),
    ]
    let translation = Translator(lookup: ListTables(rules)).translate(double)
    #expect(translation.plain == [.output(PortNumber(2))])
    #expect(translation.mask[FlowWord.tags] == 0x0000_1000_0000_1FFF)
    #expect(translation.rewritten[FlowWord.tags] == .max)
  }
}
