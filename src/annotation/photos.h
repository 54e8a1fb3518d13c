// The photos that annotations are about.
#pragma once

#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "annotation/format.h"

namespace beckon::annotation {

// The pictures of a folder and those below it.
class Photos {
 public:
  explicit Photos(const std::string& folder);
  // By the whole path, then the name, then the name without its ending; as it is written or
  // percent-encoded. Empty if there is none or the name is not clear.
  std::string find(const std::string& file) const;
  const std::string& folder() const { return folder_; }
  const std::vector<std::string>& all() const { return all_; }  // below the folder

 private:
  std::string folder_;
  std::vector<std::string> all_;
  std::unordered_map<std::string, std::vector<size_t>> paths_, names_, stems_;
};

struct PhotoSize {
  ImageSize stored;     // as the file keeps it
  ImageSize shown;      // as a viewer shows it
  int orientation = 1;  // EXIF's, 1 to 8
};
// As codecs have it: Kind::input for what is no picture, Kind::resource above the limit.
PhotoSize photo_size(const std::string& path, int64_t max_pixels);

// What is noticed of photos that are there and broken.
constexpr const char* kUnreadable = "the photo cannot be read";

// Gives sizes to images that have none, and turns annotations upright that are in the coordinates
// of the photo as it is stored. What is missing or broken is noticed.
void match_photos(Dataset& data, const ReadAnnotationsOptions& options, FormatNotices& notices);

}  // namespace beckon::annotation
