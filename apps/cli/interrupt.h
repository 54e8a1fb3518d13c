// What Ctrl-C and SIGTERM do.
//
// As a rule the program ends at once with code 130: nothing it computes is worth waiting for. While
// a HoldInterrupts lives the signal is only noted, so that files are written whole and temporary
// ones removed; a second signal ends the program all the same.
#pragma once

namespace beckon::cli {

// Also makes writing to a pipe that nobody reads, or beyond the limit of a file's size, an error
// instead of a death.
void install_signal_handlers();

// From any thread.
class HoldInterrupts {
 public:
  HoldInterrupts();
  ~HoldInterrupts();
  HoldInterrupts(const HoldInterrupts&) = delete;
  HoldInterrupts& operator=(const HoldInterrupts&) = delete;
};

// True once a signal came while they are held: for the callbacks of long tasks.
bool interrupted() noexcept;
// Throws Error(interrupted) if so.
void stop_if_interrupted();
// Ends the program as the signal would have, once no thread holds interrupts any more: for threads
// that cannot throw past others at work.
void exit_if_interrupted();

}  // namespace beckon::cli
