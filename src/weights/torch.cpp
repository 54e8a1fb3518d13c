// PyTorch checkpoints, as torch.save writes them.
//
// Zip (since 1.6): <top>/data.pkl is the pickle, <top>/data/<key> the storages, stored and aligned;
// <top>/byteorder. Legacy: five pickles or pieces in a row: the magic number, the protocol (1001),
// a dictionary about the writing machine, the object, the list of storage keys; then for each key
// its element count (i64) and its values.
#include <algorithm>
#include <unordered_map>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"
#include "weights/pickle.h"
#include "weights/zip.h"

namespace beckon::weights {
namespace {

// pickle.dumps(0x1950a86a20f9469cfc6c, protocol=2)
constexpr std::string_view kLegacyMagic("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", 15);
constexpr int kMaxDepth = 16;

struct Held {
  std::shared_ptr<const Storage> storage;
  uint64_t size = 0;
};
using Storages = std::unordered_map<std::string_view, Held>;

// Walks the object and makes an entry of every tensor in it, named by the way there.
class Flattener {
 public:
  Flattener(const pickle::Result& object, const Storages& storages, bool swapped,
            Contents& contents)
      : object_(object), storages_(storages), swapped_(swapped), contents_(contents) {}

  void run() {
    std::string name;
    visit(object_.root, name, 0);
  }

 private:
  void visit(pickle::Index i, std::string& name, int depth) {
    const pickle::Value& value = object_[i];
    // A pickle may hold itself, or the same list many times over; depth and count bound the walk.
    if (++visited_ > 1'000'000)
      fail(Kind::resource, "{}: more than a million items in its dictionaries", contents_.path);
    if (value.kind == pickle::Kind::tensor)
      return add(object_.tensors[static_cast<size_t>(value.number)], name);
    if (value.kind != pickle::Kind::dict && value.kind != pickle::Kind::list) return;
    if (depth == kMaxDepth)
      fail(Kind::model, "{}: dictionaries nested more than {} deep at '{}'", contents_.path,
           kMaxDepth, printable(name));
    const auto& items = object_.items(i);
    const size_t length = name.size();
    const bool is_dict = value.kind == pickle::Kind::dict;
    for (size_t k = 0; k < items.size(); k += is_dict ? 2 : 1) {
      if (!name.empty()) name += '.';
      name += is_dict ? key_text(object_[items[k]]) : std::to_string(k);
      if (name.size() > kMaxNameLength)
        fail(Kind::resource, "{}: tensor name '{}' is longer than {}", contents_.path,
             printable(name), kMaxNameLength);
      visit(items[is_dict ? k + 1 : k], name, depth + 1);
      name.resize(length);
    }
  }

  static std::string key_text(const pickle::Value& key) {
    if (key.kind == pickle::Kind::text) return std::string(key.text.substr(0, kMaxNameLength + 1));
    if (key.kind == pickle::Kind::integer) return std::to_string(key.number);
    return "?";
  }

  void add(const pickle::TensorRef& tensor, const std::string& name) {
    const pickle::StorageRef& ref = object_.storages[tensor.storage];
    const std::string where = fmt::format("{}: tensor '{}'", contents_.path, printable(name));
    if (contents_.entries.size() == kMaxTensors)
      fail(Kind::resource, "{}: more than {} tensors", contents_.path, kMaxTensors);
    const auto held = storages_.find(ref.key);
    if (held == storages_.end())
      fail(Kind::model, "{}: its storage '{}' is not in the file", where, printable(ref.key));
    uint64_t wanted = 0;
    if (__builtin_mul_overflow(
            static_cast<uint64_t>(ref.elements) + static_cast<uint64_t>(ref.offset),
            size_of(ref.stored), &wanted) ||
        wanted > held->second.size)
      fail(Kind::model, "{}: its storage '{}' has {} bytes, {} elements from {} are declared",
           where, printable(ref.key), held->second.size, ref.elements, ref.offset);

    Entry entry;
    entry.info = {name.empty() ? "tensor" : name, offered_as(tensor.stored), tensor.shape};
    entry.stored = tensor.stored;
    entry.swapped = swapped_;
    entry.strides = tensor.strides;
    if (__builtin_add_overflow(tensor.offset, ref.offset, &entry.offset))
      fail(Kind::model, "{}: its offset overflows", where);
    entry.storage = held->second.storage;
    check_inside(entry, contents_.path);
    contents_.entries.push_back(std::move(entry));
  }

