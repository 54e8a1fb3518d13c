#include "process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/temp_dir.h"

extern char** environ;

namespace beckon::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read = -1, write = -1;

  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe: no more descriptors");
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_read() { shut(read); }
  void close_write() { shut(write); }

 private:
  static void shut(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
};

std::vector<std::string> environment(const std::map<std::string, std::string>& set) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (set.count(text.substr(0, text.find('='))) == 0) variables.push_back(text);
  }
  for (const auto& [name, value] : set) variables.push_back(name + "=" + value);
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

// Reads what is there; false at the end.
bool drain(int from, std::string& into) {
  char buffer[1 << 16];
  const ssize_t count = ::read(from, buffer, sizeof buffer);
  if (count > 0) into.append(buffer, static_cast<size_t>(count));
  return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);  // a program that does not read its stdin must not end the test
  Pipe in, out, err;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.read, STDIN_FILENO);
  if (options.stdout_path.empty()) {
    ::posix_spawn_file_actions_adddup2(&actions, out.write, STDOUT_FILENO);
  } else {
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, options.stdout_path.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0644);
  }
  ::posix_spawn_file_actions_adddup2(&actions, err.write, STDERR_FILENO);
  if (!options.folder.empty())
    ::posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> words = arguments;
  std::vector<std::string> variables = environment(options.set);
  if (options.close_stdout_early) out.close_read();
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, words[0].c_str(), &actions, &attributes,
                                   pointers(words).data(), pointers(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw std::runtime_error(words[0] + ": " + std::strerror(error));
  in.close_read();
  out.close_write();
  err.close_write();

  Outcome outcome;
  std::string_view input = options.input;
  const Clock::time_point start = Clock::now();
  bool signalled = options.signal == 0;
  // With a signal to come, stdin stays open: a program that waits for it is still there then.
  if (input.empty() && signalled) in.close_write();
  while (out.read >= 0 || err.read >= 0) {
    pollfd streams[] = {
        {out.read, POLLIN, 0}, {err.read, POLLIN, 0}, {input.empty() ? -1 : in.write, POLLOUT, 0}};
    ::poll(streams, 3, 50);
    if (streams[0].revents != 0 && !drain(out.read, outcome.out)) out.close_read();
    if (streams[1].revents != 0 && !drain(err.read, outcome.err)) err.close_read();
    if (streams[2].revents != 0) {
      const ssize_t count = ::write(in.write, input.data(), std::min<size_t>(input.size(), 4096));
      input.remove_prefix(count > 0 ? static_cast<size_t>(count) : input.size());
      if (input.empty() && signalled) in.close_write();
    }
    const auto elapsed = Clock::now() - start;
    if (!signalled && elapsed >= options.signal_after &&
        (!options.signal_when || options.signal_when())) {
      ::kill(child, options.signal);
      signalled = true;
    }
    if (elapsed >= options.timeout) {
      ::kill(child, SIGKILL);
      ADD_FAILURE() << words[0] << " " << (words.size() > 1 ? words[1] : "")
                    << ": still running after " << options.timeout.count() << " s";
      break;
    }
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.code = code_of(status);
  return outcome;
}

Outcome run_beckon(std::vector<std::string> arguments, RunOptions options) {
  const TempDir home;
  options.set.try_emplace("BECKON_HOME", home.path().string());
  options.set.try_emplace("HF_HOME", home / "hf");
  arguments.insert(arguments.begin(), BECKON_PROGRAM);
  return run_program(arguments, options);
}

void expect_complaint(const Outcome& outcome, int code, const std::string& part) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("beckon: ")) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.ends_with("\n")) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos)
      << "expected '" << part << "' in: " << outcome.err;
}

}  // namespace beckon::test
