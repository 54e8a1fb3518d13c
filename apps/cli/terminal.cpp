#include "terminal.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon::cli {
namespace {

// 0, or the error number.
int write_all(int stream, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(stream, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// Empty if it is not set.
std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string printable(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      line += "\\n";
    else if (byte < 0x20 || byte == 0x7f)
      line += fmt::format("\\x{:02x}", byte);
    else
      line += c;
  }
  return line;
}

}  // namespace

void print(std::string_view text) {
  const int error = write_all(STDOUT_FILENO, text);
  if (error == EPIPE) throw ReaderGone{};
  if (error != 0) fail(Kind::output, "standard output: cannot write: {}", std::strerror(error));
}

void print(std::span<const uint8_t> bytes) {
  print(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string on_one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = '?';
  return text;
}

void complain(std::string_view message) {
  const char* name = stderr_has_colour() ? "\x1b[1;31mbeckon:\x1b[0m " : "beckon: ";
  // There is nowhere left to report a failure to.
  write_all(STDERR_FILENO, name + printable(message) + "\n");
}

void show(std::string_view text) { write_all(STDERR_FILENO, text); }

void say(std::string_view message) { write_all(STDERR_FILENO, printable(message) + "\n"); }

bool stderr_is_terminal() {
  static const bool terminal =
      ::isatty(STDERR_FILENO) == 1 && !variable("TERM").empty() && variable("TERM") != "dumb";
  return terminal;
}

bool stderr_has_colour() { return stderr_is_terminal() && variable("NO_COLOR").empty(); }

void open_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) == -1 && errno == EBADF) {
      // The lowest free number is this stream. Opened the wrong way round on purpose: using it is
      // an error as before.
      ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

Progress::Progress(std::string label)
    : label_(std::move(label)),
      next_draw_(std::chrono::steady_clock::now()),
      visible_(stderr_is_terminal()) {}

Progress::~Progress() {
  if (drawn_) write_all(STDERR_FILENO, "\r\x1b[K");
}

void Progress::update(uint64_t done, uint64_t total) {
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  std::string line = "\r\x1b[K" + label_ + "  ";
  if (total > 0) {
    constexpr int kWidth = 28;
    const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const int filled = static_cast<int>(part * kWidth);
    line += fmt::format("[{:=<{}}{: <{}}] {:3.0f}%  {} of {}", "", filled, "", kWidth - filled,
                        100 * part, human_bytes(done), human_bytes(total));
  } else {
    line += human_bytes(done);
  }
  write_all(STDERR_FILENO, line);
  drawn_ = true;
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  const char* const units[] = {"kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(units); ++unit) value /= 1000;
  return fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace beckon::cli
