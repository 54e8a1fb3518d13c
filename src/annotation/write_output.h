#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "annotation/format.h"

namespace beckon::annotation {

// Puts a file or a folder of files at its place, whole or not at all. Before each file `go_on` is
// asked with the files written and all of them; false leaves nothing behind. Whether it was put
// there.
bool write_output(const Output& output, const std::string& path,
                  const std::function<bool(int64_t, int64_t)>& go_on);

}  // namespace beckon::annotation
