// The pages of the commands on flows, groups and meters.
extension CommandHelp {
  static let flows: [String: CommandHelp] = changes.merging(dumps) { $1 }.merging(groups) { $1 }.merging(
    meters
  ) { $1 }

  private static let changes: [String: CommandHelp] = [
    "add-flow": .init(
      "add a flow",
      "Adds the flow, or replaces the one with the same table, priority and match. With - the flows are read",
      "from standard input, as add-flows reads them. The syntax is that of ovs-ofctl: ovs-fields(7), ovs-actions(7).",
      example: "switchctl add-flow br0 priority=100,tcp,in_port=vm1,tcp_dst=80,actions=output:vm2"),
    "add-flows": .init(
      "add, modify and delete flows by a file",
      "Each line of FILE (- is standard input) is a flow that is added, or begins with add, modify, modify_strict, delete",
      "or delete_strict. The whole file is read first: a mistake in it is named by its line, and changes nothing. With",
      "--bundle a change that the switch refuses undoes all others too.",
      example: "switchctl --bundle add-flows br0 flows.txt"),
    "mod-flows": .init(
      "change the actions of flows",
      "Gives all flows that FLOW's match covers its actions, and its cookie if it has one. Counters stay. It adds no flow.",
      example: "switchctl mod-flows br0 ip,nw_dst=10.0.0.0/24,actions=drop"),
    "del-flows": .init(
      "delete flows",
      "Deletes all flows that FLOW's match covers, of all tables or of table=N; without FLOW all flows of the bridge, which",
      "then drops every frame. out_port=PORT, out_group=GROUP and cookie=VALUE/MASK narrow the choice.",
      example: "switchctl del-flows br0 cookie=0x2a/-1"),
    "replace-flows": .init(
      "make the flows of a bridge those of a file",
      "Compares FILE with the flows of the bridge, deletes those that are not in it, adds those that are missing, and",
      "replaces those with other actions, cookies or timeouts. Flows that are the same keep their counters.",
      example: "switchctl --bundle replace-flows br0 flows.txt"),
    "diff-flows": .init(
      "compare the flows of bridges and files",
      "Prints flows that only the first has after -, and those that only the second has after +. Exit status 2: there are",
      "differences. A name that begins with / or . is a file; another one is a file if there is such a file.",
      example: "switchctl diff-flows br0 ./flows.txt"),
    "trace": .init(
      "explain what happens to a frame",
      "Takes the frame that FLOW describes, or one of a capture, through the tables without sending it, and prints the flows",
      "it matches, what their actions do, what MAC learning decides, and the cached entry that frames like it use.",
      "The last line names the flow that decided.",
      example: "switchctl trace br0 in_port=vm1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_dst=80"),
  ]

  private static let dumps: [String: CommandHelp] = [
    "dump-flows": .init(
      "print flows",
      "Prints all flows of the bridge, or those that FLOW selects (see del-flows), with their counters: by table,",
      "then by priority. What it prints can be read by add-flows.",
      example: "switchctl dump-flows br0 table=1"),
    "dump-aggregate": .init(
      "print sums over flows",
      "Prints packets, bytes and the number of all flows, or of those that FLOW selects (see del-flows).",
      example: "switchctl dump-aggregate br0 out_port=vm1"),
    "dump-tables": .init(
      "print the counters of tables",
      "Prints how many flows each table has, how often it was looked up, and how often that found a flow.",
      example: "switchctl dump-tables br0"),
    "parse-flows": .init(
      "check a file of flows",
      "Reads a file as add-flows does, and prints its flows in normal form. It asks no switch, so ports have numbers.",
      example: "switchctl parse-flows flows.txt"),
  ]

  private static let groups: [String: CommandHelp] = [
    "add-group": .init(
      "add a group",
      "Adds a group of buckets; its type is all, select, indirect or ff (fast_failover). With - groups are read from",
      "standard input, as add-groups reads them.",
      example: "switchctl add-group br0 group_id=1,type=select,bucket=output:1,bucket=output:2"),
    "add-groups": .init(
      "add, modify and delete groups by a file",
      "Each line of FILE (- is standard input) is a group that is added, or begins with add, modify, add_or_mod, delete,",
      "insert_bucket or remove_bucket.", example: "switchctl add-groups br0 groups.txt"),
    "mod-group": .init(
      "change a group", "Gives the group another type or other buckets.",
      example: "switchctl mod-group br0 group_id=1,type=all,bucket=output:3"),
    "del-groups": .init(
      "delete groups", "Deletes the group, or all of them, and the flows that use them.",
      example: "switchctl del-groups br0 group_id=1"),
    "insert-buckets": .init(
      "put buckets into a group",
      "Inserts buckets first, last (the default), or behind the bucket that command_bucket_id names.",
      example: "switchctl insert-buckets br0 group_id=1,command_bucket_id=last,bucket=bucket_id:7,output:3"),
    "remove-buckets": .init(
      "take buckets out of a group",
      "Removes the bucket that command_bucket_id names: its number, first, last or all.",
      example: "switchctl remove-buckets br0 group_id=1,command_bucket_id=7"),
    "dump-groups": .init(
      "print groups", "Prints all groups of the bridge, or one.", example: "switchctl dump-groups br0"),
    "dump-group-stats": .init(
      "print the counters of groups",
      "Prints packets and bytes of each group and of its buckets, and how many flows use it.",
      example: "switchctl dump-group-stats br0 group_id=1"),
  ]

  private static let meters: [String: CommandHelp] = [
    "add-meter": .init(
      "add a meter",
      "Adds a meter, which drops what is beyond its rate, in packets (pktps) or kilobits (kbps) per second.",
      example: "switchctl add-meter br0 meter=1,kbps,burst,band=type=drop,rate=10000,burst_size=1000"),
    "mod-meter": .init(
      "change a meter", "Gives the meter another unit or other bands.",
      example: "switchctl mod-meter br0 meter=1,kbps,band=type=drop,rate=20000"),
    "del-meter": .init(
      "delete a meter", "Deletes the meter and the flows that use it.",
      example: "switchctl del-meter br0 meter=1"),
    "del-meters": .init(
      "delete meters", "Deletes the meter, or all of them, and the flows that use them.",
      example: "switchctl del-meters br0"),
    "dump-meter": .init(
      "print a meter", "Prints the unit and the bands of the meter.",
      example: "switchctl dump-meter br0 meter=1"),
    "dump-meters": .init(
      "print meters", "Prints the units and bands of all meters of the bridge, or of one.",
      example: "switchctl dump-meters br0"),
    "meter-stats": .init(
      "print the counters of meters", "Prints what came into each meter, and what each band dropped.",
      example: "switchctl meter-stats br0 meter=1"),
  ]
}
