// A request is one byte and the descriptor of a namespace. The answer is errno as an int, and with 0 the descriptor
// of a socket.
#define _GNU_SOURCE
#include "namespace_agent.h"
#include "control_message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { NO_AGENT = -1, LOST_AGENT = -2, PATIENCE_MS = 2000 };

static int agent = NO_AGENT;

static int new_socket(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

struct entry {
  int namespace_fd;
  int result;
  int error;
};

static void *open_in_namespace(void *context) {
  struct entry *entry = context;
  entry->result = setns(entry->namespace_fd, CLONE_NEWNET) == 0 ? new_socket() : -1;
  entry->error = errno;
  return NULL;
}

// On a thread of its own, so that the caller's namespace never changes.
static int open_by_thread(int namespace_fd) {
  pthread_t thread;
  struct entry entry = {namespace_fd, -1, 0};
  int error = pthread_create(&thread, NULL, open_in_namespace, &entry);
  if (error == 0) {
    pthread_join(thread, NULL);
    error = entry.error;
  }
  if (entry.result < 0) errno = error;
  return entry.result;
}

static int readable(int channel, int timeout_ms) {
  struct pollfd wait = {channel, POLLIN, 0};
  int result;
  do result = poll(&wait, 1, timeout_ms);
  while (result < 0 && errno == EINTR);
  return result == 1;
}

// An agent that does not answer is not asked again: its answer might come to another question.
static int open_by_agent(int namespace_fd) {
  char request = 'n';
  int error = EPERM, result = -1, count = 0, truncated = 0;
  if (agent == LOST_AGENT || cl_send_with_fds(agent, &request, 1, &namespace_fd, 1) != 1 ||
      !readable(agent, PATIENCE_MS) ||
      cl_receive_with_fds(agent, &error, sizeof error, &result, 1, &count, &truncated) != sizeof error) {
    if (agent >= 0) close(agent);
    agent = LOST_AGENT;
    errno = EPERM;
    return -1;
  }
  if (count == 1) return result;
  errno = error;
  return -1;
}

int cl_namespace_socket(int namespace_fd) {
  return agent == NO_AGENT ? open_by_thread(namespace_fd) : open_by_agent(namespace_fd);
}

void cl_namespace_agent_use(int channel) { agent = channel; }

void cl_namespace_agent_detach(int channel) {
  if (channel > 0) close_range(0, (unsigned)channel - 1, 0);
  close_range((unsigned)channel + 1, ~0U, 0);
  for (int standard = 0; standard <= 2 && standard < channel; standard++) open("/dev/null", O_RDWR);
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  prctl(PR_SET_NAME, "switchd-netns");
}

void cl_namespace_agent_serve(int channel) {
  for (;;) {
    char request;
    int namespace_fd = -1, count = 0, truncated = 0;
    if (!readable(channel, -1)) return;
    ssize_t length = cl_receive_with_fds(channel, &request, 1, &namespace_fd, 1, &count, &truncated);
    if (length == 0 || (length < 0 && errno != EAGAIN)) return;
    if (length < 0) continue;
    int result = -1, error = EINVAL;
    if (count == 1) {
      result = setns(namespace_fd, CLONE_NEWNET) == 0 ? new_socket() : -1;
      error = result < 0 ? errno : 0;
      close(namespace_fd);
    }
    cl_send_with_fds(channel, &error, sizeof error, &result, result < 0 ? 0 : 1);
    if (result >= 0) close(result);
  }
}
