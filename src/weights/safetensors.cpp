// safetensors: u64 length of the header, the header as JSON, the values.
//   {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [begin, end]}, ..., "__metadata__":
//   {"key": "value"}}
// Offsets count from the end of the header. The format allows no gaps and no overlaps, and the
// values end with the file.
#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"
#include "weights/json_tokens.h"

namespace beckon::weights {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the format

std::optional<Stored> stored_type(std::string_view name) {
  static constexpr std::pair<std::string_view, Stored> kTypes[] = {
      {"F32", Stored::f32},     {"F16", Stored::f16}, {"BF16", Stored::bf16}, {"F64", Stored::f64},
      {"I64", Stored::i64},     {"I32", Stored::i32}, {"I16", Stored::i16},   {"I8", Stored::i8},
      {"U64", Stored::u64},     {"U32", Stored::u32}, {"U16", Stored::u16},   {"U8", Stored::u8},
      {"BOOL", Stored::boolean}};
  for (const auto& [text, type] : kTypes)
    if (text == name) return type;
  return std::nullopt;
}

// Takes the header piece by piece, so that nothing is held but the entries. Depth is at most three
// by the format: the object of tensors, a tensor, its lists.
class Header : public nlohmann::json_sax<nlohmann::json> {
 public:
  Header(const File& file, uint64_t data_begin, Contents& contents)
      : file_(file),
        data_begin_(data_begin),
        data_size_(file->size() - data_begin),
        contents_(contents) {}

  struct Range {
    uint64_t begin, end;
    size_t entry;
  };
  std::vector<Range> ranges;

  bool null() override { return stray("null"); }
  bool boolean(bool) override { return stray("true or false"); }
  bool number_float(double, const std::string& text) override { return stray(text); }
  bool number_integer(int64_t value) override { return stray(std::to_string(value)); }
  bool binary(binary_t&) override { return stray("binary"); }

  bool number_unsigned(uint64_t value) override {
    if (depth_ != 3) return stray(std::to_string(value));
    if (field_ == "shape") {
      if (value > INT64_MAX) refuse(fmt::format("size {} in its shape", value));
      if (shape_.rank() == Shape::kMaxRank)
        fail(Kind::unsupported, "{}: tensor '{}' has more than {} dimensions", file_->path(),
             printable(name_), Shape::kMaxRank);
      shape_.push_back(static_cast<int64_t>(value));
    } else {
      if (offset_count_ == 2) refuse("more than two data_offsets");
      offsets_[offset_count_++] = value;
    }
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && name_ == "__metadata__") {
      contents_.metadata[field_] = std::move(text);
      return true;
    }
    if (depth_ != 2 || field_ != "dtype") return stray("'" + printable(text) + "'");
    stored_ = stored_type(text);
    if (!stored_)
      fail(Kind::unsupported, "{}: tensor '{}' has element type '{}', which is not read",
           file_->path(), printable(name_), printable(text));
    return true;
  }

  bool key(std::string& text) override {
    if (depth_ == 1) {
      name_ = std::move(text);
    } else {
      field_ = std::move(text);
      if (name_ == "__metadata__") {
        if (contents_.metadata.count(field_))
          refuse("key '" + printable(field_) + "' occurs twice");
      } else if (!seen(field_)) {
        refuse("unknown or repeated key '" + printable(field_) + "'");
      }
    }
    return true;
  }

  bool start_object(size_t) override {
    if (++depth_ > 2) return stray("an object");
    if (depth_ == 2) {
      if (name_ == "__metadata__" && had_metadata_) refuse("occurs twice");
      had_metadata_ |= name_ == "__metadata__";
      stored_.reset();
      shape_ = {};
      offset_count_ = 0;
      seen_ = 0;
    }
    return true;
  }

  bool end_object() override {
    if (depth_-- == 2 && name_ != "__metadata__") finish_tensor();
    return true;
  }

