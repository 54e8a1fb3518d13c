#include "learn/methods/label_map.h"

#include <algorithm>
#include <set>

#include "base/fail.h"
#include "beckon/ops.h"

namespace beckon::learn {

LabelMap first_labels(int64_t classes, int64_t per_class, int64_t source_classes) {
  if (classes < 1 || per_class < 1 || classes > source_classes / per_class)
    fail(Kind::usage, "{} classes of {} labels each, but the network has {}", classes, per_class,
         source_classes);
  LabelMap map(static_cast<size_t>(classes));
  for (int64_t c = 0; c < classes; ++c)
    for (int64_t k = 0; k < per_class; ++k)
      map[static_cast<size_t>(c)].push_back(c * per_class + k);
  return map;
}

LabelMap frequent_labels(const std::vector<std::vector<int64_t>>& counts) {
  const size_t classes = counts.size(), source = counts.empty() ? 0 : counts[0].size();
  if (classes == 0 || classes > source)
    fail(Kind::usage, "{} classes, but the network has {}", classes, source);
  struct Pair {
    int64_t count;
    size_t c, k;
  };
  std::vector<Pair> pairs;
  for (size_t c = 0; c < classes; ++c)
    for (size_t k = 0; k < source; ++k) pairs.push_back({counts[c][k], c, k});
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  LabelMap map(classes);
  std::vector<bool> used(source);
  for (const Pair& pair : pairs) {
    if (used[pair.k] || !map[pair.c].empty()) continue;
    used[pair.k] = true;
    map[pair.c] = {static_cast<int64_t>(pair.k)};
  }
  return map;
}

void check(const LabelMap& map, int64_t source_classes) {
  if (map.empty()) fail(Kind::usage, "a label map without classes");
  std::set<int64_t> used;
  for (size_t c = 0; c < map.size(); ++c) {
    if (map[c].empty()) fail(Kind::usage, "class {} stands for no label of the network", c);
    for (const int64_t k : map[c]) {
      if (k < 0 || k >= source_classes)
        fail(Kind::usage, "class {} stands for label {}, the network has {}", c, k, source_classes);
      if (!used.insert(k).second) fail(Kind::usage, "label {} stands for two classes", k);
    }
  }
}

Tensor mapped(const Tensor& logits, const LabelMap& map) {
  check(map, logits.dim(1));
  bool single = true;
  std::vector<int64_t> all;
  for (const auto& labels : map) {
    single = single && labels.size() == 1;
    all.insert(all.end(), labels.begin(), labels.end());
  }
  const Tensor index =
      Tensor::from(std::span<const int64_t>(all), {static_cast<int64_t>(all.size())});
  const Tensor chosen = index_select(logits, 1, index);
  if (single) return chosen;
  std::vector<Tensor> columns;
  int64_t at = 0;
  for (const auto& labels : map) {
    const auto count = static_cast<int64_t>(labels.size());
    const Tensor of_class = chosen.slice(1, at, at + count);
    at += count;
    // The largest is taken out, so that nothing overflows; as a constant: it cancels.
    const Tensor largest = max(of_class, 1, true).detach();
    columns.push_back(log(sum(exp(of_class - largest), {1}, true)) + largest);
  }
  return concat(columns, 1);
}

}  // namespace beckon::learn
