#include "beckon/embedding_cache.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "models/sam/seen.h"

namespace beckon {

namespace fs = std::filesystem;

// To be raised when an encoder's numbers change by more than rounding.
constexpr int kFormat = 1;
constexpr uint64_t kDefaultLimit = 2'000'000'000;
constexpr size_t kDigits = 64;
// What a killed process left behind is removed when it is so many seconds old.
constexpr int64_t kStale = 600;
// A file that changed less than this many seconds ago may change again without its times showing.
constexpr int64_t kSettled = 2;

// Everything an entry must say of itself.
struct EmbeddingCache::Key {
  std::string model;   // hash
  std::string pixels;  // hash
  ImageSize image;
  Shape shape;  // of the embedding, [1,h,w,C]

  std::string header(DType dtype) const {
    return fmt::format(
        "beckon embedding {}\nmodel {}\npixels {}\nimage {} {}\nvalues {} {} {} {}\n", kFormat,
        model, pixels, image.width, image.height, name_of(dtype), shape[1], shape[2], shape[3]);
  }
  std::string path(const std::string& folder, DType dtype) const {
    return (fs::path(folder) / model / fmt::format("{}.{}", pixels, name_of(dtype))).string();
  }
};

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_hash(const std::string& text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string sha256_of(std::span<const uint8_t> bytes) { return sha256_hex(std::as_bytes(bytes)); }

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A regular file of at most `limit` bytes, or nothing: never waits for a pipe.
std::optional<std::vector<uint8_t>> read_regular(const std::string& path, int64_t limit) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > limit)
    return std::nullopt;
  try {
    return read_file(path, limit);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// The values of an entry: header, values, and the SHA-256 of both in digits. Nothing unless it is
// exactly that. Read in pieces: a buffer for all of it would cost more than the hashing.
std::optional<Tensor> read_entry(const std::string& path, const std::string& header,
                                 const Shape& shape, DType dtype) {
  struct stat status = {};
  const size_t values = static_cast<size_t>(shape.elements()) * size_of(dtype);
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      static_cast<uint64_t>(status.st_size) != header.size() + values + kDigits)
    return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string head(header.size(), 0), digest(kDigits, 0);
  if (!file.read(head.data(), static_cast<std::streamsize>(head.size())) || head != header)
    return std::nullopt;
  Sha256 sha;
  sha.update(std::as_bytes(std::span(head)));
  Tensor tensor = Tensor::empty(shape, dtype);
  auto* to = dtype == DType::f32 ? reinterpret_cast<char*>(tensor.data())
                                 : reinterpret_cast<char*>(tensor.data_as<uint16_t>());
  constexpr size_t kPiece = size_t{1} << 18;
  for (size_t at = 0; at < values; at += kPiece) {
    const size_t size = std::min(kPiece, values - at);
    if (!file.read(to + at, static_cast<std::streamsize>(size))) return std::nullopt;
    sha.update(std::as_bytes(std::span(to + at, size)));
  }
  if (!file.read(digest.data(), static_cast<std::streamsize>(kDigits)) || digest != sha.hex())
    return std::nullopt;
  return tensor;
}

// Its folders are for nobody else: an embedding tells what is in a photo.
void make_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  fs::create_directories(folder.parent_path(), error);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    fail(Kind::output, "{}: cannot make the folder: {}", folder.string(), std::strerror(errno));
}

// Links and pipes are no entries, and writing would go through them.
void remove_what_is_no_file(const std::string& path) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
    ::unlink(path.c_str());
}

int64_t now() { return static_cast<int64_t>(std::time(nullptr)); }

std::vector<fs::path> listed(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator item(folder, error), end; !error && item != end;
       item.increment(error))
    paths.push_back(item->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Our writer's temporary files: .beckon-<process>-<count>.tmp
bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".beckon-") && name.ends_with(".tmp");
}