  const pickle::Result& object_;
  const Storages& storages_;
  bool swapped_;
  Contents& contents_;
  size_t visited_ = 0;
};

void require_tensors(const Contents& contents) {
  if (contents.entries.empty())
    fail(Kind::model, "{}: a PyTorch file without a tensor in it", contents.path);
}

const ZipMember* find_member(const std::vector<ZipMember>& members, std::string_view name) {
  for (const ZipMember& member : members)
    if (member.name == name) return &member;
  return nullptr;
}

bool is_big_endian(const File& file, const std::vector<ZipMember>& members,
                   const std::string& top) {
  const ZipMember* member = find_member(members, top + "byteorder");
  if (!member) return false;
  const std::vector<std::byte> bytes = zip_head(file, *member, 16);
  const std::string_view order = as_text(bytes);
  if (order != "little" && order != "big")
    fail(Kind::model, "{}: byteorder is '{}', expected 'little' or 'big'", file->path(),
         printable(order));
  return order == "big";
}

// The dictionary about the writing machine: {"little_endian": True, ...}
bool written_big_endian(const pickle::Result& about) {
  if (about[about.root].kind != pickle::Kind::dict) return false;
  const auto& items = about.items(about.root);
  for (size_t k = 0; k + 1 < items.size(); k += 2)
    if (about[items[k]].text == "little_endian") return about[items[k + 1]].number == 0;
  return false;
}

}  // namespace

Contents read_torch_zip(const File& file) {
  const std::vector<ZipMember> members = read_zip(file);
  const ZipMember* object_member = nullptr;
  std::string top;
  for (const ZipMember& member : members) {
    if (member.name != "data.pkl" && !member.name.ends_with("/data.pkl")) continue;
    if (object_member) fail(Kind::model, "{}: two members are called data.pkl", file->path());
    object_member = &member;
    top = member.name.substr(0, member.name.size() - 8);
  }
  if (!object_member) fail(Kind::model, "{}: a zip file without data.pkl", file->path());
  if (object_member->size > allowed_bytes(file->size()))
    fail(Kind::resource, "{}: data.pkl declares {} bytes; refused as a bomb", file->path(),
         object_member->size);

  Storages storages;
  uint64_t inflated = 0;
  const std::string folder = top + "data/";
  for (const ZipMember& member : members) {
    if (!member.name.starts_with(folder)) continue;
    if (member.deflated && (inflated += member.size) > allowed_bytes(file->size()))
      fail(Kind::resource,
           "{}: its storages inflate to more than twice the file plus 64 MiB; refused as a bomb",
           file->path());
    storages[member.name.substr(folder.size())] = {zip_storage(file, member), member.size};
  }

  Contents contents{file->path(), "pytorch", {}, {}, {}, file->size()};
  const Bytes bytes = zip_storage(file, *object_member)->bytes();
  const pickle::Result object =
      pickle::read(bytes.span, fmt::format("{}: {}", file->path(), printable(object_member->name)));
  Flattener(object, storages, is_big_endian(file, members, top), contents).run();
  require_tensors(contents);
  return contents;
}

Contents read_torch_pickle(const File& file) {
  Contents contents{file->path(), "pytorch", {}, {}, {}, file->size()};
  const auto bytes = file->bytes();
  uint64_t at = 0;
  const auto next = [&](const char* what) {
    pickle::Result result =
        pickle::read(bytes.subspan(at), fmt::format("{}: {} at {}", file->path(), what, at));
    at += result.used;
    return result;
  };

  if (!as_text(bytes).starts_with(kLegacyMagic)) {
    next("pickle");  // says what it refers to, if that is more than data
    fail(Kind::model, "{}: a Python pickle, but not one that torch.save wrote", file->path());
  }
  at = kLegacyMagic.size();
  const pickle::Result protocol = next("protocol");
  if (protocol[protocol.root].number != 1001)
    fail(Kind::unsupported, "{}: PyTorch file protocol {}, 1001 is read", file->path(),
         protocol[protocol.root].number);
  const bool swapped = written_big_endian(next("system description"));
  const pickle::Result object = next("object");
  const pickle::Result keys = next("storage keys");
  if (keys[keys.root].kind != pickle::Kind::list)
    fail(Kind::model, "{}: no list of storage keys after the object", file->path());

  std::unordered_map<std::string_view, Stored> types;
  for (const pickle::StorageRef& ref : object.storages) {
    const auto [known, added] = types.emplace(ref.key, ref.stored);
    if (!added && known->second != ref.stored)
      fail(Kind::model, "{}: storage '{}' has two element types", file->path(), printable(ref.key));
  }
  Storages storages;
  Cursor cursor(bytes, file->path() + ": storages", at);
  for (pickle::Index i : keys.items(keys.root)) {
    const std::string_view key = keys[i].text;
    const auto type = types.find(key);
    if (type == types.end())
      fail(Kind::model, "{}: storage '{}' belongs to no tensor", file->path(), printable(key));
    uint64_t elements = cursor.u64(), size = 0;
    if (swapped) elements = __builtin_bswap64(elements);
    if (__builtin_mul_overflow(elements, size_of(type->second), &size) || size > cursor.left())
      fail(Kind::model, "{}: storage '{}' of {} elements at {}, {} bytes are left (cut off?)",
           file->path(), printable(key), elements, cursor.position(), cursor.left());
    storages[key] = {mapped_storage(file, cursor.position(), size), size};
    cursor.skip(size);
  }
  if (!cursor.done())
    fail(Kind::model, "{}: {} bytes after the last storage", file->path(), cursor.left());

  Flattener(object, storages, swapped, contents).run();
  require_tensors(contents);
  return contents;
}

}  // namespace beckon::weights
