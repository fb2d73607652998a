import Glibc
import Linux
import Testing

@Suite struct UserIdentityTests {
  @Test func `A name stands for the account, with its own group`() throws {
    let identity = try UserIdentity("daemon")
    let account = try #require(getpwnam("daemon")).pointee
    #expect(identity.user == account.pw_uid && identity.group == account.pw_gid)
  }

  @Test func `A group can be named, and numbers stand for themselves`() throws {
    let identity = try UserIdentity("daemon:nogroup")
    #expect(identity.group == getgrnam("nogroup")?.pointee.gr_gid)
    let numbers = try UserIdentity("4711:4712")
    #expect(numbers.user == 4711 && numbers.group == 4712)
  }

  @Test(arguments: [
    ("no-such-user", "there is no user \"no-such-user\""), ("", "there is no user \"\""),
    ("daemon:", "there is no group \"\""), ("daemon:no-such-group", "there is no group \"no-such-group\""),
    ("4711", "user 4711 has no account and so no group: write 4711:GROUP"),
    // Means "do not change" to the kernel.
    ("4294967295:1", "there is no user \"4294967295\""),
    ("daemon:4294967295", "there is no group \"4294967295\""),
  ])
  func `What is no user is refused by name`(text: String, sentence: String) {
    #expect(throws: UsageError(sentence)) { try UserIdentity(text) }
  }

  @Test func `Capabilities have the kernel's names`() {
    #expect(
      Capability.allCases.map(\.name) == [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN",
      ])
  }
}
