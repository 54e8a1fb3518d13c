// CLIP's tokenizer: byte pairs, merged in the order of its vocabulary, with a mark at the end of
// words. The vocabulary (OpenAI's bpe_simple_vocab_16e6.txt.gz, MIT) is part of the library.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "beckon/tensor.h"

namespace beckon::clip {

class Tokenizer {
 public:
  static constexpr int64_t kStart = 49406, kEnd = 49407, kVocabulary = 49408;

  // Made at first use, once.
  static const Tokenizer& get();

  // The pieces of a cleaned text: words, single digits, runs of other characters.
  static std::vector<std::string> pieces(std::string_view text);
  // Ids without start and end.
  std::vector<int64_t> encode(std::string_view text) const;
  // The text of ids; bytes that are not UTF-8 become U+FFFD.
  std::string decode(std::span<const int64_t> ids) const;
  // [texts, context]: start, ids, end, zeros. A text that is too long is cut, the end kept, if
  // `truncate`; else Error(usage) that says which.
  Tensor tokenize(std::span<const std::string> texts, int64_t context, bool truncate = false) const;

 private:
  Tokenizer();
  void encode_piece(std::string_view piece, std::vector<int64_t>& ids) const;

  struct Merge {
    int64_t rank, id;
  };
  std::vector<std::string> symbols_;            // of ids: characters that stand for bytes
  std::unordered_map<uint64_t, Merge> merges_;  // two ids -> rank and the id of both together
  int64_t byte_ids_[256];                       // inside a word; + 256 at its end
};

}  // namespace beckon::clip
