// Data sets by their names.
#include <charconv>
#include <tuple>

#include "base/fail.h"
#include "learn/data/labelled_data.h"
#include "learn/methods/counting_squares.h"

namespace beckon::learn {
namespace {

constexpr const char* kFashionMnist = "/usr/share/datasets/fashion-mnist";
constexpr const char* kFashion[] = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                                    "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};

std::unique_ptr<LabelledData> fashion_mnist() {
  auto data = std::filesystem::exists(kFashionMnist) ? idx_data(kFashionMnist) : nullptr;
  if (!data)
    fail(Kind::missing, "fashion-mnist: {} is not there: apt-get install dataset-fashion-mnist",
         kFashionMnist);
  if (data->labels.size() == std::size(kFashion))
    data->labels.assign(std::begin(kFashion), std::end(kFashion));
  return data;
}

std::unique_ptr<LabelledData> made_up_squares(int64_t count) {
  auto data = std::make_unique<PicturesInMemory>();
  data->layout = "made up";
  data->width = data->height = 36;
  data->channels = 3;
  const size_t bytes = size_t{36} * 36 * 3;
  for (const auto& [part, pictures, seed] :
       {std::tuple{Part::train, count, 1}, {Part::test, std::max<int64_t>(count / 5, 1), 2}}) {
    Random random(static_cast<uint64_t>(seed));
    PicturesInMemory::Block block{"counting-squares", {}, 0, bytes};
    std::vector<int64_t> classes;
    for (int64_t i = 0; i < pictures; ++i) {
      const CountedSquares one = counting_squares(random);
      block.bytes.insert(block.bytes.end(), one.image.pixels().begin(), one.image.pixels().end());
      classes.push_back(one.squares - 1);
    }
    data->add(std::move(block), part, classes);
  }
  for (int n = 1; n <= 10; ++n)
    data->labels.push_back(fmt::format("{} square{}", n, n > 1 ? "s" : ""));
  return data;
}

}  // namespace

std::unique_ptr<LabelledData> named_data(const std::string& name) {
  if (name == "fashion-mnist") return fashion_mnist();
  const std::string squares = "counting-squares";
  if (name == squares) return made_up_squares(5000);
  if (!name.starts_with(squares + ":")) return nullptr;
  int64_t count = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + squares.size() + 1, end, count);
  if (read.ec != std::errc() || read.ptr != end || count < 100 || count > 1'000'000)
    fail(Kind::usage, "{}: expected a number of 100 to 1000000 after the colon", name);
  return made_up_squares(count);
}

}  // namespace beckon::learn
