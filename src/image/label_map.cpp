#include "image/label_map.h"

#include <map>

#include "base/fail.h"
#include "image/codecs.h"
#include "image/runs.h"

namespace beckon::detail {

LabelMap decode_label_map(std::span<const uint8_t> png, const std::string& name,
                          const ReadOptions& options) {
  return codecs::decode_png_labels(png, name, options);
}

std::vector<Labelled> masks_of(const LabelMap& map, const std::string& name, size_t most) {
  // Where each number begins and ends, column by column as run lengths have it.
  std::map<uint32_t, std::vector<uint32_t>> toggles;
  const auto width = static_cast<size_t>(map.size.width),
             height = static_cast<size_t>(map.size.height);
  uint32_t position = 0, last = 0;
  std::vector<uint32_t>* open = nullptr;
  for (size_t x = 0; x < width; ++x) {
    for (size_t y = 0; y < height; ++y, ++position) {
      const uint32_t label = map.values[y * width + x];
      if (open && label == last) continue;
      if (open) open->push_back(position);
      open = &toggles[label];
      open->push_back(position);
      last = label;
      if (toggles.size() > most)
        fail(Kind::input, "{}: more than {} values; expected a mask, is this a photo?", name, most);
    }
  }
  std::vector<Labelled> result;
  for (const auto& [label, places] : toggles)
    result.push_back({label, runs::from_toggles(places, map.size)});
  return result;
}

}  // namespace beckon::detail
