#include "beckon/checkpoint.h"

#include <filesystem>
#include <numeric>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"

namespace beckon {

using weights::Contents;
using weights::Entry;
using weights::printable;

namespace {

// Levenshtein distance, for "did you mean".
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t change = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, diagonal + 1});
    }
  }
  return row[b.size()];
}

std::string most_similar(const std::vector<std::string>& names, const std::string& name) {
  std::string best;
  size_t best_distance = name.size() / 2 + 1;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 2000) && name.size() < 200; ++i) {
    if (names[i].size() > 200) continue;
    const size_t d = distance(name, names[i]);
    if (d < best_distance) best_distance = d, best = names[i];
  }
  return best;
}

Checkpoint with_entries(const Contents& like, std::vector<Entry> entries) {
  Contents contents = like;
  contents.entries = std::move(entries);
  return Checkpoint(Checkpoint::Impl::make(std::move(contents)));
}

std::vector<Entry> entries_under(const std::vector<Entry>& all, const std::string& prefix) {
  std::vector<Entry> found;
  for (const Entry& entry : all) {
    if (!entry.info.name.starts_with(prefix) || entry.info.name.size() == prefix.size()) continue;
    found.push_back(entry);
    found.back().info.name.erase(0, prefix.size());
  }
  return found;
}

}  // namespace

std::shared_ptr<const Checkpoint::Impl> Checkpoint::Impl::make(Contents contents) {
  auto impl = std::make_shared<Impl>();
  const std::string& path = contents.path;
  if (contents.entries.size() > weights::kMaxTensors)
    fail(Kind::resource, "{}: {} tensors, at most {} are read", path, contents.entries.size(),
         weights::kMaxTensors);
  uint64_t total = 0;
  impl->names.reserve(contents.entries.size());
  for (const Entry& entry : contents.entries) {
    if (entry.info.name.size() > weights::kMaxNameLength)
      fail(Kind::resource, "{}: tensor name '{}' has {} characters, at most {} are read", path,
           printable(entry.info.name), entry.info.name.size(), weights::kMaxNameLength);
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(entry.elements()),
                               weights::size_of(entry.stored), &bytes) ||
        __builtin_add_overflow(total, bytes, &total) ||
        total > weights::allowed_bytes(contents.file_bytes))
      fail(Kind::resource,
           "{}: its tensors up to '{}' declare more than twice the file ({} bytes) plus 64 MiB; "
           "refused as a bomb",
           path, printable(entry.info.name), contents.file_bytes);
    impl->names.push_back(entry.info.name);
  }
  impl->contents = std::move(contents);
  impl->index.reserve(impl->names.size());
  for (size_t i = 0; i < impl->names.size(); ++i)
    if (!impl->index.emplace(impl->names[i], static_cast<uint32_t>(i)).second)
      fail(Kind::model, "{}: tensor '{}' occurs twice", impl->contents.path,
           printable(impl->names[i]));
  return impl;
}

const Entry* Checkpoint::Impl::find(std::string_view name) const {
  const auto found = index.find(name);
  return found == index.end() ? nullptr : &contents.entries[found->second];
}

const Entry& Checkpoint::Impl::at(const std::string& name) const {
  if (const Entry* entry = find(name)) return *entry;
  const std::string similar = most_similar(names, name);
  fail(Kind::model, "{}: no tensor '{}' among {}{}", contents.path, printable(name), names.size(),
       similar.empty() ? "" : "; did you mean '" + printable(similar) + "'?");
}

Checkpoint Checkpoint::open(const std::string& path) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  return Checkpoint(Impl::make(folder ? weights::read_folder(path)
                                      : weights::read_file(weights::MappedFile::open(path))));
}

const std::string& Checkpoint::path() const noexcept { return impl_->contents.path; }

const std::string& Checkpoint::format() const noexcept { return impl_->contents.format; }

const std::vector<std::string>& Checkpoint::files() const noexcept { return impl_->contents.files; }

const std::map<std::string, std::string>& Checkpoint::metadata() const noexcept {
  return impl_->contents.metadata;
}

std::span<const std::string> Checkpoint::names() const noexcept { return impl_->names; }

bool Checkpoint::contains(const std::string& name) const noexcept {
  return impl_->find(name) != nullptr;
}

const TensorInfo& Checkpoint::info(const std::string& name) const { return impl_->at(name).info; }

void Checkpoint::read_f32(const std::string& name, std::span<float> out) const {
  const Entry& entry = impl_->at(name);
  if (static_cast<int64_t>(out.size()) != entry.elements())
    fail(Kind::usage, "{}: tensor '{}' of shape {} read into {} values", path(), name,
         entry.info.shape.str(), out.size());
  weights::read_floats(entry, out);
}

void Checkpoint::read_i64(const std::string& name, std::span<int64_t> out) const {
  const Entry& entry = impl_->at(name);
  if (static_cast<int64_t>(out.size()) != entry.elements())
    fail(Kind::usage, "{}: tensor '{}' of shape {} read into {} values", path(), name,
         entry.info.shape.str(), out.size());
  weights::read_integers(entry, out);
}

std::vector<float> Checkpoint::f32(const std::string& name) const {
  std::vector<float> values(static_cast<size_t>(impl_->at(name).elements()));
  read_f32(name, values);
  return values;
}

std::vector<int64_t> Checkpoint::i64(const std::string& name) const {
  std::vector<int64_t> values(static_cast<size_t>(impl_->at(name).elements()));
  read_i64(name, values);
  return values;
}

std::optional<Checkpoint::Raw> Checkpoint::raw(const std::string& name) const {
  return weights::raw_bytes(impl_->at(name));
}

Checkpoint Checkpoint::under(const std::string& prefix) const {
  return with_entries(impl_->contents, entries_under(impl_->contents.entries, prefix));
}

Checkpoint Checkpoint::unwrapped() const {
  std::vector<Entry> entries;
  for (const char* wrapper :
       {"model.", "state_dict.", "model_state_dict.", "params.", "opt.target."}) {
    entries = entries_under(impl_->contents.entries, wrapper);
    if (!entries.empty()) break;
  }
  const bool wrapped = !entries.empty();
  if (!wrapped) entries = impl_->contents.entries;
  const bool parallel =
      !entries.empty() && std::all_of(entries.begin(), entries.end(), [](const Entry& entry) {
        return entry.info.name.starts_with("module.");
      });
  if (parallel) entries = entries_under(entries, "module.");
  return wrapped || parallel ? with_entries(impl_->contents, std::move(entries)) : *this;
}

}  // namespace beckon
