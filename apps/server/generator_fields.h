// The parameters of everything mode in requests.
#pragma once

#include "beckon/mask_generator.h"
#include "fields.h"

namespace beckon::server {

// Those that are given; bounded so that one request cannot ask for hours. HttpError 422.
void read_generator(const Fields& fields, MaskGeneratorOptions& options);

}  // namespace beckon::server
