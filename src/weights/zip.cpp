#include "weights/zip.h"

#include <algorithm>
#include <unordered_set>

#include <zlib.h>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"

namespace beckon::weights {
namespace {

constexpr uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr uint64_t kEndSize = 22, kLocator64Size = 20, kEnd64Size = 56;
constexpr size_t kMaxMembers = kMaxTensors + 1000;

struct Directory {
  uint64_t offset = 0, size = 0, count = 0;
};

// The end record is the last thing in the file but for a comment of at most 64 KiB that it
// declares.
uint64_t find_end(const File& file) {
  const auto bytes = file->bytes();
  const uint64_t lowest = bytes.size() > kEndSize + 65535 ? bytes.size() - kEndSize - 65535 : 0;
  for (uint64_t at = bytes.size() < kEndSize ? 0 : bytes.size() - kEndSize + 1; at-- > lowest;) {
    Cursor cursor(bytes, file->path(), at);
    if (cursor.u32() != kEndMagic) continue;
    cursor.skip(16);
    if (cursor.u16() == cursor.left()) return at;
  }
  fail(Kind::model, "{}: a zip file without its directory at the end (cut off?)", file->path());
}

Directory find_directory(const File& file) {
  const std::string where = file->path() + ": zip end record";
  const uint64_t end = find_end(file);
  Cursor cursor(file->bytes(), where, end + 4);
  const uint16_t disk = cursor.u16(), directory_disk = cursor.u16();
  const uint16_t count_here = cursor.u16(), count = cursor.u16();
  const uint32_t size = cursor.u32(), offset = cursor.u32();
  Directory directory{offset, size, count};
  uint64_t directory_end = end;

  const bool has_64 = end >= kLocator64Size &&
                      Cursor(file->bytes(), where, end - kLocator64Size).u32() == kLocator64Magic;
  if (!has_64) {
    if (disk != 0 || directory_disk != 0 || count_here != count)
      fail(Kind::unsupported, "{}: an archive of several volumes", where);
  } else {
    Cursor locator(file->bytes(), where, end - kLocator64Size + 4);
    locator.skip(4);
    const uint64_t at = locator.u64();
    // The record may grow by extensions nobody uses; only the plain one, right before its locator,
    // is accepted.
    if (at != end - kLocator64Size - kEnd64Size || end < kLocator64Size + kEnd64Size)
      fail(Kind::model, "{}: the zip64 record is said to be at {}, which is not before its locator",
           where, at);
    Cursor record(file->bytes(), where, at);
    if (record.u32() != kEnd64Magic) fail(Kind::model, "{}: no zip64 record at {}", where, at);
    record.skip(8 + 2 + 2);
    const uint32_t disk_64 = record.u32(), directory_disk_64 = record.u32();
    const uint64_t count_here_64 = record.u64();
    directory = {.offset = 0, .size = 0, .count = record.u64()};
    directory.size = record.u64();
    directory.offset = record.u64();
    if (disk_64 != 0 || directory_disk_64 != 0 || count_here_64 != directory.count)
      fail(Kind::unsupported, "{}: an archive of several volumes", where);
    if ((count != 0xffff && count != directory.count) ||
        (size != 0xffffffff && size != directory.size) ||
        (offset != 0xffffffff && offset != directory.offset))
      fail(Kind::model, "{}: the zip64 record and the plain one contradict each other", where);
    directory_end = at;
  }
  if (directory.offset > directory_end || directory.size != directory_end - directory.offset)
    fail(Kind::model, "{}: a directory of {} bytes at {} does not end at {}", where, directory.size,
         directory.offset, directory_end);
  return directory;
}

// Fields that do not fit 32 bits are all ones, and stand in an extra field of id 1 in this order.
void read_zip64_extra(Cursor extra, uint64_t& size, uint64_t& packed, uint64_t& offset) {
  const bool wanted = size == 0xffffffff || packed == 0xffffffff || offset == 0xffffffff;
  while (wanted && extra.left() >= 4) {
    const uint16_t id = extra.u16();
    Cursor field(extra.take(extra.u16()), extra.where());
    if (id != 1) continue;
    if (size == 0xffffffff) size = field.u64();
    if (packed == 0xffffffff) packed = field.u64();
    if (offset == 0xffffffff) offset = field.u64();
    return;
  }
}

void check_name(const std::string& where, std::string_view name) {
  bool bad = name.empty() || name[0] == '/' || name.find('\0') != name.npos ||
             name.find('\\') != name.npos;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    bad |= name.substr(begin, end - begin) == "..";
    begin = end + 1;
  }
  if (bad)
    fail(Kind::model, "{}: member name '{}' is not a plain relative path", where, printable(name));
}

// Moves member.offset from the local header to the data, and holds the header against the
// directory.
void enter_member(const File& file, ZipMember& member, uint64_t data_end) {
  const std::string where =
      fmt::format("{}: zip member '{}'", file->path(), printable(member.name));
  if (member.offset > data_end)
    fail(Kind::model, "{}: begins at {}, past the data", where, member.offset);
  Cursor local(file->bytes().first(data_end), where, member.offset);
  if (local.u32() != kLocalMagic) fail(Kind::model, "{}: no header at {}", where, member.offset);
  local.skip(2);
  const uint16_t flags = local.u16(), method = local.u16();
  local.skip(4 + 4);
  const uint32_t packed = local.u32(), size = local.u32();
  const uint16_t name_length = local.u16(), extra_length = local.u16();
  if (local.text(name_length) != member.name)
    fail(Kind::model, "{}: has another name in its own header", where);
  if (method != (member.deflated ? 8 : 0))
    fail(Kind::model, "{}: has another method in its own header", where);
  // Bit 3: sizes follow the data, and the header has zeros.
  const bool sizes_here = (flags & 8) == 0;
  if (sizes_here && ((packed != 0xffffffff && packed != member.packed) ||
                     (size != 0xffffffff && size != member.size)))
    fail(Kind::model,
         "{}: has other sizes in its own header ({} of {}) than in the directory ({} of {})", where,
         packed, size, member.packed, member.size);
  local.skip(extra_length);
  if (member.packed > local.left())
    fail(Kind::model, "{}: {} bytes at {} reach past the data, which ends at {}", where,
         member.packed, local.position(), data_end);
  member.offset = local.position();
}

ZipMember read_member(Cursor& cursor) {
  ZipMember member;
  const uint64_t at = cursor.position();
  if (cursor.u32() != kCentralMagic) fail(Kind::model, "{}: no entry at {}", cursor.where(), at);
  cursor.skip(4);
  const uint16_t flags = cursor.u16(), method = cursor.u16();
  cursor.skip(4);
  member.crc = cursor.u32();
  member.packed = cursor.u32();
  member.size = cursor.u32();
  const uint16_t name_length = cursor.u16(), extra_length = cursor.u16(),
                 comment_length = cursor.u16();
  cursor.skip(2 + 2 + 4);
  member.offset = cursor.u32();
  member.name = cursor.text(name_length);
  check_name(cursor.where(), member.name);
  const std::string where = fmt::format("{}: '{}'", cursor.where(), printable(member.name));
  read_zip64_extra(Cursor(cursor.take(extra_length), where + ": extra field"), member.size,
                   member.packed, member.offset);
  cursor.skip(comment_length);
  if (flags & (1 | 64 | 8192)) fail(Kind::unsupported, "{}: is encrypted", where);
  if (method != 0 && method != 8)
    fail(Kind::unsupported, "{}: compression method {}; stored and deflated are read", where,
         method);
  member.deflated = method == 8;
  if (!member.deflated && member.packed != member.size)
    fail(Kind::model, "{}: stored, but of {} bytes in {}", where, member.size, member.packed);
  if (member.deflated && member.size / 1032 > member.packed)
    fail(Kind::resource, "{}: claims {} bytes out of {}, more than deflate can do", where,
         member.size, member.packed);
  return member;
}

class Inflater {
 public:
  Inflater(const File& file, const ZipMember& member)
      : where_(fmt::format("{}: zip member '{}'", file->path(), printable(member.name))) {
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK)
      fail(Kind::resource, "{}: no memory to inflate", where_);
    input_ = file->bytes().subspan(member.offset, member.packed);
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Fills `out` as far as the stream goes; returns the bytes written.
  size_t read(std::span<std::byte> out) {
    constexpr size_t kStep = size_t{1} << 30;  // zlib counts in 32 bits
    size_t written = 0;
    while (written < out.size() && !ended_) {
      const size_t give = std::min(input_.size(), kStep),
                   want = std::min(out.size() - written, kStep);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input_.data()));
      stream_.avail_in = static_cast<uInt>(give);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + written);
      stream_.avail_out = static_cast<uInt>(want);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      const size_t taken = give - stream_.avail_in, made = want - stream_.avail_out;
      input_ = input_.subspan(taken);
      written += made;
      ended_ = status == Z_STREAM_END;
      if (status != Z_OK && !ended_ && !(status == Z_BUF_ERROR && made + taken > 0))
        fail(Kind::model, "{}: the deflated data is broken after {} bytes", where_,
             stream_.total_out);
    }
    return written;
  }

  bool ended() {
    std::byte more;
    return ended_ || (read({&more, 1}) == 0 && ended_);
  }
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  z_stream stream_{};
  std::span<const std::byte> input_;
  bool ended_ = false;
};

