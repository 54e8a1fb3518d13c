#include "weights/pickle.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "base/fail.h"
#include "weights/cursor.h"

namespace beckon::weights::pickle {
namespace {

using beckon::Kind::model;
using beckon::Kind::resource;
using beckon::Kind::unsupported;

// 50,000 tensors take about this many; together with their lists they stay below 64 MiB.
constexpr size_t kMaxValues = 500'000;
constexpr size_t kMaxMemo = 1'000'000;
constexpr size_t kMaxSteps = 8'000'000;

// What a name means here.
enum class Role {
  ordered_dict,
  new_dict,
  sequence,      // list, tuple, set, torch.Size: the argument's items
  storage_type,  // torch.FloatStorage: an element type
  element_type,  // torch.float32
  tensor,        // torch._utils._rebuild_tensor and its versions 2 and 3
  unwrap,        // returns its first argument: parameters
  typed_tensor,  // (function, class, arguments, state) -> function(arguments)
  harmless,      // makes something that holds no weights
  module,        // an object of a TorchScript archive: its attributes, as a dictionary
};

struct Name {
  std::string_view module, name;
  Role role;
  Stored stored = Stored::u8;
};

constexpr Name kNames[] = {
    // Whatever class of __torch__, see push_name(). The code beside it in the archive is not read.
    {"__torch__", "", Role::module},
    {"torch.jit._pickle", "build_intlist", Role::sequence},
    {"torch.jit._pickle", "build_doublelist", Role::sequence},
    {"torch.jit._pickle", "build_boollist", Role::sequence},
    {"torch.jit._pickle", "build_tensorlist", Role::sequence},
    {"torch.jit._pickle", "restore_type_tag", Role::unwrap},

    {"collections", "OrderedDict", Role::ordered_dict},
    {"collections", "defaultdict", Role::new_dict},
    {"builtins", "dict", Role::new_dict},
    {"__builtin__", "dict", Role::new_dict},
    {"builtins", "list", Role::sequence},
    {"__builtin__", "list", Role::sequence},
    {"builtins", "tuple", Role::sequence},
    {"__builtin__", "tuple", Role::sequence},
    {"builtins", "set", Role::sequence},
    {"__builtin__", "set", Role::sequence},
    {"builtins", "frozenset", Role::sequence},
    {"__builtin__", "frozenset", Role::sequence},
    {"torch", "Size", Role::sequence},

    {"torch._utils", "_rebuild_tensor", Role::tensor},
    {"torch._utils", "_rebuild_tensor_v2", Role::tensor},
    {"torch._utils", "_rebuild_tensor_v3", Role::tensor},
    {"torch._utils", "_rebuild_parameter", Role::unwrap},
    {"torch._utils", "_rebuild_parameter_with_state", Role::unwrap},
    {"torch.nn.parameter", "Parameter", Role::unwrap},
    {"torch.nn.parameter", "Buffer", Role::unwrap},
    {"torch._tensor", "_rebuild_from_type_v2", Role::typed_tensor},

    {"torch", "FloatStorage", Role::storage_type, Stored::f32},
    {"torch", "DoubleStorage", Role::storage_type, Stored::f64},
    {"torch", "HalfStorage", Role::storage_type, Stored::f16},
    {"torch", "BFloat16Storage", Role::storage_type, Stored::bf16},
    {"torch", "LongStorage", Role::storage_type, Stored::i64},
    {"torch", "IntStorage", Role::storage_type, Stored::i32},
    {"torch", "ShortStorage", Role::storage_type, Stored::i16},
    {"torch", "CharStorage", Role::storage_type, Stored::i8},
    {"torch", "ByteStorage", Role::storage_type, Stored::u8},
    {"torch", "BoolStorage", Role::storage_type, Stored::boolean},
    {"torch", "UntypedStorage", Role::storage_type, Stored::u8},
    {"torch.storage", "UntypedStorage", Role::storage_type, Stored::u8},
    {"torch.storage", "_UntypedStorage", Role::storage_type, Stored::u8},

    {"torch", "float32", Role::element_type, Stored::f32},
    {"torch", "float64", Role::element_type, Stored::f64},
    {"torch", "float16", Role::element_type, Stored::f16},
    {"torch", "bfloat16", Role::element_type, Stored::bf16},
    {"torch", "int64", Role::element_type, Stored::i64},
    {"torch", "int32", Role::element_type, Stored::i32},
    {"torch", "int16", Role::element_type, Stored::i16},
    {"torch", "int8", Role::element_type, Stored::i8},
    {"torch", "uint64", Role::element_type, Stored::u64},
    {"torch", "uint32", Role::element_type, Stored::u32},
    {"torch", "uint16", Role::element_type, Stored::u16},
    {"torch", "uint8", Role::element_type, Stored::u8},
    {"torch", "bool", Role::element_type, Stored::boolean},

    // Met beside the weights in what training scripts save. They become a value that nobody looks
    // into.
    {"torch", "Tensor", Role::harmless},
    {"torch", "device", Role::harmless},
    {"argparse", "Namespace", Role::harmless},
    {"numpy", "dtype", Role::harmless},
    {"numpy", "ndarray", Role::harmless},
    {"numpy.core.multiarray", "scalar", Role::harmless},
    {"numpy.core.multiarray", "_reconstruct", Role::harmless},
    {"numpy._core.multiarray", "scalar", Role::harmless},
    {"numpy._core.multiarray", "_reconstruct", Role::harmless},
    {"_codecs", "encode", Role::harmless},
    {"builtins", "int", Role::harmless},
    {"__builtin__", "int", Role::harmless},
    {"builtins", "float", Role::harmless},
    {"__builtin__", "float", Role::harmless},
    {"builtins", "bool", Role::harmless},
    {"__builtin__", "bool", Role::harmless},
    {"builtins", "complex", Role::harmless},
    {"__builtin__", "complex", Role::harmless},
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where) : in_(bytes, where) {}