// The identity of the files of a model; empty if it has none or they changed just now.
std::string identity_of(const std::vector<sam::FileIdentity>& files) {
  std::string identity;
  for (const sam::FileIdentity& file : files) {
    if (file.changed_ns / 1'000'000'000 + kSettled > now()) return "";
    identity += file.str() + "\n";
  }
  return identity;
}

std::string memo_path(const std::string& folder, const std::string& identity) {
  return (fs::path(folder) / "models" / sha256_of(bytes_of(identity))).string();
}

// A memo: what was hashed, its hash, where it lay, and the SHA-256 of all that.
struct Memo {
  std::string hash, origin;
};
std::optional<Memo> read_memo(const std::string& path, const std::string& identity) {
  const auto bytes = read_regular(path, 1 << 16);
  if (!bytes || bytes->size() < kDigits) return std::nullopt;
  const std::string text(bytes->begin(), bytes->end());
  const std::string body = text.substr(0, text.size() - kDigits);
  if (sha256_of(bytes_of(body)) != text.substr(body.size())) return std::nullopt;
  const std::string head = "beckon model 1\n";
  if (!body.starts_with(head + identity) || body.size() < head.size() + kDigits)
    return std::nullopt;
  Memo memo{body.substr(head.size() + identity.size()), ""};
  // With no identity given the memo's own is skipped: the hash is the last line but one.
  if (identity.empty()) {
    const size_t end = body.rfind("\nmodel ");
    if (end == body.npos) return std::nullopt;
    memo.hash = body.substr(end + 1);
  }
  if (!memo.hash.starts_with("model ") || memo.hash.size() < 7 + kDigits) return std::nullopt;
  memo.origin = memo.hash.substr(7 + kDigits);
  memo.hash = memo.hash.substr(6, kDigits);
  return is_hash(memo.hash) ? std::optional(memo) : std::nullopt;
}

}  // namespace

std::string pixel_hash(const Image& image) {
  const Image rgb = image.rgb();
  const std::span<const uint8_t> pixels = rgb.pixels();
  constexpr size_t kPiece = size_t{1} << 20;
  const size_t pieces = (pixels.size() + kPiece - 1) / kPiece;
  std::vector<std::string> hashes(pieces);
  parallel_for(static_cast<int64_t>(pieces), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      hashes[i] =
          sha256_of(pixels.subspan(i * kPiece, std::min(kPiece, pixels.size() - i * kPiece)));
  });
  std::string all = fmt::format("{} {}\n", rgb.width(), rgb.height());
  for (const std::string& hash : hashes) all += hash;
  return sha256_of(bytes_of(all));
}

uint64_t parse_bytes(const std::string& text, const std::string& name) {
  uint64_t value = 0, unit = 1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  if (rest.ends_with("B") && rest.size() == 2) rest.remove_suffix(1);
  if (rest == "k" || rest == "K") unit = 1'000;
  if (rest == "M") unit = 1'000'000;
  if (rest == "G") unit = 1'000'000'000;
  if (rest == "T") unit = 1'000'000'000'000;
  if (error != std::errc() || (!rest.empty() && unit == 1) || value > UINT64_MAX / unit)
    fail(Kind::usage, "{}: '{}' is no size; expected a number of bytes, or one like 500M or 2G",
         name, text);
  return value * unit;
}

EmbeddingCache::EmbeddingCache(EmbeddingCacheOptions options) : options_(std::move(options)) {
  if (options_.dtype != DType::f32 && options_.dtype != DType::f16)
    fail(Kind::usage, "embeddings are kept as f32 or f16, not {}", name_of(options_.dtype));
  if (options_.folder.empty()) options_.folder = default_folder();
  if (!options_.limit) {
    const std::string size = environment("BECKON_CACHE_SIZE");
    options_.limit = size.empty() ? kDefaultLimit : parse_bytes(size, "BECKON_CACHE_SIZE");
  }
}

std::string EmbeddingCache::default_folder() {
  if (std::string folder = environment("BECKON_CACHE"); !folder.empty()) return folder;
  if (const std::string home = environment("BECKON_HOME"); !home.empty())
    return (fs::path(home) / "cache" / "embeddings").string();
  // The specification has relative paths ignored.
  const std::string cache = environment("XDG_CACHE_HOME");
  if (cache.starts_with("/")) return (fs::path(cache) / "beckon" / "embeddings").string();
  const std::string home = environment("HOME");
  return home.empty() ? "" : (fs::path(home) / ".cache" / "beckon" / "embeddings").string();
}

