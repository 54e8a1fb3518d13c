#include "weights/tar.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fail.h"
#include "weights/cursor.h"

namespace beckon::weights {
namespace {

constexpr size_t kBlock = 512;

class GzipFile {
 public:
  GzipFile(const std::string& path, uint64_t limit) : path_(path), left_(limit) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) file_ = gzdopen(fd, "rb");
    if (!file_) {
      if (fd >= 0) close(fd);
      fail(Kind::missing, "{}: cannot open: {}", path, std::strerror(errno));
    }
    gzbuffer(file_, 256 << 10);
  }
  ~GzipFile() { gzclose(file_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  void read(std::span<std::byte> out) {
    if (out.size() > left_) fail(Kind::resource, "{}: the archive is larger than expected", path_);
    left_ -= out.size();
    const int count = gzread(file_, out.data(), static_cast<unsigned>(out.size()));
    if (count < 0 || static_cast<size_t>(count) != out.size())
      fail(Kind::model, "{}: the archive is broken or cut off", path_);
  }

 private:
  const std::string& path_;
  uint64_t left_;
  gzFile file_ = nullptr;
};

// A text field ends with NUL or with the field.
std::string_view text_field(std::span<const std::byte> header, size_t at, size_t size) {
  const std::string_view text = as_text(header.subspan(at, size));
  return text.substr(0, text.find('\0'));
}

uint64_t octal_field(std::string_view text, const std::string& path) {
  uint64_t value = 0;
  for (char c : text) {
    if (c == ' ') continue;
    if (c < '0' || c > '7' || value >> 60)
      fail(Kind::model, "{}: a tar header with a bad number", path);
    value = value * 8 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

}  // namespace

void read_tgz(const std::string& path, uint64_t limit,
              const std::function<bool(std::string_view, uint64_t)>& begin,
              const std::function<void(std::span<const std::byte>)>& data) {
  GzipFile file(path, limit);
  std::array<std::byte, kBlock> header;
  std::vector<std::byte> buffer(256 << 10);
  for (;;) {
    file.read(header);
    if (std::all_of(header.begin(), header.end(), [](std::byte b) { return b == std::byte{0}; }))
      return;
    unsigned sum = 0;  // of the header, with the checksum field as spaces
    for (size_t i = 0; i < kBlock; ++i)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned>(header[i]);
    if (sum != octal_field(text_field(header, 148, 8), path))
      fail(Kind::model, "{}: not a tar archive", path);
    std::string name(text_field(header, 0, 100));
    const bool ustar = as_text(std::span(header).subspan(257, 5)) == "ustar";
    if (const std::string_view prefix = text_field(header, 345, 155); ustar && !prefix.empty())
      name.insert(0, 1, '/').insert(0, prefix);
    const uint64_t size = octal_field(text_field(header, 124, 12), path);
    const char type = static_cast<char>(header[156]);
    const bool wanted = (type == '0' || type == '\0') && begin(name, size);
    for (uint64_t left = (size + kBlock - 1) / kBlock * kBlock, bytes = size; left > 0;) {
      const size_t step = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
      file.read(std::span(buffer).first(step));
      const size_t real = static_cast<size_t>(std::min<uint64_t>(bytes, step));
      if (wanted && real > 0) data(std::span(buffer).first(real));
      left -= step;
      bytes -= real;
    }
  }
}

}  // namespace beckon::weights