  bool start_array(size_t) override {
    if (++depth_ != 3 || name_ == "__metadata__" || (field_ != "shape" && field_ != "data_offsets"))
      return stray("a list");
    return true;
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(Kind::model, "{}: safetensors header is not valid JSON at byte {}", file_->path(),
         8 + position);
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    fail(Kind::model, "{}: safetensors header, '{}': {}", file_->path(), printable(name_), reason);
  }

  bool stray(const std::string& what) const {
    refuse("found " + printable(what) + (field_.empty() ? "" : " at '" + printable(field_) + "'") +
           ", expected dtype, shape and data_offsets");
  }

  // True for a field of a tensor that comes for the first time.
  bool seen(const std::string& field) {
    const int bit = field == "dtype" ? 1 : field == "shape" ? 2 : field == "data_offsets" ? 4 : 0;
    const bool first = bit != 0 && (seen_ & bit) == 0;
    seen_ |= bit;
    return first;
  }

  void finish_tensor() {
    if (seen_ != 7 || !stored_) refuse("has not all of dtype, shape and data_offsets");
    if (offset_count_ != 2) refuse("has not two data_offsets");
    const auto [begin, end] = offsets_;
    if (begin > end || end > data_size_)
      refuse(fmt::format("data_offsets [{},{}] are not within the {} bytes of values", begin, end,
                         data_size_));
    if (contents_.entries.size() == kMaxTensors)
      fail(Kind::resource, "{}: more than {} tensors", file_->path(), kMaxTensors);
    Entry entry = make_entry(name_, *stored_, shape_,
                             mapped_storage(file_, data_begin_ + begin, end - begin));
    check_inside(entry, file_->path());
    const uint64_t wanted = static_cast<uint64_t>(entry.elements()) * size_of(*stored_);
    if (wanted != end - begin)
      refuse(fmt::format("data_offsets [{},{}] hold {} bytes, shape {} wants {}", begin, end,
                         end - begin, shape_.str(), wanted));
    ranges.push_back({begin, end, contents_.entries.size()});
    contents_.entries.push_back(std::move(entry));
  }

  const File& file_;
  uint64_t data_begin_, data_size_;
  Contents& contents_;
  int depth_ = 0;
  bool had_metadata_ = false;
  std::string name_, field_;
  std::optional<Stored> stored_;
  Shape shape_;
  uint64_t offsets_[2] = {0, 0};
  int offset_count_ = 0;
  int seen_ = 0;
};

}  // namespace

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 9 || bytes[8] != std::byte{'{'}) return false;
  return Cursor(bytes, "").u64() <= kMaxHeader;
}

Contents read_safetensors(const File& file) {
  Cursor cursor(file->bytes(), file->path());
  const uint64_t length = cursor.u64();
  if (length > cursor.left() || length > kMaxHeader)
    fail(Kind::model, "{}: safetensors header of {} bytes, the file has {} left (cut off?)",
         file->path(), length, cursor.left());
  const std::string_view text = cursor.text(length);

  Contents contents{file->path(), "safetensors", {}, {}, {}, file->size()};
  Header header(file, 8 + length, contents);
  check_json_tokens(text, file->path());
  nlohmann::json::sax_parse(text.begin(), text.end(), &header);

  std::sort(header.ranges.begin(), header.ranges.end(), [](const auto& a, const auto& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t end = 0;
  for (const auto& range : header.ranges) {
    if (range.begin != end)
      fail(Kind::model,
           "{}: tensor '{}' begins at byte {} of the values, the one before it ends at {} ({})",
           file->path(), printable(contents.entries[range.entry].info.name), range.begin, end,
           range.begin < end ? "they overlap" : "a gap");
    end = range.end;
  }
  if (end != file->size() - 8 - length)
    fail(Kind::model, "{}: {} bytes of values, the tensors hold {}", file->path(),
         file->size() - 8 - length, end);
  return contents;
}

}  // namespace beckon::weights