// Hashing all weights at every start would cost more than a mask: it is noted for the files by
// what the system says of them.
std::string EmbeddingCache::model_hash_of(const Sam& sam) const {
  const std::vector<sam::FileIdentity>& files = sam.model().files;
  const std::string identity = identity_of(files);
  if (identity.empty() || folder().empty()) return sam.model_hash();
  const std::string path = memo_path(folder(), identity);
  if (const auto memo = read_memo(path, identity)) return memo->hash;
  const std::string& hash = sam.model_hash();
  for (const sam::FileIdentity& file : files)
    if (sam::FileIdentity::of(file.path) != file) return hash;  // replaced since it was opened
  std::string text = fmt::format("beckon model 1\n{}model {}\n{}", identity, hash, sam.origin());
  text += sha256_of(bytes_of(text));
  try {
    make_folder(folder());
    make_folder(fs::path(path).parent_path());
    write_file_atomic(path, bytes_of(text));
  } catch (const Error&) {  // then it is hashed again next time
  }
  return hash;
}

std::optional<CachedEmbedding> EmbeddingCache::read(const Sam& sam, const Key& key) const {
  // f16 can be made of f32, the other way round only in place of it.
  for (const DType dtype : {DType::f32, DType::f16}) {
    if (dtype == DType::f16 && options_.dtype == DType::f32 && !options_.accept_f16) continue;
    const std::string path = key.path(folder(), dtype);
    const std::string header = key.header(dtype);
    const std::optional<Tensor> found = read_entry(path, header, key.shape, dtype);
    if (!found) continue;
    utimensat(AT_FDCWD, path.c_str(), nullptr, 0);  // used now; a read-only folder forgets it

    auto seen = std::make_shared<sam::Seen>();
    seen->model = sam.shared_model();
    seen->frame = sam.model().frame(key.image);
    seen->pixels = key.pixels;
    seen->embedding = *found;
    if (options_.dtype == DType::f16) seen->embedding = seen->embedding.to(DType::f16);
    seen->embedding = seen->embedding.to(DType::f32);
    return CachedEmbedding{Embedding(std::move(seen)), true, dtype, ""};
  }
  return std::nullopt;
}

// What went wrong, or nothing.
std::string EmbeddingCache::keep(const Key& key, const Embedding& embedding) const {
  if (folder().empty()) return "the embedding is not kept: no place for it (HOME is not set)";
  const std::string header = key.header(options_.dtype);
  const Tensor values = embedding.seen().embedding.to(options_.dtype).contiguous();
  const size_t size = static_cast<size_t>(values.size()) * size_of(options_.dtype);
  if (header.size() + size + kDigits > limit()) return "";
  std::vector<uint8_t> bytes(header.begin(), header.end());
  const auto* from = options_.dtype == DType::f32
                         ? reinterpret_cast<const uint8_t*>(values.data())
                         : reinterpret_cast<const uint8_t*>(values.data_as<uint16_t>());
  bytes.insert(bytes.end(), from, from + size);
  const std::string digest = sha256_of(bytes);
  bytes.insert(bytes.end(), digest.begin(), digest.end());
  try {
    const std::string path = key.path(folder(), options_.dtype);
    const auto write = [&] {
      make_folder(folder());
      make_folder(fs::path(path).parent_path());
      remove_what_is_no_file(path);
      write_file_atomic(path, bytes);
      evict(path);
    };
    if (options_.around_write)
      options_.around_write(write);
    else
      write();
  } catch (const Error& error) {
    if (error.kind() == Kind::interrupted) throw;
    return fmt::format("the embedding is not kept: {}", error.what());
  }
  return "";
}

std::optional<CachedEmbedding> EmbeddingCache::find(const Sam& sam, const Image& image) const {
  if (image.empty() || folder().empty()) return std::nullopt;
  return read(
      sam, Key{model_hash_of(sam), pixel_hash(image), image.size(), sam.model().embedding_shape()});
}

