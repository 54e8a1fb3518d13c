#include "embeddings.h"

namespace beckon::server {

std::optional<Embedding> Embeddings::find(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto found = places_.find(id);
  if (found == places_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

bool Embeddings::contains(const std::string& id) const {
  std::lock_guard lock(mutex_);
  return places_.count(id) > 0;
}

void Embeddings::put(const std::string& id, Embedding embedding) {
  std::list<Entry> dropped;  // freed outside of the lock
  std::lock_guard lock(mutex_);
  const auto found = places_.find(id);
  if (found != places_.end()) {
    dropped.splice(dropped.begin(), entries_, found->second);
    places_.erase(found);
  }
  entries_.emplace_front(id, std::move(embedding));
  places_[id] = entries_.begin();
  while (entries_.size() > most_) {
    places_.erase(entries_.back().first);
    dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
  }
}

size_t Embeddings::size() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace beckon::server
