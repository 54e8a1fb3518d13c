// What hostile files have coming.
#pragma once

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {

// The promise is 100 ms; a busy machine and sanitizers take more.
#ifdef NDEBUG
inline constexpr std::chrono::seconds kPatience(1);
#else
inline constexpr std::chrono::seconds kPatience(20);
#endif

// Opening the file, and reading all its tensors if it opens, must end in an Error of this kind, in
// one line that has the path and `part`, soon.
inline void expect_refused(const std::string& bytes, Kind kind, const std::string& part) {
  TempDir folder;
  const std::string path = folder.write("hostile", bytes);
  const auto begin = std::chrono::steady_clock::now();
  try {
    const Checkpoint file = Checkpoint::open(path);
    for (const std::string& name : file.names()) file.f32(name);
    ADD_FAILURE() << "opened with " << file.names().size() << " tensors, expected an error about "
                  << part;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(kind_name(error.kind()), std::string(kind_name(kind))) << message;
    EXPECT_NE(message.find(part), message.npos) << message;
    EXPECT_NE(message.find(path), message.npos) << message;
    EXPECT_EQ(message.find('\n'), message.npos) << message;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatience);
}

// A file that is cut off anywhere must not open, and must not do worse than an Error.
inline void expect_all_prefixes_refused(const std::string& bytes) {
  TempDir folder;
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::string path = folder.write("cut", bytes.substr(0, length));
    try {
      const Checkpoint file = Checkpoint::open(path);
      ADD_FAILURE() << "opened when cut to " << length << " of " << bytes.size() << " bytes";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

}  // namespace beckon::test
