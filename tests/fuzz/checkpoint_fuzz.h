// What every reader of checkpoints promises for any bytes: a checkpoint whose tensors can be read,
// or one Error in one line. Crashes, other exceptions and memory far beyond the input are defects.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "beckon/checkpoint.h"
#include "beckon/error.h"
#include "weights/impl.h"
#include "weights/names.h"

namespace beckon::fuzz {

// A message that is empty or has a line break stops the program, so that the fuzzer keeps the
// input.
template <typename Body>
void expect_value_or_error(Body body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (message.empty() || message.find('\n') != message.npos) std::abort();
  }
}

inline void read_tensors(const Checkpoint& checkpoint) {
  constexpr int64_t kLargest = 1 << 16;  // larger ones follow the same path, slowly
  std::vector<float> floats;
  std::vector<int64_t> integers;
  int64_t budget = 1 << 20;
  for (const std::string& name : checkpoint.names()) {
    const int64_t elements = checkpoint.info(name).shape.elements();
    if (elements > kLargest || (budget -= elements + 1) < 0) continue;
    expect_value_or_error([&] {
      floats.resize(static_cast<size_t>(elements));
      checkpoint.read_f32(name, floats);
      integers.resize(static_cast<size_t>(elements));
      checkpoint.read_i64(name, integers);
      if (const auto raw = checkpoint.raw(name)) {
        unsigned sum = 0;
        for (size_t i = 0; i < raw->bytes; ++i) sum += static_cast<unsigned>(raw->data[i]);
        if (sum == 0xffffffff) std::abort();  // keeps the loop
      }
    });
  }
}

template <typename Read>
int check_reader(const uint8_t* data, size_t size, Read read) {
  expect_value_or_error([&] {
    const auto file = weights::MappedFile::copy_of("input", std::as_bytes(std::span(data, size)));
    const Checkpoint checkpoint(Checkpoint::Impl::make(read(file)));
    read_tensors(checkpoint);
    expect_value_or_error([&] { read_tensors(checkpoint.unwrapped()); });
    expect_value_or_error([&] { read_tensors(sam_names(checkpoint)); });
  });
  return 0;
}

}  // namespace beckon::fuzz
