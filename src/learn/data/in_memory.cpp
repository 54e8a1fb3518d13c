// Data sets that are a few large files: MNIST's IDX and CIFAR's binary form.
#include <algorithm>
#include <sstream>

#include <zlib.h>

#include "base/fail.h"
#include "base/files.h"
#include "learn/data/labelled_data.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBytes = size_t{4} << 30;

// A reader of what a .gz holds, or of the bytes themselves.
class Unzipped {
 public:
  Unzipped(std::vector<uint8_t> bytes, std::string name)
      : bytes_(std::move(bytes)), name_(std::move(name)) {
    zipped_ = bytes_.size() >= 2 && bytes_[0] == 0x1f && bytes_[1] == 0x8b;
    if (!zipped_) return;
    stream_.next_in = bytes_.data();
    stream_.avail_in = static_cast<uInt>(bytes_.size());
    if (inflateInit2(&stream_, 15 + 16) != Z_OK)
      fail(Kind::resource, "{}: no memory to unpack it", name_);
  }
  ~Unzipped() {
    if (zipped_) inflateEnd(&stream_);
  }
  Unzipped(const Unzipped&) = delete;
  Unzipped& operator=(const Unzipped&) = delete;

  // Exactly `count` bytes. What can be at most is checked before memory is taken: deflate makes no
  // more than 1032 bytes of one.
  std::vector<uint8_t> take(size_t count) {
    const size_t most = zipped_ ? bytes_.size() * 1032 : bytes_.size() - at_;
    if (count > most || count > kMostBytes)
      fail(Kind::input, "{}: it is cut off: {} bytes more were expected", name_, count);
    std::vector<uint8_t> result(count);
    if (!zipped_) {
      std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, result.begin());
      at_ += count;
      return result;
    }
    stream_.next_out = result.data();
    stream_.avail_out = static_cast<uInt>(count);
    while (stream_.avail_out > 0) {
      const int state = inflate(&stream_, Z_NO_FLUSH);
      if (state == Z_STREAM_END && stream_.avail_out > 0)
        fail(Kind::input, "{}: it is cut off: {} bytes more were expected", name_,
             stream_.avail_out);
      if (state == Z_STREAM_END) break;
      if (state == Z_BUF_ERROR) fail(Kind::input, "{}: the compressed file is cut off", name_);
      if (state != Z_OK) fail(Kind::input, "{}: the compressed data are broken", name_);
    }
    return result;
  }
  // Nothing may follow.
  void expect_end() {
    uint8_t more = 0;
    if (!zipped_) {
      if (at_ < bytes_.size())
        fail(Kind::input, "{}: {} bytes too many", name_, bytes_.size() - at_);
      return;
    }
    stream_.next_out = &more;
    stream_.avail_out = 1;
    const int state = inflate(&stream_, Z_NO_FLUSH);
    if (stream_.avail_out == 0) fail(Kind::input, "{}: there are bytes too many", name_);
    if (state != Z_STREAM_END) fail(Kind::input, "{}: the compressed data are broken", name_);
  }

 private:
  std::vector<uint8_t> bytes_;
  std::string name_;
  bool zipped_ = false;
  size_t at_ = 0;
  z_stream stream_ = {};
};

struct Idx {
  std::vector<uint32_t> sizes;
  std::vector<uint8_t> values;
};

// Two zero bytes, 8 for unsigned bytes, the number of dimensions, their sizes (big-endian), values.
Idx read_idx(const fs::path& file, size_t dimensions) {
  Unzipped bytes(read_file(file.string()), file.string());
  const std::vector<uint8_t> magic = bytes.take(4);
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != 8 || magic[3] != dimensions)
    fail(Kind::input,
         "{}: begins with {:02x}{:02x}{:02x}{:02x}, expected 00 00 08 {:02x} of an IDX file",
         file.string(), magic[0], magic[1], magic[2], magic[3], dimensions);
  Idx idx;
  size_t count = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    const std::vector<uint8_t> b = bytes.take(4);
    const uint32_t size = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
    if (size == 0 || size > kMostBytes / count)
      fail(Kind::input, "{}: a size of {} along dimension {}", file.string(), size, d);
    count *= size;
    idx.sizes.push_back(size);
  }
  idx.values = bytes.take(count);
  bytes.expect_end();
  return idx;
}

// MNIST's files are spread with '-' and, by some tools, with '.' before "idx".
std::optional<fs::path> idx_file(const fs::path& folder, const std::string& part,
                                 const std::string& what, const std::string& form) {
  for (const char* dot : {"-", "."})
    for (const char* end : {"", ".gz"}) {
      const fs::path file = folder / (part + "-" + what + dot + form + "-ubyte" + end);
      if (fs::exists(file)) return file;
    }
  return std::nullopt;
}

