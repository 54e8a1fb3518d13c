#pragma once

#include <string>

#include "annotation/format.h"

namespace beckon::annotation {

// Puts a file or a folder of files at its place, whole or not at all.
void write_output(const Output& output, const std::string& path);

}  // namespace beckon::annotation
