"""The flows of the rows in rows_flows.py, as `add-flows` reads them, and the traffic they are made for.

The rows use two ports, with OpenFlow numbers 1 and 2. Behind the first, stations have addresses in 10.0.0.0/12, behind
the second in 10.16.0.0/12.
"""

import random

BEHIND = {1: 10 << 24, 2: 10 << 24 | 16 << 16}
OTHER = {1: 2, 2: 1}

PORT_TO_PORT = ["in_port=1,actions=output:2", "in_port=2,actions=output:1"]


def mixed(number):
    """No two numbers give the same one. generator.c has to agree."""
    number = number * 0x9e3779b1 & 0xffffffff
    number ^= number >> 15
    number = number * 0x85ebca6b & 0xffffffff
    return number ^ number >> 13


def five_tuple(number, port):
    """What the generator sends from a port as its flow of that number (spread=2): addresses and UDP ports."""
    bits = mixed(number)
    return (BEHIND[port] | bits & 0xfffff, BEHIND[OTHER[port]] | bits >> 12,
            1024 + (bits >> 3 & 1023), 1024 + (bits >> 17 & 1023))


def dotted(address, length=32):
    address &= 0xffffffff << 32 - length
    text = f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
    return text if length == 32 else f"{text}/{length}"


def write(path, lines):
    with open(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


# ---- 998 rules in 20 masks ----------------------------------------------------------------------------------------

# Prefix lengths of source and destination, and whether the ports count; each with the number of the port frames come
# in at. The twentieth mask has only that number.
MASKS = [
    (18, 0, False, False), (20, 0, False, False), (22, 0, False, False), (24, 0, False, False),
    (0, 18, False, False), (0, 20, False, False), (0, 24, False, False), (0, 28, False, False),
    (18, 24, False, False), (20, 20, False, False), (24, 24, False, False), (0, 0, True, False),
    (0, 0, False, True), (0, 0, True, True), (20, 0, False, True), (18, 0, True, False),
    (0, 20, False, True), (0, 22, True, False), (0, 32, False, True),
]
RULES = 998


def many_masks(elsewhere=False):
    """Rules that share the generator's traffic (spread=1) among them, and all send it out of the other port: those of
    destinations get some of it, more the shorter they are, and the last two what is left.

    - elsewhere: the same, but for other addresses and ports, so that only the last two are for this traffic.
    """
    chosen = random.Random(4)
    lines = set()
    number = 0
    while len(lines) < RULES - 2:
        port, mask = number % 2 + 1, MASKS[number // 2 % len(MASKS)]
        lines.add(_rule(chosen, port, *mask, elsewhere))
        number += 1
    return [*sorted(lines), *(f"priority=1,{line}" for line in PORT_TO_PORT)]


def _rule(chosen, port, source, destination, source_port, destination_port, elsewhere):
    words = [f"priority=100,in_port={port},udp"]
    shift, first = (32 << 16, 8192) if elsewhere else (0, 1024)
    for field, length, base in (("nw_src", source, BEHIND[port]), ("nw_dst", destination, BEHIND[OTHER[port]])):
        if length:
            words.append(f"{field}={dotted(base + shift | chosen.getrandbits(20), length)}")
    for field, wanted in (("tp_src", source_port), ("tp_dst", destination_port)):
        if wanted:
            words.append(f"{field}={first + chosen.getrandbits(10)}")
    return f"{','.join(words)},actions=output:{OTHER[port]}"


# ---- A rule for each flow -----------------------------------------------------------------------------------------

def own_rules(count, ports=(1, 2), masks=4):
    """For the first flows of each port a rule each, that no other flow matches, in up to four masks."""
    for number in range(count // len(ports)):
        for port in ports:
            source, destination, source_port, destination_port = five_tuple(number, port)
            mask = number % masks
            words = [f"priority=10,udp,nw_src={dotted(source)}",
                     f"nw_dst={dotted(destination)}"]
            if mask in (0, 1):
                words.append(f"tp_dst={destination_port}")
            if mask in (0, 2):
                words.append(f"tp_src={source_port}")
            yield f"{','.join(words)},actions=output:{OTHER[port]}"


# ---- Three tables -------------------------------------------------------------------------------------------------

def _router(port):
    """The address a router behind the port has."""
    return f"02:00:00:00:aa:{port:02x}"


def three_tables():
    """A tag is pushed, the frame routed, and what comes of that switched by its new addresses."""
    for port, other in OTHER.items():
        yield f"table=0,in_port={port},actions=push_vlan:0x8100,set_field:{0x1000 | 100}->vlan_vid,goto_table:1"
        yield (f"table=1,in_port={port},ip,actions=dec_ttl,set_field:{_router(port)}->eth_src,"
               f"set_field:{_router(other)}->eth_dst,set_field:192.168.0.{port}->ip_dst,goto_table:2")
    yield "table=2,actions=NORMAL"
