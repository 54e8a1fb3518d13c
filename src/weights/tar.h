// Takes single files out of a .tgz.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace beckon::weights {

// Walks a gzipped tar and calls `begin` for every regular file with its name and size. If it
// returns true, `data` gets the file's bytes in pieces. Names are compared, never used as paths.
// Throws Error(model) for a broken archive, Error(resource) once `limit` bytes were inflated.
void read_tgz(const std::string& path, uint64_t limit,
              const std::function<bool(std::string_view name, uint64_t size)>& begin,
              const std::function<void(std::span<const std::byte>)>& data);

}  // namespace beckon::weights
