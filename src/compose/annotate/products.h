// Files that are made from all results together, once all are there.
#pragma once

#include <string>
#include <vector>

#include "compose/annotate/manifest.h"
#include "compose/annotate/out_folder.h"

namespace beckon::compose {

// Throws Error(usage) that lists the formats unless all are known: "sa1b" (the results themselves)
// and "coco".
void check_formats(const std::vector<std::string>& formats);

// Writes a file for each of these formats, and anew for each that has one in the folder already.
// They depend on the results alone.
std::vector<Product> write_products(const OutFolder& out, const std::vector<Entry>& pictures,
                                    const std::vector<std::string>& formats);

}  // namespace beckon::compose
