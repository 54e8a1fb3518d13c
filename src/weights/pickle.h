// The part of Python's pickle language that a PyTorch checkpoint is written in.
//
// A pickle is a program for a small stack machine, and in Python it may call anything. This machine
// knows the names in the table of pickle.cpp and what they mean for a checkpoint (make a
// dictionary, describe a tensor); they are words, not calls. Any other name ends the reading with
// an error that says which.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/entry.h"

namespace beckon::weights::pickle {

enum class Kind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  bytes,
  list,     // also tuples and sets
  dict,     // items: key, value, key, value...
  name,     // a class or function: number is its index in the table
  storage,  // number is an index into Result::storages
  tensor,   // number is an index into Result::tensors
  opaque,   // something harmless that holds no tensors: a device, an argument list, a numpy scalar
};

// Values refer to each other by index.
using Index = uint32_t;

struct Value {
  Kind kind = Kind::none;
  Index items = 0;             // of Result::lists, for list and dict
  int64_t number = 0;          // boolean, integer; see above for others
  std::string_view text = {};  // text, bytes; lies in the pickle
};

// A storage by the key the file knows it by. Views of another storage begin `offset` elements into
// it.
struct StorageRef {
  Stored stored = Stored::u8;
  std::string_view key;
  int64_t elements = 0;
  int64_t offset = 0;
};

struct TensorRef {
  Index storage = 0;
  Stored stored = Stored::f32;
  int64_t offset = 0;  // in elements
  Shape shape, strides;
};

struct Result {
  std::vector<Value> values;
  std::vector<std::vector<Index>> lists;
  std::vector<StorageRef> storages;
  std::vector<TensorRef> tensors;
  Index root = 0;
  uint64_t used = 0;  // bytes up to and including the STOP

  const Value& operator[](Index i) const { return values[i]; }
  const std::vector<Index>& items(Index i) const { return lists[values[i].items]; }
};

// Runs one pickle of protocol 2 to 5 at the beginning of `bytes`, which must outlive the result.
// Throws Error(model) with the place for anything malformed or any name that is not in the table,
// Error(resource) for more than half a million values. `where` begins messages.
Result read(std::span<const std::byte> bytes, const std::string& where);

}  // namespace beckon::weights::pickle
