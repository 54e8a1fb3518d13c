#include "weights/entry.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/fail.h"
#include "weights/cursor.h"

namespace beckon::weights {
namespace {

class MappedStorage final : public Storage {
 public:
  MappedStorage(File file, uint64_t offset, uint64_t size)
      : file_(std::move(file)), offset_(offset), size_(size) {}
  uint64_t size() const noexcept override { return size_; }
  Bytes bytes() const override { return {file_, file_->bytes().subspan(offset_, size_)}; }
  bool in_place() const noexcept override { return true; }

 private:
  File file_;
  uint64_t offset_, size_;
};

class MemoryStorage final : public Storage {
 public:
  explicit MemoryStorage(std::vector<std::byte> bytes)
      : bytes_(std::make_shared<const std::vector<std::byte>>(std::move(bytes))) {}
  uint64_t size() const noexcept override { return bytes_->size(); }
  Bytes bytes() const override { return {bytes_, *bytes_}; }

 private:
  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

template <typename T>
T byte_swapped(T value) {
  auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
  std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

// How an element of each stored type becomes Out. `Bits` is what lies in the file.
struct HalfToFloat {
  float operator()(uint16_t bits) const { return half_to_float(bits); }
};
struct BfloatToFloat {
  float operator()(uint16_t bits) const { return bfloat16_to_float(bits); }
};
struct ToBool {
  uint8_t operator()(uint8_t value) const { return value != 0; }
};
struct Same {
  template <typename T>
  T operator()(T value) const {
    return value;
  }
};

// A float that no integer can hold becomes the nearest one that can; NaN becomes 0.
template <typename Out, typename In>
Out convert(In value) {
  if constexpr (std::is_floating_point_v<In> && std::is_integral_v<Out>) {
    if (!(value > -9.2233720368547758e18)) return value == value ? INT64_MIN : 0;
    if (value >= 9.2233720368547758e18) return INT64_MAX;
  }
  return static_cast<Out>(value);
}

template <typename Out, typename Bits, typename Decode>
struct Reader {
  const std::byte* base;
  bool swapped;

  Out at(int64_t index) const {
    Bits value;
    std::memcpy(&value, base + static_cast<size_t>(index) * sizeof(Bits), sizeof(Bits));
    if (swapped) value = byte_swapped(value);
    return convert<Out>(Decode{}(value));
  }

  void run(int64_t start, int64_t stride, int64_t count, Out* out) const {
    if constexpr (std::is_same_v<Out, Bits>) {
      if (stride == 1 && !swapped) {
        std::memcpy(out, base + static_cast<size_t>(start) * sizeof(Bits),
                    static_cast<size_t>(count) * sizeof(Bits));
        return;
      }
    }
    for (int64_t i = 0; i < count; ++i) out[i] = at(start + i * stride);
  }
};

// The layout with sizes of one dropped and neighbours merged that are one run in memory.
struct Layout {
  std::vector<int64_t> sizes, strides;
};

Layout simplified(const Entry& entry) {
  Layout layout;
  for (int i = 0; i < entry.info.shape.rank(); ++i) {
    const int64_t size = entry.info.shape[i], stride = entry.strides[i];
    if (size == 1) continue;
    if (!layout.sizes.empty() && layout.strides.back() == stride * size) {
      layout.sizes.back() *= size;
      layout.strides.back() = stride;
    } else {
      layout.sizes.push_back(size);
      layout.strides.push_back(stride);
    }
  }
  if (layout.sizes.empty()) layout = {{1}, {1}};
  return layout;
}

// out[rows][columns] from elements start + r * row_stride + c * column_stride. Tiles keep the lines
// of both sides in the cache: a transpose touches 32 source lines at a time instead of `columns`.
template <typename Out, typename R>
void copy_matrix(const R& reader, int64_t start, int64_t rows, int64_t columns, int64_t row_stride,
                 int64_t column_stride, Out* out) {
  if (column_stride == 1 || row_stride != 1) {
    for (int64_t r = 0; r < rows; ++r)
      reader.run(start + r * row_stride, column_stride, columns, out + r * columns);
    return;
  }
  constexpr int64_t kTile = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (int64_t c0 = 0; c0 < columns; c0 += kTile)
      for (int64_t r = r0; r < std::min(r0 + kTile, rows); ++r)
        for (int64_t c = c0; c < std::min(c0 + kTile, columns); ++c)
          out[r * columns + c] = reader.at(start + r * row_stride + c * column_stride);
}

template <typename Out, typename R>
void copy_all(const R& reader, const Layout& layout, int64_t offset, Out* out) {
  const size_t rank = layout.sizes.size();
  if (rank == 1) return reader.run(offset, layout.strides[0], layout.sizes[0], out);
  const int64_t rows = layout.sizes[rank - 2], columns = layout.sizes[rank - 1];
  std::vector<int64_t> index(rank - 2, 0);
  for (;;) {
    int64_t start = offset;
    for (size_t i = 0; i < index.size(); ++i) start += index[i] * layout.strides[i];
    copy_matrix(reader, start, rows, columns, layout.strides[rank - 2], layout.strides[rank - 1],
                out);
    out += rows * columns;
    size_t i = index.size();
    while (i > 0 && ++index[i - 1] == layout.sizes[i - 1]) index[--i] = 0;
    if (i == 0) return;
  }
}

template <typename Out>
void read_as(const Entry& entry, std::span<Out> out) {
  if (out.empty()) return;
  const Bytes bytes = entry.storage->bytes();
  const Layout layout = simplified(entry);
  const auto copy = [&]<typename Bits, typename Decode>(Bits, Decode) {
    copy_all(Reader<Out, Bits, Decode>{bytes.span.data(), entry.swapped}, layout, entry.offset,
             out.data());
  };
  switch (entry.stored) {
    case Stored::f32:
      return copy(float{}, Same{});
    case Stored::f16:
      return copy(uint16_t{}, HalfToFloat{});
    case Stored::bf16:
      return copy(uint16_t{}, BfloatToFloat{});
    case Stored::f64:
      return copy(double{}, Same{});
    case Stored::i64:
      return copy(int64_t{}, Same{});
    case Stored::i32:
      return copy(int32_t{}, Same{});
    case Stored::i16:
      return copy(int16_t{}, Same{});
    case Stored::i8:
      return copy(int8_t{}, Same{});
    case Stored::u64:
      return copy(uint64_t{}, Same{});
    case Stored::u32:
      return copy(uint32_t{}, Same{});
    case Stored::u16:
      return copy(uint16_t{}, Same{});
    case Stored::u8:
      return copy(uint8_t{}, Same{});
    case Stored::boolean:
      return copy(uint8_t{}, ToBool{});
  }
}

}  // namespace

size_t size_of(Stored type) noexcept {
  switch (type) {
    case Stored::f64:
    case Stored::i64:
    case Stored::u64:
      return 8;
    case Stored::f32:
    case Stored::i32:
    case Stored::u32:
      return 4;
    case Stored::f16:
    case Stored::bf16:
    case Stored::i16:
    case Stored::u16:
      return 2;
    case Stored::i8:
    case Stored::u8:
    case Stored::boolean:
      return 1;
  }
  return 1;
}

DType offered_as(Stored type) noexcept {
  switch (type) {
    case Stored::f32:
      return DType::f32;
    case Stored::f16:
      return DType::f16;
    case Stored::bf16:
      return DType::bf16;
    case Stored::f64:
      return DType::f64;
    case Stored::i64:
    case Stored::u64:
    case Stored::u32:
      return DType::i64;
    case Stored::i32:
    case Stored::i16:
    case Stored::i8:
    case Stored::u16:
      return DType::i32;
    case Stored::u8:
      return DType::u8;
    case Stored::boolean:
      return DType::boolean;
  }
  return DType::f32;
}

std::shared_ptr<const Storage> mapped_storage(File file, uint64_t offset, uint64_t size) {
  return std::make_shared<MappedStorage>(std::move(file), offset, size);
}

std::shared_ptr<const Storage> memory_storage(std::vector<std::byte> bytes) {
  return std::make_shared<MemoryStorage>(std::move(bytes));
}

// Sizes and strides come from files, so these may not overflow; a shape whose product does is
// refused elsewhere.
Shape row_major_strides(const Shape& shape) {
  Shape strides = shape;
  uint64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = static_cast<int64_t>(stride);
    stride *= static_cast<uint64_t>(shape[i]);
  }
  return strides;
}

Shape column_major_strides(const Shape& shape) {
  Shape strides = shape;
  uint64_t stride = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    strides[i] = static_cast<int64_t>(stride);
    stride *= static_cast<uint64_t>(shape[i]);
  }
  return strides;
}

Entry make_entry(std::string name, Stored stored, const Shape& shape,
                 std::shared_ptr<const Storage> storage) {
  Entry entry;
  entry.info = {std::move(name), offered_as(stored), shape};
  entry.stored = stored;
  entry.strides = row_major_strides(shape);
  entry.storage = std::move(storage);
  return entry;
}

void check_inside(const Entry& entry, const std::string& where) {
  const auto refuse = [&](const std::string& reason) {
    fail(Kind::model, "{}: tensor '{}' of shape {}: {}", where, printable(entry.info.name),
         entry.info.shape.str(), reason);
  };
  int64_t elements = 1;
  bool empty = false;
  for (int64_t size : entry.info.shape) {
    if (size < 0) refuse("a size is negative");
    if (size == 0) empty = true;
  }
  for (int64_t size : entry.info.shape)
    if (__builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements))
      refuse("the sizes overflow");
  int64_t last = entry.offset;
  if (entry.offset < 0) refuse("it begins before its storage");
  for (int i = 0; i < entry.info.shape.rank(); ++i) {
    int64_t reach = 0;
    if (entry.strides[i] < 0) refuse("a stride is negative");
    if (empty) continue;
    if (__builtin_mul_overflow(entry.info.shape[i] - 1, entry.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last))
      refuse("its strides overflow");
  }
  const uint64_t held = entry.storage->size() / size_of(entry.stored);
  if (!empty && static_cast<uint64_t>(last) >= held)
    refuse(fmt::format("it reaches element {}, its storage has {}", last, held));
}

