// Sends frames between virtio-user front-ends of a switch and counts what comes back.
//
//   generator EAL-ARGUMENTS... -- FIRST-PORT-NUMBER
//
// Every --vdev=net_virtio_userN is a port; ports 2k and 2k+1 are partners and talk to each other only. Behind a port
// live stations, each with a MAC address of its own (02:00:PORT:xx:xx:xx); station i talks to its partner's station i.
// Commands come on stdin, one a line, as `traffic KEY=NUMBER...`, and each is answered by one line of JSON:
//
//   seconds=3 warm=400        how long to count, after how many milliseconds
//   length=64                 bytes of a frame, without its check sequence
//   stations=1                stations of each port, which take turns
//   flows=1                   UDP port pairs of each port, which take turns
//   spread=0                  1: flows differ in their destination address instead, 2: in addresses and ports, as
//                             flow_rules.py says
//   first=0                   the number of the first of these flows
//   window=256                frames of a port that may be under way: none is lost for want of room
//   patient=0                 1: frames are never given up on, so that no ring overflows while somebody stands still
//   rate=0                    frames per second of each port, at even distances; 0: as many as the window lets through
//   learn=0                   1: each station sends one frame, and that is all
//   oneway=0                  1: only even ports send
//   latency=0                 1: the time each frame took, by the time-stamp counter in its payload
//   yield=0                   1: another generator shares the processor, so give it up after each round
//
// `lost` are frames that were given up on while traffic went on; `missing` are all that had not arrived 200 ms
// after it ended.
//
// One thread does everything. It must not share its processor with the switch's poll thread.
#include <inttypes.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { burst = 32, ring = 1024, header = 42, stamp_offset = 42 };

struct port {
  uint32_t number;
  uint64_t sent, received;
  uint64_t excused;  // frames given up on, so that the window opens again
  uint64_t progress, progress_time;
  uint32_t station, flow;
};

static struct port ports[RTE_MAX_ETHPORTS];
static unsigned port_count, first_number;
static struct rte_mempool *receive_pool, *transmit_pool;

// ---- Latency: a histogram with 64 steps per power of two, that is within 1.6 % --------------------------------------

static uint64_t histogram[64 * 64];

static unsigned step_of(uint64_t cycles) {
  if (cycles < 64) return cycles;
  unsigned power = 63 - __builtin_clzll(cycles);
  return (power - 5) * 64 + ((cycles >> (power - 6)) & 63);
}

static double cycles_of(unsigned step) {
  if (step < 64) return step;
  unsigned power = step / 64 + 5;
  return (double)((uint64_t)(64 + step % 64) << (power - 6));
}

static double percentile_ns(double share, uint64_t samples) {
  uint64_t wanted = (uint64_t)(share * samples), seen = 0;
  for (unsigned step = 0; step < 64 * 64; step++) {
    seen += histogram[step];
    if (seen > wanted) return cycles_of(step) * 1e9 / rte_get_tsc_hz();
  }
  return 0;
}

// ---- Traffic -------------------------------------------------------------------------------------------------------

struct traffic {
  double seconds, rate;
  uint64_t warm, length, stations, flows, window, learn, oneway, latency, yield, spread, first, patient;
};

static void set_address(uint8_t *address, uint32_t number, uint32_t station) {
  address[0] = 2;
  address[1] = 0;
  address[2] = number;
  address[3] = station >> 16;
  address[4] = station >> 8;
  address[5] = station;
}

static void make_frame(struct rte_mempool *pool, void *context, void *object, unsigned index) {
  (void)pool, (void)index;
  const struct traffic *traffic = context;
  struct rte_mbuf *mbuf = object;
  uint8_t *frame = (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
  memset(frame, 0, traffic->length);
  struct rte_ether_hdr *ethernet = (void *)frame;
  struct rte_ipv4_hdr *ip = (void *)(ethernet + 1);
  struct rte_udp_hdr *udp = (void *)(ip + 1);
  ethernet->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
  ip->version_ihl = RTE_IPV4_VHL_DEF;
  ip->total_length = rte_cpu_to_be_16(traffic->length - sizeof *ethernet);
  ip->time_to_live = 64;
  ip->next_proto_id = IPPROTO_UDP;
  ip->src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, 1));
  ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, 2));
  ip->hdr_checksum = rte_ipv4_cksum(ip);
  udp->src_port = udp->dst_port = rte_cpu_to_be_16(1024);
  udp->dgram_len = rte_cpu_to_be_16(traffic->length - sizeof *ethernet - sizeof *ip);
}

