#include "interrupt.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <thread>

#include <unistd.h>

#include "base/fail.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

constexpr int kInterruptedCode = 130;

// A handler may only touch what is free of locks.
std::atomic<int> held{0};
static_assert(std::atomic<int>::is_always_lock_free);
volatile std::sig_atomic_t noted = 0;
// Chosen before the handlers are installed: a handler may call write and _exit, hardly anything
// else.
const char* farewell = "beckon: interrupted\n";

[[noreturn]] void leave() {
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, farewell, std::strlen(farewell));
  ::_exit(kInterruptedCode);
}

void on_interrupt(int) {
  if (held > 0 && noted == 0) {
    noted = 1;
    return;
  }
  leave();
}

void on_refused_write(int) {}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signal_handlers() {
  if (stderr_is_terminal()) farewell = "\r\x1b[Kbeckon: interrupted\n";  // over a progress line
  handle(SIGINT, on_interrupt);
  handle(SIGTERM, on_interrupt);
  // A handler that does nothing, not SIG_IGN: programs that we start would inherit the latter.
  handle(SIGPIPE, on_refused_write);
  handle(SIGXFSZ, on_refused_write);
}

HoldInterrupts::HoldInterrupts() { ++held; }
HoldInterrupts::~HoldInterrupts() { --held; }

bool interrupted() noexcept { return noted != 0; }

void stop_if_interrupted() {
  if (interrupted()) fail(Kind::interrupted, "interrupted");
}

void exit_if_interrupted() {
  if (!interrupted()) return;
  while (held > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  leave();
}

}  // namespace beckon::cli
