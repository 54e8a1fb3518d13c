#include "models/clip/tokenizer.h"

#include <algorithm>
#include <limits>

#include <unicode/uchar.h>
#include <zlib.h>

#include "base/fail.h"
#include "models/clip/text_repair.h"

// The vocabulary's file, in the library as it is.
asm(".section .rodata\n"
    ".hidden beckon_clip_vocabulary\n"
    ".hidden beckon_clip_vocabulary_end\n"
    ".global beckon_clip_vocabulary\n"
    ".global beckon_clip_vocabulary_end\n"
    "beckon_clip_vocabulary:\n"
    ".incbin \"" BECKON_CLIP_VOCABULARY
    "\"\n"
    "beckon_clip_vocabulary_end:\n"
    ".previous\n");
extern "C" {
[[gnu::visibility("hidden")]] extern const unsigned char beckon_clip_vocabulary[];
[[gnu::visibility("hidden")]] extern const unsigned char beckon_clip_vocabulary_end[];
}

namespace beckon::clip {
namespace {

constexpr int64_t kMerges = 49152 - 256 - 2;
constexpr const char* kEndOfWord = "</w>";
constexpr std::string_view kSpecials[] = {"<|startoftext|>", "<|endoftext|>"};

std::string inflated_vocabulary() {
  const auto size = static_cast<size_t>(beckon_clip_vocabulary_end - beckon_clip_vocabulary);
  z_stream stream = {};
  stream.next_in = const_cast<unsigned char*>(beckon_clip_vocabulary);
  stream.avail_in = static_cast<unsigned>(size);
  std::string text(8 << 20, '\0');
  stream.next_out = reinterpret_cast<unsigned char*>(text.data());
  stream.avail_out = static_cast<unsigned>(text.size());
  if (inflateInit2(&stream, 15 + 16) != Z_OK) fail(Kind::internal, "zlib does not start");
  const int code = inflate(&stream, Z_FINISH);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  if (code != Z_STREAM_END) fail(Kind::internal, "CLIP's vocabulary does not inflate: {}", code);
  return text;
}

// The character that stands for a byte: itself where it can be seen, else one from U+0100 on.
struct ByteTable {
  char32_t character[256];
  int order[256];  // bytes in the order of their ids

  ByteTable() {
    int next = 0, hidden = 0;
    const auto seen = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b != 173); };
    for (int b = 0; b < 256; ++b)
      if (seen(b)) {
        character[b] = static_cast<char32_t>(b);
        order[next++] = b;
      }
    for (int b = 0; b < 256; ++b)
      if (!seen(b)) {
        character[b] = static_cast<char32_t>(256 + hidden++);
        order[next++] = b;
      }
  }
};

uint64_t pair_key(int64_t a, int64_t b) {
  return static_cast<uint64_t>(a) << 32 | static_cast<uint64_t>(b);
}

enum class Class { space, letter, number, other };
Class class_of(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  const uint32_t mask = U_GET_GC_MASK(code);
  if (mask & U_GC_L_MASK) return Class::letter;
  if (mask & U_GC_N_MASK) return Class::number;
  return u_isUWhiteSpace(code) ? Class::space : Class::other;
}

// How many characters of a contraction begin at `i`: 's 't 're 've 'm 'll 'd.
size_t contraction(const Text& text, size_t i) {
  if (text[i] != U'\'') return 0;
  for (const std::u32string_view tail : {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d", U"ſ"})
    if (std::u32string_view(text).substr(i + 1).starts_with(tail)) return 1 + tail.size();
  return 0;
}

}  // namespace

const Tokenizer& Tokenizer::get() {
  static const Tokenizer tokenizer;
  return tokenizer;
}

Tokenizer::Tokenizer() {
  const ByteTable bytes;
  for (int i = 0; i < 256; ++i) {
    byte_ids_[bytes.order[i]] = i;
    symbols_.push_back(to_utf8(std::u32string_view(&bytes.character[bytes.order[i]], 1)));
  }
  for (size_t i = 0; i < 256; ++i) symbols_.push_back(symbols_[i] + kEndOfWord);

  const std::string text = inflated_vocabulary();
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  size_t at = text.find('\n');  // the first line is a title
  while (at != text.npos && static_cast<int64_t>(merges.size()) < kMerges) {
    const size_t begin = at + 1;
    at = text.find('\n', begin);
    const std::string_view line = std::string_view(text).substr(begin, at - begin);
    const size_t space = line.find(' ');
    if (space == line.npos) fail(Kind::internal, "CLIP's vocabulary: a line without two symbols");
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    symbols_.push_back(std::string(merges.back().first) + std::string(merges.back().second));
  }
  for (const std::string_view special : kSpecials) symbols_.emplace_back(special);
  if (static_cast<int64_t>(symbols_.size()) != kVocabulary)
    fail(Kind::internal, "CLIP's vocabulary has {} entries", symbols_.size());

  // Of a symbol that is listed twice the later id counts.
  std::unordered_map<std::string_view, int64_t> ids;
  for (size_t i = 0; i < symbols_.size(); ++i) ids[symbols_[i]] = static_cast<int64_t>(i);
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [a, b] = merges[rank];
    merges_[pair_key(ids.at(a), ids.at(b))] = {static_cast<int64_t>(rank),
                                               ids.at(symbols_[512 + rank])};
  }
}

