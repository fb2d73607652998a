// Packet
