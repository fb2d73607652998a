/// What each command is for: one line for the overview, a paragraph and an example for its own page.
struct CommandHelp: Sendable {
  let summary: String
  let paragraph: String
  let example: String

  init(_ summary: String, _ paragraph: String..., example: String) {
    self.summary = summary
    self.paragraph = paragraph.joined(separator: " ")
    self.example = example
  }

  static let byName: [String: CommandHelp] = general.merging(bridges) { $1 }.merging(ports) { $1 }
    .merging(rows) { $1 }.merging(management) { $1 }.merging(datapaths) { $1 }.merging(flows) { $1 }
    .merging(runtime) { $1 }.merging(files) { $1 }

  private static let general: [String: CommandHelp] = [
    "init": .init(
      "initialize the database, if it is not yet",
      "Inserts the one row of the Open_vSwitch table if it is missing. Every command that changes something does",
      "this by itself.",
      example: "switchctl --no-wait init"),
    "show": .init(
      "print an overview of the configuration",
      "Prints bridges, their ports and interfaces, with types, options, and the error of every interface that",
      "could not be set up. Of a vhost-user port also whether its guest is connected and since when, or why not,",
      "and what was agreed with it: ring layout, queue pairs, ring sizes, features.",
      example: "switchctl show"),
    "emer-reset": .init(
      "reset the configuration to a clean state",
      "Removes controllers, managers, mirrors, sampling and TLS settings, and clears settings a controller may have",
      "left on bridges, ports and interfaces. Bridges and ports stay.",
      example: "switchctl emer-reset"),
    "help": .init(
      "explain a command", "Prints this overview, or the page of one command.",
      example: "switchctl help add-port"),
  ]

  private static let bridges: [String: CommandHelp] = [
    "add-br": .init(
      "create a bridge",
      "Creates a bridge with its local port and interface, all of the same name. With PARENT and VLAN it creates a",
      "fake bridge: a view of the parent's access ports on that VLAN.",
      example: "switchctl add-br br0"),
    "del-br": .init(
      "delete a bridge and all of its ports",
      "Deletes the bridge, its ports, and the fake bridges that have it as parent.",
      example: "switchctl del-br br0"),
    "list-br": .init(
      "print the names of all bridges", "Prints one name per line, sorted; real and fake bridges alike.",
      example: "switchctl list-br"),
    "br-exists": .init(
      "exit with 2 if a bridge does not exist",
      "Prints nothing. Exits with 0 if the bridge exists and with 2 if it does not.",
      example: "switchctl br-exists br0 && echo yes"),
    "br-to-vlan": .init(
      "print the VLAN a bridge is on", "Prints the VLAN of a fake bridge, and 0 for a real one.",
      example: "switchctl br-to-vlan vlan10"),
    "br-to-parent": .init(
      "print the parent of a bridge", "Prints the parent of a fake bridge, and a real bridge's own name.",
      example: "switchctl br-to-parent vlan10"),
    "br-set-external-id": .init(
      "set or remove a key of a bridge's external_ids",
      "Sets KEY to VALUE in the bridge's external_ids column; without VALUE it removes KEY.",
      example: "switchctl br-set-external-id br0 owner lab"),
    "br-get-external-id": .init(
      "print a bridge's external_ids",
      "Prints the value of KEY, or all pairs of the bridge's external_ids column.",
      example: "switchctl br-get-external-id br0 owner"),
    "get-fail-mode": .init(
      "print a bridge's fail mode",
      "Prints what the bridge does without its controller: standalone, secure, or nothing when it is not set.",
      example: "switchctl get-fail-mode br0"),
    "set-fail-mode": .init(
      "set a bridge's fail mode",
      "MODE is standalone (forward like a learning switch without a controller) or secure (keep only the flows",
      "that are there).",
      example: "switchctl set-fail-mode br0 secure"),
    "del-fail-mode": .init(
      "clear a bridge's fail mode", "Goes back to the default, standalone.",
      example: "switchctl del-fail-mode br0"),
  ]