  Result run() {
    for (;;) {
      at_ = in_.position();
      const uint8_t op = in_.u8();
      if (op == '.') break;
      if (++steps_ > kMaxSteps) refuse(resource, "more than {} steps", kMaxSteps);
      step(op);
    }
    result_.root = pop();
    result_.used = in_.position();
    return std::move(result_);
  }

 private:
  // Messages name the byte of the opcode at fault.
  template <typename... Args>
  [[noreturn]] void refuse(beckon::Kind kind, fmt::format_string<Args...> format,
                           Args&&... args) const {
    fail(kind, "{}: pickle byte {}: {}", in_.where(), at_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  Index add(Value value) {
    if (result_.values.size() == kMaxValues) refuse(resource, "more than {} values", kMaxValues);
    result_.values.push_back(value);
    return static_cast<Index>(result_.values.size() - 1);
  }
  Index add_list(Kind kind, std::vector<Index> items) {
    result_.lists.push_back(std::move(items));
    return add({kind, static_cast<Index>(result_.lists.size() - 1)});
  }
  void push(Value value) { stack_.push_back(add(value)); }
  void push_list(Kind kind, std::vector<Index> items) {
    stack_.push_back(add_list(kind, std::move(items)));
  }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Index pop() {
    if (stack_.size() <= floor()) refuse(model, "takes a value from an empty stack");
    const Index top = stack_.back();
    stack_.pop_back();
    return top;
  }
  Index top() const {
    if (stack_.size() <= floor()) refuse(model, "looks at an empty stack");
    return stack_.back();
  }
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) refuse(model, "no mark on the stack");
    std::vector<Index> items(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  std::vector<Index> pop_some(size_t count) {
    std::vector<Index> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }

  const Value& value(Index i) const { return result_.values[i]; }
  const Value& expect(Index i, Kind kind, const char* what) const {
    if (value(i).kind != kind) refuse(model, "{} is of the wrong kind", what);
    return value(i);
  }
  int64_t integer(Index i, const char* what) const {
    const Value& v = value(i);
    if (v.kind != Kind::integer) refuse(model, "{} is not an integer", what);
    return v.number;
  }
  const std::vector<Index>& items(Index i) const { return result_.lists[value(i).items]; }
  const Name& name(Index i, const char* what) const {
    return kNames[static_cast<size_t>(expect(i, Kind::name, what).number)];
  }

  void step(uint8_t op) {
    switch (op) {
      case 0x80:  // PROTO
        if (const uint8_t protocol = in_.u8(); protocol < 2 || protocol > 5)
          refuse(unsupported, "protocol {}; 2 to 5 are read", protocol);
        return;
      case 0x95:  // FRAME
        return in_.skip(8);
      case '(':  // MARK
        if (marks_.size() == kMaxValues) refuse(resource, "more than {} marks", kMaxValues);
        return marks_.push_back(stack_.size());
      case '0':  // POP
        pop();
        return;
      case '1':  // POP_MARK
        pop_to_mark();
        return;

      case 'N':  // NONE
        return push({});
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        return push({Kind::boolean, 0, op == 0x88});
      case 'J':  // BININT
        return push({Kind::integer, 0, static_cast<int32_t>(in_.u32())});
      case 'K':  // BININT1
        return push({Kind::integer, 0, in_.u8()});
      case 'M':  // BININT2
        return push({Kind::integer, 0, in_.u16()});
      case 0x8a:  // LONG1
        return push_long(in_.take(in_.u8()));
      case 0x8b:  // LONG4
        return push_long(in_.take(in_.u32()));
      case 'G':  // BINFLOAT
        in_.skip(8);
        return push({Kind::real});

      case 'X':  // BINUNICODE
        return push({Kind::text, 0, 0, in_.text(in_.u32())});
      case 0x8c:  // SHORT_BINUNICODE
        return push({Kind::text, 0, 0, in_.text(in_.u8())});
      case 0x8d:  // BINUNICODE8
        return push({Kind::text, 0, 0, in_.text(in_.u64())});
      case 'U':  // SHORT_BINSTRING, text of Python 2
        return push({Kind::text, 0, 0, in_.text(in_.u8())});
      case 'T':  // BINSTRING
        return push({Kind::text, 0, 0, in_.text(in_.u32())});
      case 'C':  // SHORT_BINBYTES
        return push({Kind::bytes, 0, 0, in_.text(in_.u8())});
      case 'B':  // BINBYTES
        return push({Kind::bytes, 0, 0, in_.text(in_.u32())});
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return push({Kind::bytes, 0, 0, in_.text(in_.u64())});

      case ']':   // EMPTY_LIST
      case ')':   // EMPTY_TUPLE
      case 0x8f:  // EMPTY_SET
        return push_list(Kind::list, {});
      case '}':  // EMPTY_DICT
        return push_list(Kind::dict, {});
      case 't':   // TUPLE
      case 'l':   // LIST
      case 0x91:  // FROZENSET
        return push_list(Kind::list, pop_to_mark());
      case 'd': {  // DICT
        const Index dict = add_list(Kind::dict, {});
        set_items(dict, pop_to_mark());
        return stack_.push_back(dict);
      }
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return push_list(Kind::list, pop_some(op - 0x84u));
      case 'a':  // APPEND
        return append(pop_some(1));
      case 'e':   // APPENDS
      case 0x90:  // ADDITEMS
        return append(pop_to_mark());
      case 's': {  // SETITEM
        const auto pair = pop_some(2);
        return set_items(top(), pair);
      }
      case 'u': {  // SETITEMS
        const auto pairs = pop_to_mark();
        return set_items(top(), pairs);
      }

      case 'q':  // BINPUT
        return remember(in_.u8());
      case 'r':  // LONG_BINPUT
        return remember(in_.u32());
      case 0x94:  // MEMOIZE
        return remember(memo_.size());
      case 'h':  // BINGET
        return recall(in_.u8());
      case 'j':  // LONG_BINGET
        return recall(in_.u32());

      case 'c': {  // GLOBAL
        const std::string_view module = line();
        return push_name(module, line());
      }
      case 0x93: {  // STACK_GLOBAL
        const auto pair = pop_some(2);
        return push_name(expect(pair[0], Kind::text, "a module name").text,
                         expect(pair[1], Kind::text, "a name").text);
      }
      case 'R':     // REDUCE
      case 0x81: {  // NEWOBJ
        const auto pair = pop_some(2);
        return stack_.push_back(apply(pair[0], pair[1], 0));
      }
      case 0x92: {  // NEWOBJ_EX
        const auto three = pop_some(3);
        return stack_.push_back(apply(three[0], three[1], 0));
      }
      case 'b': {  // BUILD: attributes of an object, such as the _metadata of a state dict
        const Index attributes = pop();
        const Index object = top();
        // Only those of TorchScript's modules hold weights.
        if (modules_.contains(object) && value(attributes).kind == Kind::dict)
          set_items(object, std::vector<Index>(items(attributes)));
        return;
      }
      case 'Q':  // BINPERSID
        return push_storage(pop());
      default:
        refuse(unsupported, "opcode 0x{:02x}, which no checkpoint uses", op);
    }
  }

  // Little-endian two's complement of any length; what does not fit 64 bits is no size or index.
  void push_long(std::span<const std::byte> bytes) {
    if (bytes.size() > 8) return push({Kind::opaque});
    uint64_t number = 0;
    for (size_t i = 0; i < bytes.size(); ++i) number |= static_cast<uint64_t>(bytes[i]) << (8 * i);
    if (!bytes.empty() && bytes.size() < 8 && (bytes.back() & std::byte{0x80}) != std::byte{0})
      number |= ~uint64_t{0} << (8 * bytes.size());
    push({Kind::integer, 0, static_cast<int64_t>(number)});
  }

  std::string_view line() {
    constexpr uint64_t kLongest = 500;
    std::string_view ahead = Cursor(in_).text(std::min(in_.left(), kLongest));
    const size_t end = ahead.find('\n');
    if (end == ahead.npos) refuse(model, "a name without an end");
    in_.skip(end + 1);
    return ahead.substr(0, end);
  }

  void remember(size_t slot) {
    if (slot >= kMaxMemo) refuse(resource, "memo entry {}", slot);
    if (slot >= memo_.size()) memo_.resize(slot + 1, kNothing);
    memo_[slot] = top();
  }
  void recall(size_t slot) {
    if (slot >= memo_.size() || memo_[slot] == kNothing)
      refuse(model, "memo entry {} was never written", slot);
    if (stack_.size() > 4 * kMaxValues) refuse(resource, "a stack of {} values", stack_.size());
    stack_.push_back(memo_[slot]);
  }

  // A list may grow by references to few values, so its items count towards a limit of their own.
  void count_items(size_t count) {
    item_count_ += count;
    if (item_count_ > 4 * kMaxValues)
      refuse(resource, "more than {} items in its lists", 4 * kMaxValues);
  }
  void append(const std::vector<Index>& more) {
    const Index list = top();
    if (value(list).kind == Kind::opaque) return;
    expect(list, Kind::list, "what is appended to");
    count_items(more.size());
    auto& into = result_.lists[value(list).items];
    into.insert(into.end(), more.begin(), more.end());
  }
  void set_items(Index dict, const std::vector<Index>& pairs) {
    if (value(dict).kind == Kind::opaque) return;
    expect(dict, Kind::dict, "what items are set in");
    if (pairs.size() % 2 != 0) refuse(model, "a key without a value");
    count_items(pairs.size());
    auto& into = result_.lists[value(dict).items];
    into.insert(into.end(), pairs.begin(), pairs.end());
  }

  void push_name(std::string_view module, std::string_view called) {
    for (size_t i = 0; i < std::size(kNames); ++i)
      if (kNames[i].module == module && kNames[i].name == called)
        return push({Kind::name, 0, static_cast<int64_t>(i)});
    if (module.starts_with("__torch__")) return push({Kind::name, 0, 0});
    const char* hint = module == "torch" && called.ends_with("Storage")
                           ? " (an element type that is not read)"
                           : "; a checkpoint of tensors has no need of it, and nothing was run";
    refuse(model, "refers to '{}.{}'{}", printable(module), printable(called), hint);
  }

  Index apply(Index callee, Index arguments, int depth) {
    const Name& what = name(callee, "what is called");
    expect(arguments, Kind::list, "an argument list");
    const std::vector<Index> args = items(arguments);
    const auto need = [&](size_t count) {
      if (args.size() < count)
        refuse(model, "{}.{} with {} arguments, at least {} needed", what.module, what.name,
               args.size(), count);
    };
    switch (what.role) {
      case Role::ordered_dict: {
        const Index dict = add_list(Kind::dict, {});
        if (args.empty()) return dict;
        std::vector<Index>
            pairs;  // OrderedDict([(key, value), ...]), as protocol 2 of Python 2 wrote it
        expect(args[0], Kind::list, "the items of a dictionary");
        for (Index pair : items(args[0])) {
          expect(pair, Kind::list, "an item of a dictionary");
          if (items(pair).size() != 2) refuse(model, "an item of a dictionary is not a pair");
          pairs.insert(pairs.end(), items(pair).begin(), items(pair).end());
        }
        set_items(dict, pairs);
        return dict;
      }
      case Role::new_dict:
        return add_list(Kind::dict, {});
      case Role::sequence:
        if (args.empty()) return add_list(Kind::list, {});
        if (value(args[0]).kind != Kind::list) return add({Kind::opaque});
        return args[0];
      case Role::tensor:
        need(4);
        return make_tensor(args, what.name.ends_with("_v3"));
      case Role::unwrap:
        need(1);
        return args[0];
      case Role::typed_tensor:
        need(3);
        if (depth > 2) refuse(model, "tensor types nested too deep");
        return apply(args[0], args[2], depth + 1);
      case Role::harmless:
        return add({Kind::opaque});
      case Role::module: {
        const Index object = add_list(Kind::dict, {});
        modules_.insert(object);
        return object;
      }
      case Role::storage_type:
      case Role::element_type:
        refuse(model, "calls {}.{}, which is a type", what.module, what.name);
    }
    return callee;
  }

  Shape sizes(Index list, const char* what) const {
    expect(list, Kind::list, what);
    const auto& numbers = items(list);
    if (numbers.size() > Shape::kMaxRank)
      refuse(unsupported, "a tensor of {} dimensions, at most {} are read", numbers.size(),
             Shape::kMaxRank);
    Shape shape;
    for (Index i : numbers) {
      const int64_t number = integer(i, what);
      if (number < 0) refuse(model, "{} of {}", what, number);
      shape.push_back(number);
    }
    return shape;
  }

  // (storage, offset, sizes, strides, requires_grad, hooks[, dtype])
  Index make_tensor(const std::vector<Index>& args, bool has_dtype) {
    TensorRef tensor;
    tensor.storage =
        static_cast<Index>(expect(args[0], Kind::storage, "the storage of a tensor").number);
    tensor.stored = result_.storages[tensor.storage].stored;
    if (has_dtype) {
      if (args.size() < 7) refuse(model, "a tensor without its element type");
      const Name& type = name(args[6], "an element type");
      if (type.role != Role::element_type)
        refuse(model, "'{}.{}' is not an element type", type.module, type.name);
      tensor.stored = type.stored;
    }
    tensor.offset = integer(args[1], "the offset of a tensor");
    tensor.shape = sizes(args[2], "a size");
    tensor.strides = sizes(args[3], "a stride");
    if (tensor.shape.rank() != tensor.strides.rank())
      refuse(model, "a tensor with {} sizes and {} strides", tensor.shape.rank(),
             tensor.strides.rank());
    result_.tensors.push_back(tensor);
    return add({Kind::tensor, 0, static_cast<int64_t>(result_.tensors.size() - 1)});
  }

  // ("storage", type, key, location, elements[, view]), where view is None or (key, offset,
  // elements)
  void push_storage(Index id) {
    expect(id, Kind::list, "a persistent id");
    const std::vector<Index> parts = items(id);
    if (parts.empty() || value(parts[0]).kind != Kind::text)
      refuse(model, "a persistent id of an unknown form");
    const std::string_view kind = value(parts[0]).text;
    if (kind == "module") refuse(unsupported, "a whole pickled network; a state dict is needed");
    if (kind != "storage" || parts.size() < 5)
      refuse(model, "a persistent id '{}'", printable(kind));
    const Name& type = name(parts[1], "the type of a storage");
    if (type.role != Role::storage_type)
      refuse(model, "'{}.{}' is not a storage", type.module, type.name);
    StorageRef storage{type.stored, expect(parts[2], Kind::text, "the key of a storage").text,
                       integer(parts[4], "the size of a storage")};
    if (parts.size() > 5 && value(parts[5]).kind == Kind::list) {
      const auto& view = items(parts[5]);
      if (view.size() != 3) refuse(model, "a storage view of {} parts", view.size());
      storage.offset = integer(view[1], "the offset of a storage view");
      storage.elements = integer(view[2], "the size of a storage view");
    }
    if (storage.elements < 0 || storage.offset < 0) refuse(model, "a storage of negative size");
    result_.storages.push_back(storage);
    push({Kind::storage, 0, static_cast<int64_t>(result_.storages.size() - 1)});
  }

  static constexpr Index kNothing = ~Index{0};

  Cursor in_;
  uint64_t at_ = 0;
  Result result_;
  std::vector<Index> stack_;
  std::vector<size_t> marks_;
  std::vector<Index> memo_;
  std::unordered_set<Index> modules_;  // made by Role::module
  size_t item_count_ = 0, steps_ = 0;
};

}  // namespace

Result read(std::span<const std::byte> bytes, const std::string& where) {
  return Machine(bytes, where).run();
}

}  // namespace beckon::weights::pickle
