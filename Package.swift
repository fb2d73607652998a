// swift-tools-version: 6.2
// The house: each target imports only targets listed above it (see README, "How it works").
import PackageDescription

let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("ExistentialAny"),
]

/// A module of the house, with its unit tests.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

/// `swift package <verb>`: Plugins/<Name>, which runs one of tools/.
func command(_ name: String, _ verb: String, _ description: String, writes: Bool = false) -> Target {
  .plugin(
    name: name,
    capability: .command(
      intent: .custom(verb: verb, description: description),
      permissions: writes ? [.writeToPackageDirectory(reason: description)] : []))
}

let package = Package(
  name: "switchd",
  products: [
    .executable(name: "switchd", targets: ["switchd"]),
    .executable(name: "switchdbd", targets: ["switchdbd"]),
    .executable(name: "switchctl", targets: ["switchctl"]),
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(
      name: "CNetlink", pkgConfig: "libnl-route-3.0", providers: [.apt(["libnl-route-3-dev"])]),
    .systemLibrary(name: "CCapNG", pkgConfig: "libcap-ng", providers: [.apt(["libcap-ng-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    module("Linux", ["CLinux", "CCapNG"]),
    module("Packet", ["CLinux"]),
    module("Virtio", ["Linux", "Packet", "CLinux"]),
    module("VhostUser", ["Linux", "Packet", "Virtio", "CLinux"]),
    module("Ports", ["Linux", "Packet", "Virtio", "VhostUser", "CLinux"]),
    module("Flow", ["Packet"]),
    module("Datapath", ["Linux", "Packet", "Flow", "Ports", "CLinux"]),
    module("Netlink", ["Linux", "CNetlink", "CLinux"]),
    module("JSONRPC", ["Linux", "COpenSSL"]),
    module("OVSDB", ["Linux", "JSONRPC"]),
    program("schema-rows", []),
    .plugin(name: "SchemaRows", capability: .buildTool(), dependencies: ["schema-rows"]),
    .target(
      name: "OpenVSwitchRows", dependencies: ["OVSDB"], swiftSettings: strict, plugins: ["SchemaRows"]),
    module(
      "Configuration",
      ["Linux", "Packet", "Flow", "Ports", "Datapath", "Netlink", "JSONRPC", "OVSDB", "OpenVSwitchRows"]),
    program(
      "switchd", ["Linux", "JSONRPC", "OVSDB", "Ports", "Datapath", "Netlink", "Configuration"]),
    program("switchdbd", ["Linux", "JSONRPC", "OVSDB"]),
    module("SwitchctlCommands", ["Linux", "Flow", "JSONRPC", "OVSDB"]),
    program("switchctl", ["Linux", "SwitchctlCommands"]),
    module("VirtioTesting", ["Linux", "Packet", "Virtio", "VhostUser", "CLinux"]),
    module("OVSDBTesting", ["Linux", "JSONRPC"]),
    module("Seeded", []),
    module("PacketTesting", ["Seeded", "Packet"]),
    module("FlowTesting", ["Seeded", "Flow", "PacketTesting"]),
    tests("LinuxTests", ["Linux", "CLinux"]),
    tests("PacketTests", ["Seeded", "Packet", "PacketTesting"]),
    tests("VirtioTests", ["Seeded", "Virtio", "VirtioTesting", "Linux", "Packet", "CLinux"]),
    tests(
      "VhostUserTests", ["Seeded", "VhostUser", "Virtio", "VirtioTesting", "Linux", "Packet", "CLinux"]),
    tests(
      "PortsTests",
      ["Seeded", "Ports", "VirtioTesting", "Linux", "Packet", "VhostUser", "Virtio", "Netlink", "CLinux"]),
    tests("FlowTests", ["Seeded", "Flow", "Packet"], exclude: ["Corpus"]),
    tests(
      "DatapathTests",
      [
        "Seeded", "Flow", "PacketTesting", "FlowTesting", "Datapath", "Ports", "Virtio", "VirtioTesting",
        "Linux", "Packet",
      ]),
    tests("NetlinkTests", ["Netlink", "Linux", "CLinux"]),
    tests("JSONRPCTests", ["Seeded", "JSONRPC", "Linux"]),
    tests("OVSDBTests", ["Seeded", "OVSDB", "OVSDBTesting", "JSONRPC", "Linux"]),
    tests("OpenVSwitchRowsTests", ["schema-rows", "OpenVSwitchRows", "OVSDB", "Linux", "JSONRPC"]),
    tests(
      "SwitchctlTests",
      ["Seeded", "SwitchctlCommands", "Flow", "OVSDB", "OVSDBTesting", "JSONRPC", "Linux"]),
    tests(
      "ConfigurationTests",
      [
        "Seeded", "Configuration", "OpenVSwitchRows", "Flow", "OVSDB", "JSONRPC", "Linux", "Datapath",
        "Ports",
        "Packet",
      ]),
    .executableTarget(
      name: "switchd-soak", dependencies: ["Linux", "Seeded", "VirtioTesting"], path: "Tests/Soak",
      swiftSettings: strict),
    tests(
      "SystemTests",
      [
        "Seeded", "Linux", "JSONRPC", "VirtioTesting", "PacketTesting", "FlowTesting", "Flow", "Packet",
        "Virtio",
        "VhostUser", "Ports", "Datapath", "CLinux",
      ]),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "CLinux", "Linux", "Packet", "Virtio", "VhostUser", "Ports", "Flow", "Datapath", "JSONRPC", "OVSDB",
        "SwitchctlCommands", "VirtioTesting", "FlowTesting",
      ],
      path: "Tests/FuzzTargets", swiftSettings: strict),
    tests("FuzzTests", ["FuzzTargets"]),
    command("Format", "format", "Formats every Swift file in place", writes: true),
    command("Lint", "lint", "Checks format, unsafe constructs and scripts"),
    command("Bench", "bench", "Measures switchd beside its peers"),
    command("Fuzz", "fuzz", "Runs a fuzz target"),
    command("CheckHotPath", "check-hot-path", "Looks for allocation and the like on the packet path"),
  ],
  cLanguageStandard: .gnu17
)

// Names of targets to do without: tools/test has what a sanitizer would tell nothing about neither built nor run.
if let text = Context.environment["SWITCHD_WITHOUT"] {
  let names = text.split(whereSeparator: \.isWhitespace).map(String.init)
  package.targets.removeAll { names.contains($0.name) }
  package.products.removeAll { names.contains($0.name) }
}

// Links only with libFuzzer, as tools/fuzz/run does. A program that runs during the build would be linked with it too, so
// what needs the generator is left out.
if Context.environment["SWITCHD_FUZZER"] != nil {
  let generated = ["schema-rows", "SchemaRows", "OpenVSwitchRows", "Configuration", "switchd"]
  package.targets.removeAll { $0.type == .test || generated.contains($0.name) }
  package.products.removeAll { $0.name == "switchd" }
  package.targets.append(
    .executableTarget(name: "switchd-fuzzer", dependencies: ["FuzzTargets"], path: "Tests/Fuzzer"))
}