  private static let ports: [String: CommandHelp] = [
    "list-ports": .init(
      "print the names of a bridge's ports",
      "Prints one name per line, sorted, without the bridge's local port.",
      example: "switchctl list-ports br0"),
    "add-port": .init(
      "add a port to a bridge",
      "Creates a port and an interface named PORT on BRIDGE, sets the Port columns given, and waits until the switch",
      "has set it up. If it could not, prints why and exits with 1. The interface's type and options are set with",
      "a second command of the same transaction.",
      example:
        "switchctl add-port br0 vm1 tag=10 -- set Interface vm1 type=vhost-user-client options:vhost-server-path=/run/vm1.sock"
    ),
    "del-port": .init(
      "delete a port",
      "Deletes the port from whatever bridge has it; with BRIDGE, checks that it is that one.",
      example: "switchctl --if-exists del-port br0 vm1"),
    "port-to-br": .init(
      "print the bridge that contains a port", "Prints the bridge's name.",
      example: "switchctl port-to-br vm1"),
    "add-bond": .init(
      "add a port made of several interfaces",
      "Creates the port PORT on BRIDGE that bonds at least two interfaces.",
      example: "switchctl add-bond br0 bond0 eth0 eth1 lacp=active"),
    "add-bond-iface": .init(
      "add an interface to a bonded port", "Adds INTERFACE to the existing port BOND.",
      example: "switchctl add-bond-iface bond0 eth2"),
    "del-bond-iface": .init(
      "remove an interface from its port", "Removes INTERFACE from its port, which must have another one.",
      example: "switchctl del-bond-iface bond0 eth2"),
    "list-ifaces": .init(
      "print the names of a bridge's interfaces",
      "Prints one name per line, sorted, without the bridge's local interface. A bonded port has several.",
      example: "switchctl list-ifaces br0"),
    "iface-to-br": .init(
      "print the bridge that contains an interface", "Prints the bridge's name.",
      example: "switchctl iface-to-br eth0"),
  ]

  private static let rows: [String: CommandHelp] = [
    "comment": .init(
      "put words into the database's log",
      "Does nothing else: the words appear in the transaction's log entry.",
      example: "switchctl comment maintenance window -- del-port vm1"),
    "get": .init(
      "print values of columns",
      "Prints each column's value, or the value of KEY in a map, one per line. RECORD is a name, a UUID or the",
      "beginning of one, or \".\" for the only row of a table. With --id the row gets a name for later commands.",
      example: "switchctl get Interface vm1 ofport statistics:rx_packets"),
    "list": .init(
      "print records", "Prints all columns (or --columns) of the records named, or of all records of TABLE.",
      example: "switchctl --columns=name,ofport,error list Interface"),
    "find": .init(
      "print records that satisfy conditions",
      "Prints the records for which every condition holds. Operators: = != < > <= >=, and for sets and maps {=} {!=}",
      "{<} {>} {<=} {>=} {in} {not-in}.",
      example: "switchctl --columns=name find Interface type=vhost-user-client link_state=down"),
    "set": .init(
      "set columns of a record",
      "Replaces the value of each COLUMN, or of KEY in a map column. A set is written [a,b], a map {k=v,k=v}; a value",
      "with delimiters is written in double quotes; @NAME is the row created with --id=@NAME.",
      example: "switchctl set Interface vm1 options:vhost-server-path=/run/vm1.sock"),
    "add": .init(
      "add values to a column", "Adds values to a set column, or pairs to a map column.",
      example: "switchctl add Port trunk0 trunks 10 20"),
    "remove": .init(
      "remove values from a column",
      "Removes values from a set column, and keys or pairs from a map column; those not there are ignored.",
      example: "switchctl remove Bridge br0 other_config mac-aging-time"),
    "clear": .init(
      "make columns empty", "Sets each column to the empty set or map.",
      example: "switchctl clear Port vm1 tag"),
    "create": .init(
      "create a record",
      "Creates a record and prints its UUID. A record of most tables vanishes unless another one refers to it:",
      "give it a name with --id and refer to it in the same transaction.",
      example: "switchctl --id=@m create Mirror name=m0 -- set Bridge br0 mirrors=@m"),
    "destroy": .init(
      "delete records", "Deletes the records named, or every record of TABLE with --all.",
      example: "switchctl destroy QoS 5f1a"),
    "watch": .init(
      "follow the changes of a table",
      "Prints a line for each row there is and then for each change, until interrupted, or --timeout has passed. COLUMN",
      "limits which columns are told. With conditions (as in find; they may follow a --) only rows are told for which",
      "all hold. With --format=json a line is an object with the members change (initial, insert, modify or delete),",
      "table, row, name, old and new.",
      example: "switchctl watch Interface link_state ofport -- type=vhost-user-client"),
    "wait-until": .init(
      "wait until a record satisfies conditions",
      "Waits until RECORD exists and every condition holds (operators as in find).",
      example: "switchctl --timeout=10 wait-until Interface vm1 link_state=up"),
  ]

