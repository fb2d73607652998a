extension CommandHelp {
  static let datapaths: [String: CommandHelp] = [
    "add-zone-tp": .init(
      "set the timeouts of a connection tracking zone",
      "Gives the zone of the datapath (a type: netdev or system) its own timeouts: TIMEOUT is a key of the table",
      "CT_Timeout_Policy, such as tcp_established or udp_first.",
      example: "switchctl add-zone-tp netdev zone=1 tcp_syn_sent=30 udp_first=10"),
    "del-zone-tp": .init(
      "delete the timeouts of a connection tracking zone",
      "The zone goes back to the datapath's own timeouts.",
      example: "switchctl --if-exists del-zone-tp netdev zone=1"),
    "list-zone-tp": .init(
      "print the timeouts of connection tracking zones", "Prints one zone of the datapath per line.",
      example: "switchctl list-zone-tp netdev"),
    "list-dp-cap": .init(
      "print what a datapath can do", "Prints the capabilities in one line, as KEY=VALUE.",
      example: "switchctl list-dp-cap netdev"),
    "add-aa-mapping": .init(
      "add an Auto Attach mapping to a bridge",
      "Maps the service identifier I-SID (0 to 16777215) to VLAN. One that has a VLAN already keeps it.",
      example: "switchctl add-aa-mapping br0 1000 10"),
    "del-aa-mapping": .init(
      "delete an Auto Attach mapping of a bridge", "Deletes the mapping of I-SID to VLAN, if there is one.",
      example: "switchctl del-aa-mapping br0 1000 10"),
    "get-aa-mapping": .init(
      "print the Auto Attach mappings of a bridge", "Prints I-SID and VLAN, one mapping per line.",
      example: "switchctl get-aa-mapping br0"),
  ]
}