// No two numbers give the same one. flow_rules.py has to agree.
static uint32_t mixed(uint32_t number) {
  number *= 0x9e3779b1;
  number ^= number >> 15;
  number *= 0x85ebca6b;
  return number ^ number >> 13;
}

// Sends from 10.0.0.0/12 to 10.16.0.0/12, and back from odd ports: 20 bits of each address, and 10 of each port, or 20
// bits of the destination only.
static void spread_frame(const struct port *port, bool all, struct rte_ipv4_hdr *ip, struct rte_udp_hdr *udp) {
  uint32_t odd = port->number & 1, bits = all ? mixed(port->flow) : port->flow * 0x9e37b << 12;
  uint32_t source = RTE_IPV4(10, odd ? 16 : 0, 0, 0) | (all ? bits & 0xfffff : 1);
  uint32_t destination = RTE_IPV4(10, odd ? 0 : 16, 0, 0) | bits >> 12;
  ip->src_addr = rte_cpu_to_be_32(source);
  ip->dst_addr = rte_cpu_to_be_32(destination);
  uint32_t sum = 0x4500 + rte_be_to_cpu_16(ip->total_length) + (64 << 8 | IPPROTO_UDP);
  sum += (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum += sum >> 16;
  ip->hdr_checksum = rte_cpu_to_be_16(~sum);
  udp->src_port = rte_cpu_to_be_16(1024 + (all ? bits >> 3 & 1023 : 0));
  udp->dst_port = rte_cpu_to_be_16(1024 + (all ? bits >> 17 & 1023 : 0));
}

// Frames are made once per command; what differs between two frames is written here.
static void address_frame(struct port *port, const struct traffic *traffic, struct rte_mbuf *mbuf, uint64_t now) {
  uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
  // While stations are learned they talk to the partner's first one, which is known by then.
  set_address(frame, port->number ^ 1, traffic->learn ? 0 : port->station);
  set_address(frame + 6, port->number, port->station);
  if (++port->station == traffic->stations) port->station = 0;
  if (traffic->flows > 1) {
    struct rte_ipv4_hdr *ip = (void *)(frame + sizeof(struct rte_ether_hdr));
    struct rte_udp_hdr *udp = (void *)(ip + 1);
    if (traffic->spread) {
      spread_frame(port, traffic->spread == 2, ip, udp);
    } else {
      udp->src_port = rte_cpu_to_be_16(1024 + port->flow % 50000);
      udp->dst_port = rte_cpu_to_be_16(1024 + port->flow / 50000);
    }
    if (++port->flow == traffic->first + traffic->flows) port->flow = traffic->first;
  }
  if (traffic->latency) memcpy(frame + stamp_offset, &now, sizeof now);
  mbuf->data_len = mbuf->pkt_len = traffic->length;
}

// When this thread last looked at a ring. What arrived while it stood still for longer than 20 µs cannot be timed.
static uint64_t last_look;

static void receive(unsigned index, const struct traffic *traffic, bool counting) {
  struct rte_mbuf *mbufs[burst];
  unsigned count = rte_eth_rx_burst(index, 0, mbufs, burst);
  uint64_t now = rte_rdtsc();
  bool blind = now - last_look > rte_get_tsc_hz() / 50000;
  last_look = now;
  if (!count) return;
  ports[index].received += count;
  if (traffic->latency && counting && !blind) {
    for (unsigned i = 0; i < count; i++) {
      uint64_t stamp;
      if (mbufs[i]->data_len != traffic->length) continue;  // not ours
      memcpy(&stamp, rte_pktmbuf_mtod_offset(mbufs[i], uint8_t *, stamp_offset), sizeof stamp);
      if (stamp && stamp < now) histogram[step_of(now - stamp)]++;
    }
  }
  rte_pktmbuf_free_bulk(mbufs, count);
}

// Frames of a port that have not arrived at its partner. When nothing arrives for 50 ms, the missing are lost.
static uint64_t under_way(struct port *port, const struct port *partner, bool patient, uint64_t now) {
  uint64_t gone = partner->received + port->excused;
  if (gone >= port->sent) {
    port->progress_time = now;
    return 0;
  }
  if (partner->received != port->progress) {
    port->progress = partner->received;
    port->progress_time = now;
  } else if (!patient && now - port->progress_time > rte_get_tsc_hz() / 20) {
    port->excused += port->sent - gone;
    return 0;
  }
  return port->sent - gone;
}

static void transmit(unsigned index, const struct traffic *traffic, uint64_t due, uint64_t now) {
  struct port *port = &ports[index];
  uint64_t room;
  if (traffic->rate > 0) {
    room = due > port->sent ? due - port->sent : 0;
  } else {
    uint64_t away = under_way(port, &ports[index ^ 1], traffic->patient, now);
    room = away < traffic->window ? traffic->window - away : 0;
  }
  if (traffic->learn && room > traffic->stations - port->sent) room = traffic->stations - port->sent;
  unsigned count = room < burst ? room : burst;
  struct rte_mbuf *mbufs[burst];
  if (!count || rte_pktmbuf_alloc_bulk(transmit_pool, mbufs, count) != 0) return;
  for (unsigned i = 0; i < count; i++) address_frame(port, traffic, mbufs[i], now);
  unsigned sent = rte_eth_tx_burst(index, 0, mbufs, count);
  port->sent += sent;
  if (sent < count) rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
}

static bool all_learned(const struct traffic *traffic) {
  for (unsigned index = 0; index < port_count; index++) {
    const struct port *port = &ports[index];
    if (port->sent < traffic->stations) return false;
    if (ports[index ^ 1].received + port->excused < port->sent) return false;
  }
  return true;
}

static void totals(uint64_t *sent, uint64_t *received) {
  *sent = *received = 0;
  for (unsigned index = 0; index < port_count; index++) {
    *sent += ports[index].sent;
    *received += ports[index].received;
  }
}

// Takes what a run left under way, so that the next begins with empty rings; returns how much never came.
static uint64_t drain(void) {
  struct rte_mbuf *mbufs[burst];
  uint64_t start = rte_rdtsc(), hz = rte_get_tsc_hz(), sent = 1, received = 0, now;
  while ((now = rte_rdtsc()) < start + hz / 50 || (sent > received && now < start + hz / 5)) {
    for (unsigned index = 0; index < port_count; index++) {
      unsigned count = rte_eth_rx_burst(index, 0, mbufs, burst);
      ports[index].received += count;
      rte_pktmbuf_free_bulk(mbufs, count);
    }
    totals(&sent, &received);
    sched_yield();  // another generator may still be counting
  }
  return sent > received ? sent - received : 0;
}

static void run(const struct traffic *traffic) {
  uint64_t hz = rte_get_tsc_hz(), start = rte_rdtsc(), now = start;
  uint64_t count_from = start + traffic->warm * hz / 1000, end = count_from + (uint64_t)(traffic->seconds * hz);
  uint64_t sent_before = 0, received_before = 0, sent, received, skipped = 0;
  bool counting = false;
  memset(histogram, 0, sizeof histogram);
  for (unsigned index = 0; index < port_count; index++) {
    uint32_t number = ports[index].number;
    ports[index] = (struct port){.number = number, .flow = traffic->first, .progress_time = start};
  }
  rte_mempool_obj_iter(transmit_pool, make_frame, (void *)(uintptr_t)traffic);
  while (now < end) {
    now = rte_rdtsc();
    if (!counting && now >= count_from) {
      counting = true;
      count_from = now;
      totals(&sent_before, &received_before);
    }
    uint64_t due = (uint64_t)((double)(now - start) / hz * traffic->rate);
    // When it was held up it goes on from here, and does not catch up in one rush.
    if (traffic->rate > 0 && due - skipped > ports[0].sent + ring) skipped = due - ports[0].sent;
    for (unsigned index = 0; index < port_count; index++) {
      receive(index, traffic, counting);
      if (!traffic->oneway || index % 2 == 0) transmit(index, traffic, due - skipped, now);
    }
    if (traffic->learn && all_learned(traffic)) break;
    if (traffic->yield) sched_yield();
  }
  totals(&sent, &received);
  uint64_t samples = 0, excused = 0;
  for (unsigned step = 0; step < 64 * 64; step++) samples += histogram[step];
  for (unsigned index = 0; index < port_count; index++) excused += ports[index].excused;
  double seconds = (double)(now - count_from) / hz;
  uint64_t missing = drain();
  printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64
         ", \"missing\": %" PRIu64 ", \"seconds\": %.6f, \"mpps\": %.6f, \"samples\": %" PRIu64
         ", \"p50_ns\": %.0f, \"p99_ns\": %.0f}\n",
         sent - sent_before, received - received_before, excused, missing, seconds,
         seconds > 0 ? (received - received_before) / seconds / 1e6 : 0, samples, percentile_ns(0.5, samples),
         percentile_ns(0.99, samples));
  fflush(stdout);
}

