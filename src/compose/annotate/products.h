// Files that are made from all results together, once all are there.
#pragma once

#include <string>
#include <vector>

#include "compose/annotate/manifest.h"
#include "compose/annotate/out_folder.h"

namespace beckon::compose {

// Throws Error(usage) that lists the formats unless all are known to annotation.h: "sa1b" are the
// results themselves.
void check_formats(const std::vector<std::string>& formats);

// Writes a file or folder for each of these formats, and anew for each that has one there already.
// They depend on the results alone. `notes`: what a format cannot carry.
std::vector<Product> write_products(const OutFolder& out, const std::vector<Entry>& pictures,
                                    const std::vector<std::string>& formats,
                                    std::vector<std::string>& notes);

}  // namespace beckon::compose
