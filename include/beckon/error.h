// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>

#include "beckon/export.h"

namespace beckon {

// What went wrong, in the terms a caller acts on. exit_code() gives the program's exit code for
// each.
enum class Kind {
  usage,        // the caller asked for something that makes no sense: wrong arguments, wrong shapes
  input,        // the data is bad: a broken photo, a malformed prompt file
  missing,      // an input does not exist or cannot be opened
  model,        // a checkpoint is broken or of another kind than expected
  unavailable,  // a model is not in the store and cannot be had
  unsupported,  // valid data of a kind that is not handled
  resource,     // a limit was reached: pixels, bytes, counts
  output,       // a result cannot be written
  internal,     // a defect of Beckon
  interrupted,  // the user asked to stop
  temporary,    // trying again may help: the disk is full, another process is at work, parts are
                // missing
};

// The message is one line that names the file, the place, what was found and what was expected.
class BECKON_API Error : public std::runtime_error {
 public:
  Error(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

// 2 usage, 65 bad data, 66 no input, 69 unavailable, 70 internal, 73 cannot write, 75 try
// again, 130 interrupted.
BECKON_API int exit_code(Kind kind) noexcept;

// "usage", "input", ...: the name of the kind, as it appears in JSON.
BECKON_API const char* kind_name(Kind kind) noexcept;

}  // namespace beckon
