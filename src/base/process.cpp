#include "base/process.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"

extern char** environ;

namespace beckon {
namespace {

constexpr size_t kKeptErrors = 4096;

// Ends and reaps the child if the caller leaves early.
struct Child {
  pid_t pid = -1;
  ~Child() {
    if (pid < 0) return;
    kill(pid, SIGTERM);
    int status;
    for (int i = 0; i < 20; ++i) {
      if (waitpid(pid, &status, WNOHANG) != 0) return;
      usleep(50'000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
};

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
      fail(Kind::resource, "cannot make a pipe: {}", std::strerror(errno));
  }
  ~Pipe() {
    for (int fd : ends)
      if (fd >= 0) close(fd);
  }
  void close_writer() {
    close(ends[1]);
    ends[1] = -1;
  }
};

struct SpawnActions {
  posix_spawn_file_actions_t actions;
  SpawnActions() { posix_spawn_file_actions_init(&actions); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions); }
};

// Takes what is there; false at the end of the stream.
bool drain(int fd, std::string& text) {
  char buffer[1024];
  for (;;) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count == 0) return false;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kKeptErrors) text.erase(0, text.size() - kKeptErrors);
  }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, const std::string& folder,
                          const std::function<bool()>& poll_caller) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  Pipe errors;
  SpawnActions spawn;
  posix_spawn_file_actions_addopen(&spawn.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&spawn.actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&spawn.actions, errors.ends[1], 2);
  if (!folder.empty()) posix_spawn_file_actions_addchdir_np(&spawn.actions, folder.c_str());

  Child child;
  const int error =
      posix_spawnp(&child.pid, argv[0], &spawn.actions, nullptr, argv.data(), environ);
  if (error != 0) {
    child.pid = -1;
    return {127, std::strerror(error)};
  }
  errors.close_writer();

  ProcessResult result;
  bool open = true;
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(child.pid, &status, WNOHANG);
    if (ended == child.pid) {
      child.pid = -1;
      drain(errors.ends[0], result.errors);
      result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      return result;
    }
    if (!poll_caller()) fail(Kind::interrupted, "{}: stopped on request", arguments[0]);
    pollfd waiting{errors.ends[0], POLLIN, 0};
    if (!open || ::poll(&waiting, 1, 100) <= 0) {
      if (!open) usleep(100'000);
      continue;
    }
    open = drain(errors.ends[0], result.errors);
  }
}

}  // namespace beckon
