// beckon engine: what its commands share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "annotation_store.h"

namespace CLI {
class App;
}

namespace beckon::cli {

// The store of a folder. Error(missing) if there is no such folder, or no store and none is to be
// made.
std::unique_ptr<server::AnnotationStore> open_engine(const std::string& folder, bool make);

// "1 object", "2 objects".
std::string counted_things(int64_t count, const char* what);

// One file a command.
void add_engine_auto(CLI::App& group);
void add_engine_review(CLI::App& group);
void add_engine_simulate(CLI::App& group);

}  // namespace beckon::cli
