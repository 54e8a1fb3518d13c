// The embeddings that are in memory: the last few that were used.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "beckon/sam.h"

namespace beckon::server {

class Embeddings {
 public:
  // Each takes some 20 MB with what the decoder keeps of it. At least 1.
  explicit Embeddings(size_t most) : most_(most) {}

  std::optional<Embedding> find(const std::string& id);
  bool contains(const std::string& id) const;
  void put(const std::string& id, Embedding embedding);
  size_t size() const;

 private:
  using Entry = std::pair<std::string, Embedding>;
  size_t most_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<std::string, std::list<Entry>::iterator> places_;
};

}  // namespace beckon::server