std::vector<std::string> lines_of(const fs::path& file) {
  const std::vector<uint8_t> bytes = read_file(file.string(), 1 << 20);
  std::istringstream text(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

}  // namespace

std::unique_ptr<LabelledData> idx_data(const fs::path& folder) {
  if (!idx_file(folder, "train", "images", "idx3")) return nullptr;
  auto data = std::make_unique<PicturesInMemory>();
  data->layout = "idx";
  int64_t classes = 0;
  for (const auto& [name, part] : {std::pair{"train", Part::train}, {"t10k", Part::test}}) {
    const auto images = idx_file(folder, name, "images", "idx3");
    const auto labels = idx_file(folder, name, "labels", "idx1");
    if (!images && !labels && part == Part::test) continue;
    if (!images || !labels)
      fail(Kind::input, "{}: {}-{}-ubyte is missing", folder.string(), name,
           images ? "labels-idx1" : "images-idx3");
    Idx pictures = read_idx(*images, 3);
    const Idx truth = read_idx(*labels, 1);
    if (truth.sizes[0] != pictures.sizes[0])
      fail(Kind::input, "{}: {} labels for {} pictures", labels->string(), truth.sizes[0],
           pictures.sizes[0]);
    const auto height = static_cast<int>(std::min(pictures.sizes[1], 1u << 16));
    const auto width = static_cast<int>(std::min(pictures.sizes[2], 1u << 16));
    if (height == 1 << 16 || width == 1 << 16 ||
        (data->width != 0 && (width != data->width || height != data->height)))
      fail(Kind::input, "{}: pictures of {} x {}", images->string(), pictures.sizes[2],
           pictures.sizes[1]);
    data->width = width;
    data->height = height;
    std::vector<int64_t> numbers(truth.values.begin(), truth.values.end());
    for (const int64_t n : numbers) classes = std::max(classes, n + 1);
    data->add(
        {images->string(), std::move(pictures.values), 0, static_cast<size_t>(width) * height},
        part, numbers);
  }
  for (int64_t c = 0; c < classes; ++c) data->labels.push_back(std::to_string(c));
  if (fs::exists(folder / "labels.txt")) {
    const auto names = lines_of(folder / "labels.txt");
    if (names.size() != data->labels.size())
      fail(Kind::input, "{}: {} names for {} classes", (folder / "labels.txt").string(),
           names.size(), classes);
    data->labels = names;
  }
  return data;
}

std::unique_ptr<LabelledData> cifar_data(const fs::path& given) {
  fs::path folder = given;
  for (const char* below : {"cifar-10-batches-bin", "cifar-100-binary"})
    if (fs::is_directory(given / below)) folder = given / below;
  const bool hundred = fs::exists(folder / "train.bin");
  if (!hundred && !fs::exists(folder / "data_batch_1.bin")) return nullptr;
  auto data = std::make_unique<PicturesInMemory>();
  data->layout = "cifar";
  data->width = data->height = 32;
  data->channels = 3;
  data->planes = true;
  // CIFAR-100 has a coarse and a fine class before the pixels, CIFAR-10 one class.
  constexpr size_t kPixels = 3072;
  const size_t before = hundred ? 2 : 1, record = before + kPixels;
  const int64_t classes = hundred ? 100 : 10;
  const auto add = [&](const std::string& name, Part part) {
    const fs::path file = folder / name;
    if (!fs::exists(file)) return;
    std::vector<uint8_t> bytes = read_file(file.string());
    if (bytes.empty() || bytes.size() % record != 0)
      fail(Kind::input, "{}: {} bytes, expected a multiple of {}", file.string(), bytes.size(),
           record);
    std::vector<int64_t> numbers;
    for (size_t at = before - 1; at < bytes.size(); at += record) {
      if (bytes[at] >= classes)
        fail(Kind::input, "{}: picture {} is of class {}, expected 0 to {}", file.string(),
             at / record, bytes[at], classes - 1);
      numbers.push_back(bytes[at]);
    }
    data->add({file.string(), std::move(bytes), before, record}, part, numbers);
  };
  if (hundred) {
    add("train.bin", Part::train);
    add("test.bin", Part::test);
  } else {
    for (int i = 1; i <= 5; ++i) add(fmt::format("data_batch_{}.bin", i), Part::train);
    add("test_batch.bin", Part::test);
  }
  for (int64_t c = 0; c < classes; ++c) data->labels.push_back(std::to_string(c));
  const fs::path names = folder / (hundred ? "fine_label_names.txt" : "batches.meta.txt");
  if (fs::exists(names)) {
    const auto lines = lines_of(names);
    if (static_cast<int64_t>(lines.size()) != classes)
      fail(Kind::input, "{}: {} names for {} classes", names.string(), lines.size(), classes);
    data->labels = lines;
  }
  return data;
}

}  // namespace beckon::learn
