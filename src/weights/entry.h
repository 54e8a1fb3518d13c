// One tensor of a checkpoint: where its values are, how they are laid out, and how they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "beckon/checkpoint.h"
#include "weights/mapped_file.h"

namespace beckon::weights {

// Element types found in files; a superset of DType.
enum class Stored : uint8_t { f32, f16, bf16, f64, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

size_t size_of(Stored type) noexcept;
// The type the values are offered as: the same, or the next wider integer type that DType has.
DType offered_as(Stored type) noexcept;

// Bytes in memory that live as long as `owner`.
struct Bytes {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> span;
};

// Where values come from. size() is known without reading.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual uint64_t size() const noexcept = 0;
  // May decompress or decode on every call: keep the result while it is used.
  virtual Bytes bytes() const = 0;
  // True if bytes() costs nothing and its result is the file itself.
  virtual bool in_place() const noexcept { return false; }
};

// A part of a mapped file. The caller has checked that it lies inside.
std::shared_ptr<const Storage> mapped_storage(File file, uint64_t offset, uint64_t size);
// Values that no file holds.
std::shared_ptr<const Storage> memory_storage(std::vector<std::byte> bytes);

// Element (i, j, ...) of the tensor is element offset + i*strides[0] + j*strides[1] + ... of the
// storage. So a transpose, a row, a broadcast constant are entries like any other and cost nothing
// until they are read.
struct Entry {
  TensorInfo info;
  Stored stored = Stored::f32;
  bool swapped = false;  // big-endian
  Shape strides;         // in elements, same rank as info.shape, never negative
  int64_t offset = 0;    // in elements
  std::shared_ptr<const Storage> storage;

  int64_t elements() const { return info.shape.elements(); }
};

Shape row_major_strides(const Shape& shape);
Shape column_major_strides(const Shape& shape);

// A contiguous row-major entry over all of `storage`.
Entry make_entry(std::string name, Stored stored, const Shape& shape,
                 std::shared_ptr<const Storage> storage);

// Throws Error(model) unless every element of the entry lies inside its storage. `where` begins the
// message.
void check_inside(const Entry& entry, const std::string& where);

// Row-major copies. `out` has exactly elements() values.
void read_floats(const Entry& entry, std::span<float> out);
void read_integers(const Entry& entry, std::span<int64_t> out);

// Contiguous, native byte order, aligned, in the file, stored as offered.
std::optional<Checkpoint::Raw> raw_bytes(const Entry& entry);

}  // namespace beckon::weights
