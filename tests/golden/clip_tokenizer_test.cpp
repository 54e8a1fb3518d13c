// CLIP's tokenizer, stage by stage.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/error.h"
#include "models/clip/text_repair.h"
#include "models/clip/tokenizer.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

TEST(ClipTokenizer, MatchesGolden) {
  const clip::Tokenizer& tokenizer = clip::Tokenizer::get();
  for (const Golden& golden : goldens("clip_tokenizer")) {
    const int64_t context = golden.json().at("config").at("context_length");
    const auto tokens = golden.tensors("io").at("out.tokens").as_ints();
    size_t row = 0;
    for (const auto& wanted : golden.json().at("cases")) {
      const std::string text = wanted.at("text");
      SCOPED_TRACE(golden.name + ": " + text);
      EXPECT_EQ(clip::to_utf8(clip::repaired(clip::from_utf8(text))),
                wanted.at("after_ftfy").get<std::string>());
      const std::string clean = clip::to_utf8(clip::cleaned(clip::from_utf8(text)));
      EXPECT_EQ(clean, wanted.at("clean_lower").get<std::string>());
      EXPECT_EQ(clip::Tokenizer::pieces(clean),
                wanted.at("pieces").get<std::vector<std::string>>());
      const std::vector<int64_t> ids = tokenizer.encode(text);
      EXPECT_EQ(ids, wanted.at("ids").get<std::vector<int64_t>>());
      EXPECT_EQ(tokenizer.decode(ids), wanted.at("decoded").get<std::string>());

      const Tensor line = tokenizer.tokenize(std::vector<std::string>{text}, context, true);
      for (int64_t i = 0; i < context; ++i)
        EXPECT_EQ(line.data_as<int64_t>()[i],
                  tokens.at(row * static_cast<size_t>(context) + static_cast<size_t>(i)));
      if (static_cast<int64_t>(ids.size()) + 2 > context) {
        EXPECT_THROW(tokenizer.tokenize(std::vector<std::string>{text}, context), Error);
      }
      ++row;
    }
    EXPECT_GT(row, 0u);
  }
}

}  // namespace
}  // namespace beckon::test