CachedEmbedding EmbeddingCache::encode(const Sam& sam, const Image& image) const {
  if (image.empty()) fail(Kind::usage, "an image without pixels cannot be encoded");
  const Key key{model_hash_of(sam), pixel_hash(image), image.size(), sam.model().embedding_shape()};
  if (!folder().empty())
    if (auto found = read(sam, key)) return *found;
  const Embedding computed = sam.encode(image);
  auto seen = std::make_shared<sam::Seen>();
  seen->model = sam.shared_model();
  seen->frame = computed.seen().frame;
  seen->pixels = key.pixels;
  seen->embedding = computed.seen().embedding.to(options_.dtype).to(DType::f32);
  CachedEmbedding answer{Embedding(std::move(seen)), false, options_.dtype, ""};
  answer.warning = keep(key, answer.embedding);
  return answer;
}

std::vector<CacheEntry> EmbeddingCache::entries() const {
  std::vector<CacheEntry> entries;
  if (folder().empty()) return entries;
  for (const fs::path& model : listed(folder())) {
    const std::string hash = model.filename().string();
    if (!is_hash(hash)) continue;
    for (const fs::path& path : listed(model)) {
      const std::string end = path.extension().string();
      struct stat status = {};
      if (!is_hash(path.stem().string()) || (end != ".f32" && end != ".f16") ||
          lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
        continue;
      entries.push_back({path.string(), hash, end == ".f16" ? DType::f16 : DType::f32,
                         static_cast<uint64_t>(status.st_size), status.st_mtim.tv_sec});
      entries.back().used_ns = status.st_mtim.tv_nsec;
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const CacheEntry& a, const CacheEntry& b) {
    return std::pair(a.used, a.used_ns) < std::pair(b.used, b.used_ns);
  });
  return entries;
}

std::string EmbeddingCache::origin_of(const std::string& model_hash) const {
  for (const fs::path& path : listed(fs::path(folder()) / "models"))
    if (const auto memo = read_memo(path.string(), ""); memo && memo->hash == model_hash)
      return memo->origin;
  return "";
}

void EmbeddingCache::evict(const std::string& newest) const {
  for (const fs::path& model : listed(folder())) {
    const std::string name = model.filename().string();
    if (!is_hash(name) && name != "models") continue;
    for (const fs::path& path : listed(model)) {
      struct stat status = {};
      if (is_temporary(path) && lstat(path.c_str(), &status) == 0 &&
          status.st_mtim.tv_sec + kStale < now())
        ::unlink(path.c_str());
    }
  }
  const std::vector<CacheEntry> all = entries();
  uint64_t bytes = 0;
  for (const CacheEntry& entry : all) bytes += entry.bytes;
  for (const CacheEntry& entry : all) {
    if (bytes <= limit()) return;
    if (entry.path == newest) continue;
    // Another process may have been quicker; what cannot be removed may go next time.
    ::unlink(entry.path.c_str());
    bytes -= entry.bytes;
  }
}

std::vector<CacheEntry> EmbeddingCache::clear(double older_than,
                                              const std::string& model_hash) const {
  std::vector<CacheEntry> removed;
  for (const CacheEntry& entry : entries()) {
    if (!entry.model_hash.starts_with(model_hash)) continue;
    if (older_than > 0 && static_cast<double>(now() - entry.used) < older_than) continue;
    if (::unlink(entry.path.c_str()) != 0) {
      if (errno == ENOENT) continue;
      fail(Kind::output, "{}: cannot be removed: {}", entry.path, std::strerror(errno));
    }
    removed.push_back(entry);
  }
  // Notes and empty folders go with the last entry of a model.
  std::error_code error;
  for (const fs::path& model : listed(folder())) {
    const std::string name = model.filename().string();
    if (is_hash(name)) {
      for (const fs::path& path : listed(model))
        if (is_temporary(path) && older_than <= 0) fs::remove(path, error);
      ::rmdir(model.c_str());  // unless something is in it
    }
  }
  if (older_than <= 0 && model_hash.empty()) {
    for (const fs::path& memo : listed(fs::path(folder()) / "models"))
      if (is_hash(memo.filename().string()) || is_temporary(memo)) fs::remove(memo, error);
    ::rmdir((fs::path(folder()) / "models").c_str());
  }
  return removed;
}

}  // namespace beckon