class DeflatedStorage final : public Storage {
 public:
  DeflatedStorage(File file, const ZipMember& member, uint64_t skip)
      : file_(std::move(file)), member_(member), skip_(skip) {}
  uint64_t size() const noexcept override { return member_.size - skip_; }

  Bytes bytes() const override {
    Inflater inflater(file_, member_);
    auto data = std::make_shared<std::vector<std::byte>>(member_.size);
    if (inflater.read(*data) != member_.size || !inflater.ended())
      fail(Kind::model, "{}: does not inflate to the {} bytes it declares", inflater.where(),
           member_.size);
    if (crc32_z(0, reinterpret_cast<const Bytef*>(data->data()), data->size()) != member_.crc)
      fail(Kind::model, "{}: the checksum is wrong", inflater.where());
    return {data, std::span<const std::byte>(*data).subspan(skip_)};
  }

 private:
  File file_;
  ZipMember member_;
  uint64_t skip_;
};

}  // namespace

std::vector<ZipMember> read_zip(const File& file) {
  const Directory directory = find_directory(file);
  const std::string where = file->path() + ": zip directory";
  if (directory.count > kMaxMembers)
    fail(Kind::resource, "{}: {} members, at most {} are read", where, directory.count,
         kMaxMembers);
  Cursor cursor(file->bytes().subspan(directory.offset, directory.size), where);
  std::vector<ZipMember> members;
  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < directory.count; ++i) {
    members.push_back(read_member(cursor));
    if (!names.insert(members.back().name).second)
      fail(Kind::model, "{}: '{}' occurs twice", where, printable(members.back().name));
  }
  if (!cursor.done())
    fail(Kind::model, "{}: {} bytes after its {} entries", where, cursor.left(), directory.count);

  std::sort(members.begin(), members.end(),
            [](const ZipMember& a, const ZipMember& b) { return a.offset < b.offset; });
  uint64_t end = 0;
  for (ZipMember& member : members) {
    if (member.offset < end)
      fail(Kind::model, "{}: '{}' at {} overlaps the member before it, which ends at {}", where,
           printable(member.name), member.offset, end);
    enter_member(file, member, directory.offset);
    end = member.offset + member.packed;
  }
  return members;
}

std::shared_ptr<const Storage> zip_storage(const File& file, const ZipMember& member,
                                           uint64_t skip) {
  if (!member.deflated) return mapped_storage(file, member.offset + skip, member.size - skip);
  return std::make_shared<DeflatedStorage>(file, member, skip);
}

std::vector<std::byte> zip_head(const File& file, const ZipMember& member, uint64_t count) {
  std::vector<std::byte> head(std::min(count, member.size));
  if (!member.deflated) {
    std::memcpy(head.data(), file->bytes().data() + member.offset, head.size());
  } else {
    head.resize(Inflater(file, member).read(head));
  }
  return head;
}

}  // namespace beckon::weights