void read_floats(const Entry& entry, std::span<float> out) { read_as<float>(entry, out); }

void read_integers(const Entry& entry, std::span<int64_t> out) { read_as<int64_t>(entry, out); }

std::optional<Checkpoint::Raw> raw_bytes(const Entry& entry) {
  const size_t size = size_of(entry.stored);
  if (!entry.storage->in_place() || (entry.swapped && size > 1) ||
      size != beckon::size_of(entry.info.dtype))
    return std::nullopt;
  // A byte that is neither 0 nor 1 is no bool, and u64 is offered as i64 after a look at each
  // value.
  if (entry.stored == Stored::u64 || entry.stored == Stored::boolean) return std::nullopt;
  const int64_t elements = entry.elements();
  const Layout layout = simplified(entry);
  if (elements > 1 && (layout.sizes.size() != 1 || layout.strides[0] != 1)) return std::nullopt;
  const Bytes bytes = entry.storage->bytes();
  Checkpoint::Raw raw{bytes.owner, bytes.span.data(), static_cast<size_t>(elements) * size};
  if (elements == 0) return raw;
  raw.data += static_cast<size_t>(entry.offset) * size;
  if (reinterpret_cast<uintptr_t>(raw.data) % size != 0) return std::nullopt;
  return raw;
}

}  // namespace beckon::weights
