// numpy arrays, alone (.npy) or as members of a zip (.npz).
//   \x93NUMPY, version, length, then a Python dictionary as text:
//   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
#include "weights/npy.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"
#include "weights/zip.h"

namespace beckon::weights {
namespace {

// Reads the dictionary: three known keys in any order, strings in either quote, True and False, a
// tuple of numbers.
class Dictionary {
 public:
  Dictionary(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NpyHeader parse() {
    NpyHeader header;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      bool& seen = key == "descr" ? descr : key == "fortran_order" ? order : shape;
      if (seen || (&seen == &shape && key != "shape"))
        refuse("unknown or repeated key '" + printable(key) + "'");
      seen = true;
      if (key == "descr") {
        read_type(header);
      } else if (key == "fortran_order") {
        header.column_major = truth();
      } else {
        header.shape = sizes();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) refuse("text after the dictionary");
    if (!descr || !order || !shape) refuse("not all of descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    fail(Kind::model, "{}: npy header, character {}: {}", where_, at_, reason);
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(std::string("expected '") + c + "'");
  }
  bool accept_word(std::string_view word) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool truth() {
    if (accept_word("True")) return true;
    if (!accept_word("False")) refuse("expected True or False");
    return false;
  }
  std::string_view quoted() {
    const char quote = accept('\'') ? '\'' : accept('"') ? '"' : '\0';
    if (!quote) refuse("expected a quoted name");
    const size_t end = text_.find(quote, at_);
    if (end == text_.npos) refuse("a quote is not closed");
    const std::string_view word = text_.substr(at_, end - at_);
    at_ = end + 1;
    return word;
  }
  int64_t number() {
    skip_spaces();
    const size_t begin = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{text_[at_] - '0'}, &value))
        refuse("a size overflows");
    if (at_ == begin) refuse("expected a size");
    accept('L');  // written by Python 2
    return value;
  }
  Shape sizes() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      const int64_t size = number();
      if (shape.rank() == Shape::kMaxRank)
        fail(Kind::unsupported, "{}: more than {} dimensions", where_, Shape::kMaxRank);
      shape.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }
  void read_type(NpyHeader& header) {
    skip_spaces();
    if (at_ < text_.size() && text_[at_] == '[')
      fail(Kind::unsupported, "{}: an array of records", where_);
    const std::string_view type = quoted();
    static constexpr std::pair<std::string_view, Stored> kTypes[] = {
        {"f4", Stored::f32}, {"f2", Stored::f16}, {"f8", Stored::f64}, {"i8", Stored::i64},
        {"i4", Stored::i32}, {"i2", Stored::i16}, {"i1", Stored::i8},  {"u8", Stored::u64},
        {"u4", Stored::u32}, {"u2", Stored::u16}, {"u1", Stored::u8},  {"b1", Stored::boolean}};
    const char order = type.empty() ? '\0' : type[0];
    for (const auto& [text, stored] : kTypes) {
      if (type.substr(std::min<size_t>(type.size(), 1)) != text) continue;
      if (order != '<' && order != '>' && order != '|' && order != '=') break;
      header.stored = stored;
      header.swapped = order == '>';
      return;
    }
    if (type.ends_with("O"))
      fail(Kind::unsupported, "{}: an array of Python objects (a pickle), which is not read",
           where_);
    fail(Kind::unsupported, "{}: element type '{}', which is not read", where_, printable(type));
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

Entry make_array(const NpyHeader& header, std::string name, std::shared_ptr<const Storage> storage,
                 const std::string& where) {
  Entry entry = make_entry(std::move(name), header.stored, header.shape, std::move(storage));
  entry.swapped = header.swapped;
  if (header.column_major) entry.strides = column_major_strides(header.shape);
  check_inside(entry, where);
  const uint64_t wanted = static_cast<uint64_t>(entry.elements()) * size_of(header.stored);
  if (wanted != entry.storage->size())
    fail(Kind::model, "{}: shape {} wants {} bytes, {} follow the header", where,
         header.shape.str(), wanted, entry.storage->size());
  return entry;
}

// Enough of a member to hold its header: nearly always 128 bytes, so little is inflated to see it.
std::vector<std::byte> member_head(const File& file, const ZipMember& member) {
  constexpr size_t kUsual = 256;
  std::vector<std::byte> head = zip_head(file, member, kUsual);
  if (head.size() < kUsual) return head;
  Cursor cursor(head, file->path(), 6);
  const bool short_length = cursor.u16() == 1;
  const uint64_t length = short_length ? cursor.u16() : cursor.u32();
  return length + 12 <= kUsual ? head : zip_head(file, member, kMaxNpyHeader);
}

}  // namespace

NpyHeader read_npy_header(std::span<const std::byte> head, const std::string& where) {
  Cursor cursor(head, where + ": npy header");
  if (cursor.text(6) != "\x93NUMPY") fail(Kind::model, "{}: not a numpy array", where);
  const uint8_t major = cursor.u8(), minor = cursor.u8();
  if (major < 1 || major > 3 || minor != 0)
    fail(Kind::unsupported, "{}: npy version {}.{}; 1.0 to 3.0 are read", where, major, minor);
  const uint64_t length = major == 1 ? cursor.u16() : cursor.u32();
  if (length > kMaxNpyHeader - 12)
    fail(Kind::resource, "{}: an npy header of {} bytes", where, length);
  NpyHeader header = Dictionary(cursor.text(length), where).parse();
  header.data = cursor.position();
  return header;
}

Contents read_npy(const File& file) {
  const NpyHeader header =
      read_npy_header(file->bytes().first(std::min(file->size(), kMaxNpyHeader)), file->path());
  Contents contents{file->path(), "npy", {}, {}, {}, file->size()};
  auto storage = mapped_storage(file, header.data, file->size() - header.data);
  contents.entries.push_back(make_array(header, "array", std::move(storage), file->path()));
  return contents;
}

Contents read_npz(const File& file) {
  Contents contents{file->path(), "npz", {}, {}, {}, file->size()};
  uint64_t total = 0;
  for (const ZipMember& member : read_zip(file)) {
    if (!member.name.ends_with(".npy")) continue;
    const std::string where = fmt::format("{}: '{}'", file->path(), printable(member.name));
    if (member.deflated && (total += member.size) > allowed_bytes(file->size()))
      fail(Kind::resource,
           "{}: its arrays inflate to more than twice the file plus 64 MiB; refused as a bomb",
           file->path());
    const NpyHeader header = read_npy_header(member_head(file, member), where);
    contents.entries.push_back(
        make_array(header, std::string(member.name.substr(0, member.name.size() - 4)),
                   zip_storage(file, member, header.data), where));
  }
  return contents;
}

}  // namespace beckon::weights
