"""The tables of scenarios: what `tools/bench datapath --list` and `tools/bench db --list` print, in the order they run."""

import dataclasses

from . import rows_control as control
from . import rows_db as db
from . import rows_flows as flows
from . import rows_tcp as tcp
from . import rows_vhost as vhost


@dataclasses.dataclass
class Row:
    name: str
    title: str
    peers: str
    measure: object
    goals: list
    limit: int = 240  # seconds, after which the row is given up


ROWS = [
    Row("vhost-64", "vhost → vhost, 64 B, MAC learning", "OVS-DPDK", vhost.forwarding(64),
        vhost.forwarding_goals(64)),
    Row("vhost-1518", "vhost → vhost, 1,518 B, MAC learning", "OVS-DPDK", vhost.forwarding(1518),
        vhost.forwarding_goals(1518)),
    Row("library", "64 B against the vhost PMD io, which does not switch", "dpdk-testpmd", vhost.library,
        vhost.library_goals),
    Row("flows", "64 B, 100,000 concurrent 5-tuples, MAC learning", "OVS-DPDK", vhost.flows, vhost.flows_goals),
    Row("scale", "2 → 64 ports, 1 → 1,000,000 MACs, 64 B", "OVS-DPDK", vhost.scale, vhost.scale_goals, 600),
    Row("latency", "One-way latency, vhost → vhost, 64 B", "OVS-DPDK", vhost.latency, vhost.latency_goals),
    Row("viommu", "64 B between guests behind a vIOMMU, fixed mappings", "the same without", vhost.viommu,
        vhost.viommu_goals),
    Row("tcp", "TCP between two veth namespaces, default offloads", "Linux bridge, OVS userspace datapath",
        tcp.namespaces, tcp.namespaces_goals),
    Row("guests", "TCP guest ↔ guest and guest ↔ TAP, emulated guests", "OVS-DPDK with and without TSO", tcp.guests,
        tcp.guests_goals, 420),
    Row("idle", "Idle, 8 vhost-user ports", "OVS-DPDK", control.idle, control.idle_goals),
    Row("ports", "1,000 ports added", "OVS userspace datapath", control.ports, control.ports_goals, 520),
    Row("start", "Start to first frame, and memory", "OVS-DPDK", control.start, control.start_goals),
    Row("rules-998", "64 B, 998 rules in 20 masks, 1,024 → 100,000 concurrent 5-tuples", "OVS-DPDK", flows.many_masks,
        flows.many_masks_goals, 360),
    Row("port-to-port", "in_port → output, two flows", "OVS-DPDK", flows.port_to_port, flows.port_to_port_goals),
    Row("pipeline", "64 B, three tables: push a VLAN tag, route, NORMAL", "OVS-DPDK", flows.pipeline,
        flows.pipeline_goals),
    Row("miss", "One-way latency of a flow's first frame, 998 rules that do not match and 60,000 that do",
        "OVS-DPDK", flows.first_frames, flows.first_frames_goals),
    Row("load", "100,000 flows loaded from a file, dumped, deleted", "OVS userspace datapath", flows.load,
        flows.load_goals),
    Row("million", "1,000,000 flows", "OVS-DPDK", flows.million, flows.million_goals, 900),
    Row("churn", "64 B, 998 rules in 20 masks, flows changed at 1,000 a second", "OVS-DPDK", flows.churn,
        flows.churn_goals),
    Row("normal-only", "64 B and 1,518 B, only the flow NORMAL", "the build in $SWITCHD_BASELINE", flows.normal,
        flows.normal_goals),
]

DATABASE_ROWS = [
    Row("single", "Small transactions, one client, one at a time", "ovsdb-server", db.single, db.single_goals),
    Row("pipelined", "Small transactions, 16 clients, 32 of each under way", "ovsdb-server", db.pipelined,
        db.pipelined_goals),
    Row("durable", "Durable transactions, 16 clients", "ovsdb-server", db.durable, db.durable_goals),
    Row("bulk", "10,000 ports and interfaces: inserted, monitored, opened", "ovsdb-server", db.bulk, db.bulk_goals),
    Row("followers", "100 changes reaching 50 monitors", "ovsdb-server", db.followers, db.followers_goals),
]
