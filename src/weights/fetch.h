// Brings the files of one source into a folder.
#pragma once

#include <string>

#include "beckon/store.h"
#include "weights/registry.h"

namespace beckon::weights {

// Each file is written as "<name>.partial", hashed, held against its pinned hash and moved to its
// name. A partial file of an earlier attempt is continued where the source allows it. Throws
// Error(unavailable) with the reason in a few words, Error(interrupted) if `progress` returns
// false.
void fetch(const SourceSpec& source, const std::string& folder, const PullCallback& progress);

}  // namespace beckon::weights