// ---- Commands ------------------------------------------------------------------------------------------------------

static bool parse(char *line, struct traffic *traffic) {
  *traffic = (struct traffic){.seconds = 3, .warm = 400, .length = 64, .stations = 1, .flows = 1, .window = 256};
  const struct { const char *key; uint64_t *value; } numbers[] = {
      {"warm", &traffic->warm},     {"length", &traffic->length}, {"stations", &traffic->stations},
      {"flows", &traffic->flows},   {"window", &traffic->window}, {"learn", &traffic->learn},
      {"oneway", &traffic->oneway}, {"yield", &traffic->yield},   {"latency", &traffic->latency},
      {"spread", &traffic->spread}, {"first", &traffic->first}, {"patient", &traffic->patient}};
  char *word = strtok(line, " \n");
  if (!word || strcmp(word, "traffic") != 0) return false;
  while ((word = strtok(NULL, " \n"))) {
    char *value = strchr(word, '=');
    if (!value) return false;
    *value++ = 0;
    if (strcmp(word, "seconds") == 0) { traffic->seconds = atof(value); continue; }
    if (strcmp(word, "rate") == 0) { traffic->rate = atof(value); continue; }
    bool known = false;
    for (unsigned i = 0; i < RTE_DIM(numbers); i++) {
      if (strcmp(word, numbers[i].key) != 0) continue;
      *numbers[i].value = strtoull(value, NULL, 10);
      known = true;
    }
    if (!known) return false;
  }
  return traffic->length >= stamp_offset + 8 && traffic->length <= 1600 && traffic->stations > 0 &&
         traffic->stations < 1 << 24 && traffic->flows > 0 && traffic->flows < 1000000000 &&
         traffic->first < 1000000000;
}