  private static let management: [String: CommandHelp] = [
    "get-controller": .init(
      "print a bridge's controllers", "Prints the OpenFlow controllers, one per line.",
      example: "switchctl get-controller br0"),
    "set-controller": .init(
      "set a bridge's controllers", "Replaces the bridge's OpenFlow controllers with the targets given.",
      example: "switchctl set-controller br0 tcp:192.0.2.1:6653"),
    "del-controller": .init(
      "delete a bridge's controllers", "Removes all OpenFlow controllers of the bridge.",
      example: "switchctl del-controller br0"),
    "get-manager": .init(
      "print the database's managers", "Prints the manager connections, one per line.",
      example: "switchctl get-manager"),
    "set-manager": .init(
      "set the database's managers", "Replaces the manager connections of the database server.",
      example: "switchctl set-manager ptcp:6640:127.0.0.1"),
    "del-manager": .init(
      "delete the database's managers", "Removes all manager connections.", example: "switchctl del-manager"),
    "get-ssl": .init(
      "print the TLS settings", "Prints the files of the TLS settings.", example: "switchctl get-ssl"),
    "set-ssl": .init(
      "set the TLS settings", "Names the private key, its certificate and the CA's certificate.",
      example: "switchctl set-ssl /etc/key.pem /etc/cert.pem /etc/ca.pem"),
    "del-ssl": .init("delete the TLS settings", "Removes the TLS settings.", example: "switchctl del-ssl"),
  ]

  private static let runtime: [String: CommandHelp] = [
    "fdb": .init(
      "print the learned MAC addresses",
      "Prints port, VLAN, MAC address and age in seconds of every entry of the bridge's table, or of all bridges.",
      example: "switchctl fdb br0"),
    "fdb-flush": .init(
      "forget the learned MAC addresses", "Empties the bridge's MAC table, or those of all bridges.",
      example: "switchctl fdb-flush br0"),
    "ports": .init(
      "print the ports of the running switch",
      "Prints every port with its type and state as the switch has it now, not as it is configured.",
      example: "switchctl ports br0"),
    "stats": .init(
      "print the counters of ports", "Prints frames, bytes, drops and errors of the port, or of all ports.",
      "With --queues a line for each queue of the port, or of all ports that count by queue; counters that are zero",
      "for all of them are left out.",
      example: "switchctl stats --queues vm1"),
    "pmd-stats": .init(
      "print the load of poll threads and receive queues",
      "Prints how each poll thread and each receive queue worked during the last 5 seconds, or SECONDS (1 to 60): frames",
      "per second, cycles per frame, frames per burst, and shares of the time. As JSON also the numbers since the start.",
      example: "switchctl pmd-stats 60"),
    "flow-cache": .init(
      "print how full poll threads' caches of flow decisions are, and how well they work",
      "Prints for each poll thread the decisions and masks in its cache; and, since it started, its frames, how many of",
      "them were not found at once (searches) or not at all (misses), and how often a decision was checked against",
      "changes of flows (renewals).",
      example: "switchctl flow-cache"),
    "pmd-rxq-show": .init(
      "print which poll thread polls which receive queue",
      "Prints the poll thread of every receive queue, and the share of that thread's time the queue took during the last",
      "60 seconds, or SECONDS (1 to 60).",
      example: "switchctl pmd-rxq-show"),
    "pmd-rebalance": .init(
      "spread receive queues over poll threads by load",
      "Moves receive queues without an affinity so that the load measured during the last minute is spread evenly. No",
      "frame is lost or overtaken by another.",
      example: "switchctl pmd-rebalance"),
    "appctl": .init(
      "send a command to a daemon's control socket",
      "Sends COMMAND with its arguments to switchd, or to the daemon named by --target, and prints the answer.",
      "The command list-commands prints what the daemon understands.",
      example: "switchctl --target=switchdbd appctl list-commands"),
  ]
}
