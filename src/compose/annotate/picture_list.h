// The pictures below a folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "beckon/error.h"

namespace beckon::compose {

// Something to be annotated, or the reason why it cannot be.
struct Input {
  std::string path;           // relative to the folder, '/' between its parts; any bytes but 0
  std::string problem;        // empty: a picture, as far as its name or first bytes tell
  Kind kind = Kind::missing;  // of the problem
};

struct PictureList {
  std::vector<Input> inputs;  // sorted by the bytes of their paths
  int64_t links_outside = 0;  // links that lead out of the folder, left out
};

// Looks through `folder` and its sub-folders, except `out` and what begins with a dot. Files are
// pictures if their name ends like one or their content begins like one. Links to folders are not
// followed (what they lead to inside is reached without them), links to files only if those lie
// inside. A sub-folder that cannot be listed is an input with a problem. Throws Error(missing) if
// `folder` itself cannot be listed.
PictureList list_pictures(const std::string& folder, const std::string& out);

}  // namespace beckon::compose