static void open_port(unsigned index) {
  struct rte_eth_conf configuration = {0};
  ports[index].number = first_number + index;
  if (rte_eth_dev_configure(index, 1, 1, &configuration) != 0 ||
      rte_eth_rx_queue_setup(index, 0, ring, 0, NULL, receive_pool) != 0 ||
      rte_eth_tx_queue_setup(index, 0, ring, 0, NULL) != 0 || rte_eth_dev_start(index) != 0)
    rte_exit(1, "generator: cannot start port %u\n", index);
  rte_eth_promiscuous_enable(index);
}

int main(int count, char **arguments) {
  int used = rte_eal_init(count, arguments);
  if (used < 0) return 1;
  if (used < count - 1) first_number = atoi(arguments[used + 1]);
  port_count = rte_eth_dev_count_avail();
  if (port_count < 2 || port_count % 2) rte_exit(1, "generator: needs pairs of ports, not %u\n", port_count);
  unsigned mbufs = port_count * 2 * ring + 4096;
  receive_pool = rte_pktmbuf_pool_create("receive", mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  transmit_pool = rte_pktmbuf_pool_create("transmit", mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (!receive_pool || !transmit_pool) rte_exit(1, "generator: no memory for %u buffers\n", 2 * mbufs);
  for (unsigned index = 0; index < port_count; index++) open_port(index);
  printf("{\"ports\": %u}\n", port_count);
  fflush(stdout);
  char line[1024];
  while (fgets(line, sizeof line, stdin)) {
    struct traffic traffic;
    if (parse(line, &traffic)) {
      run(&traffic);
    } else {
      printf("{\"error\": \"not understood; see the head of generator.c\"}\n");
      fflush(stdout);
    }
  }
  for (unsigned index = 0; index < port_count; index++) rte_eth_dev_stop(index);
  return 0;
}
