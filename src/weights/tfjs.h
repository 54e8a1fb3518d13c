// TensorFlow.js models: model.json and the files of bytes it names.
#pragma once

#include <functional>
#include <string>

#include "weights/impl.h"

namespace beckon::weights {

// True if this is JSON that has a list of TensorFlow.js weights.
bool looks_like_tfjs(std::span<const std::byte> bytes);

// As read_tfjs(), with `open` in place of the folder: it gets the plain names of the shards.
Contents read_tfjs(const File& json, const std::function<File(const std::string& name)>& open);

}  // namespace beckon::weights
