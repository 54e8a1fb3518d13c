// layer: annotation
// Every reader of annotation formats on any bytes; the first byte says which.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "annotation/format.h"
#include "beckon/error.h"

namespace {

using namespace beckon;
using namespace beckon::annotation;

void check(const Dataset& data) {
  for (const Annotation& one : data.annotations) {
    if (one.image >= data.images.size() || one.category >= static_cast<int>(data.categories.size()))
      std::abort();
    try {
      mask_of(one, data.images[one.image].size(), 1 << 20);
      box_of(one);
    } catch (const Error& error) {
      if (error.kind() != Kind::input && error.kind() != Kind::resource) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  FormatNotices notices;
  Dataset data;
  try {
    switch (bytes[0] % 9) {
      case 0:
        data = parse_coco(text, "fuzz", notices);
        break;
      case 1:
        parse_sa1b(text, "fuzz", data);
        break;
      case 2:
        parse_labelme(text, "fuzz", data, notices);
        break;
      case 3:
        data = parse_label_studio(text, "fuzz", notices);
        break;
      case 4:
        data = parse_geojson(text, "fuzz", notices);
        break;
      case 5:
        data = parse_cvat(text, "fuzz", notices);
        break;
      case 6:
        parse_svg(text, "fuzz", data, notices);
        break;
      case 7:
        parse_voc_xml(text, "fuzz", data);
        break;
      default:
        data.images.push_back({.file = "a.png", .width = 64, .height = 48});
        parse_yolo_labels(text, "fuzz", data, 0);
        parse_yolo_names(text, "fuzz");
    }
    check(data);
  } catch (const Error& error) {
    if (error.kind() == Kind::internal || error.kind() == Kind::usage) std::abort();
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