std::vector<std::string> Tokenizer::pieces(std::string_view utf8) {
  const Text text = from_utf8(utf8);
  std::vector<std::string> result;
  for (size_t i = 0; i < text.size();) {
    size_t length = 0;
    for (const std::string_view special : kSpecials)
      if (std::equal(
              special.begin(), special.end(), text.begin() + static_cast<ptrdiff_t>(i),
              text.begin() + static_cast<ptrdiff_t>(std::min(text.size(), i + special.size())),
              [](char a, char32_t b) { return static_cast<char32_t>(a) == b; }))
        length = special.size();
    if (length == 0) length = contraction(text, i);
    if (length == 0) {
      const Class kind = class_of(text[i]);
      length = 1;
      if (kind == Class::letter || kind == Class::other)
        while (i + length < text.size() && class_of(text[i + length]) == kind) ++length;
      if (kind == Class::space) {
        i += length;
        continue;
      }
    }
    result.push_back(to_utf8(std::u32string_view(text).substr(i, length)));
    i += length;
  }
  return result;
}

void Tokenizer::encode_piece(std::string_view piece, std::vector<int64_t>& ids) const {
  for (size_t s = 0; s < 2; ++s)
    if (piece == kSpecials[s]) return ids.push_back(kStart + static_cast<int64_t>(s));
  std::vector<int64_t> word;
  for (const char byte : piece) word.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  word.back() += 256;
  for (;;) {
    Merge best = {std::numeric_limits<int64_t>::max(), 0};
    uint64_t best_pair = 0;
    for (size_t i = 0; i + 1 < word.size(); ++i) {
      const auto found = merges_.find(pair_key(word[i], word[i + 1]));
      if (found != merges_.end() && found->second.rank < best.rank) {
        best = found->second;
        best_pair = found->first;
      }
    }
    if (best.rank == std::numeric_limits<int64_t>::max()) break;
    size_t to = 0;
    for (size_t i = 0; i < word.size(); ++i) {
      const bool both = i + 1 < word.size() && pair_key(word[i], word[i + 1]) == best_pair;
      word[to++] = both ? best.id : word[i];
      if (both) ++i;
    }
    word.resize(to);
  }
  ids.insert(ids.end(), word.begin(), word.end());
}

std::vector<int64_t> Tokenizer::encode(std::string_view text) const {
  constexpr size_t kMostBytes = 1 << 20;
  if (text.size() > kMostBytes)
    fail(Kind::usage, "a text of {} bytes, at most {} are taken", text.size(), kMostBytes);
  std::vector<int64_t> ids;
  for (const std::string& piece : pieces(to_utf8(cleaned(from_utf8(text))))) {
    // Merging takes time by the square: a word that no context holds is cut before.
    constexpr size_t kLongestWord = 4096;
    encode_piece(std::string_view(piece).substr(0, kLongestWord), ids);
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int64_t> ids) const {
  static const ByteTable bytes;
  std::string joined;
  for (const int64_t id : ids) {
    if (id < 0 || id >= kVocabulary)
      fail(Kind::usage, "token {} is not one of CLIP's {}", id, kVocabulary);
    joined += symbols_[static_cast<size_t>(id)];
  }
  std::string text;
  for (const char32_t c : from_utf8(joined)) {
    const auto* at = std::find(std::begin(bytes.character), std::end(bytes.character), c);
    text += static_cast<char>(at - std::begin(bytes.character));
  }
  text = to_utf8(from_utf8(text));
  for (size_t at = 0; (at = text.find(kEndOfWord, at)) != text.npos;) text.replace(at, 4, " ");
  return text;
}

Tensor Tokenizer::tokenize(std::span<const std::string> texts, int64_t context,
                           bool truncate) const {
  Tensor result = Tensor::zeros({static_cast<int64_t>(texts.size()), context}, DType::i64);
  int64_t* row = result.data_as<int64_t>();
  for (const std::string& text : texts) {
    std::vector<int64_t> ids = encode(text);
    ids.insert(ids.begin(), kStart);
    ids.push_back(kEnd);
    if (static_cast<int64_t>(ids.size()) > context) {
      if (!truncate)
        fail(Kind::usage, "'{}' has {} tokens, at most {} are taken",
             text.size() > 60 ? text.substr(0, 57) + "..." : text, ids.size(), context);
      ids.resize(static_cast<size_t>(context));
      ids.back() = kEnd;
    }
    std::copy(ids.begin(), ids.end(), row);
    row += context;
  }
  return result;
}

}  // namespace beckon::clip
