// ONNX models: protocol buffers, of which the tensors are read and the nodes' names.
//
//   ModelProto  2 producer_name  3 producer_version  7 graph
//   GraphProto  1 node...  2 name  5 initializer...
//   NodeProto   1 input...  2 output...  3 name  4 op_type  5 attribute...
//   Attribute   1 name  5 t (a tensor)
//   TensorProto 1 dims...  2 data_type  4 float_data  5 int32_data  7 int64_data  8 name  9
//   raw_data  10 double_data
//               11 uint64_data  13 external_data  14 data_location
#include "weights/onnx.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "weights/cursor.h"

namespace beckon::weights {
namespace {

// One field of a message. Numbers are in `number`, texts and messages in `bytes`, with their place
// in the file.
struct Field {
  uint32_t id = 0;
  enum class Wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 } wire = Wire::varint;
  uint64_t number = 0;
  uint64_t offset = 0;  // of `bytes`, in the file
  std::span<const std::byte> bytes;
};

uint64_t read_varint(Cursor& cursor) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = cursor.u8();
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail(Kind::model, "{}: a number of more than 64 bits at {}", cursor.where(), cursor.position());
}

// The fields of the message in [offset, offset + size) of a file.
class Message {
 public:
  Message(const File& file, uint64_t offset, uint64_t size, const char* what)
      : cursor_(file->bytes().first(offset + size), file->path() + ": ONNX " + what, offset) {}

  bool next(Field& field) {
    if (cursor_.done()) return false;
    const uint64_t tag = read_varint(cursor_);
    field.id = static_cast<uint32_t>(tag >> 3);
    field.wire = static_cast<Field::Wire>(tag & 7);
    field.bytes = {};
    if (field.id == 0 || tag > UINT32_MAX) refuse("field number 0");
    switch (field.wire) {
      case Field::Wire::varint:
        field.number = read_varint(cursor_);
        return true;
      case Field::Wire::fixed64:
        return take(field, 8);
      case Field::Wire::fixed32:
        return take(field, 4);
      case Field::Wire::bytes:
        return take(field, read_varint(cursor_));
    }
    refuse(fmt::format("wire type {}", static_cast<int>(field.wire)));
  }

  [[noreturn]] void refuse(const std::string& reason) const {
    fail(Kind::model, "{}: {} before byte {}", cursor_.where(), reason, cursor_.position());
  }
  std::span<const std::byte> bytes_of(const Field& field) const {
    if (field.wire != Field::Wire::bytes)
      refuse(fmt::format("field {} is of the wrong type", field.id));
    return field.bytes;
  }
  std::string_view text_of(const Field& field) const { return as_text(bytes_of(field)); }
  uint64_t number_of(const Field& field) const {
    if (field.wire != Field::Wire::varint)
      refuse(fmt::format("field {} is of the wrong type", field.id));
    return field.number;
  }

 private:
  bool take(Field& field, uint64_t size) {
    field.offset = cursor_.position();
    field.bytes = cursor_.take(size);
    return true;
  }
  Cursor cursor_;
};

// An element type and the field that holds its values when they are not raw.
struct ElementType {
  int number;
  Stored stored;
  uint32_t field;
};
constexpr ElementType kElementTypes[] = {
    {1, Stored::f32, 4},  {2, Stored::u8, 5},    {3, Stored::i8, 5},    {4, Stored::u16, 5},
    {5, Stored::i16, 5},  {6, Stored::i32, 5},   {7, Stored::i64, 7},   {9, Stored::boolean, 5},
    {10, Stored::f16, 5}, {11, Stored::f64, 10}, {12, Stored::u32, 11}, {13, Stored::u64, 11},
    {16, Stored::bf16, 5}};

constexpr uint32_t kFloatData = 4, kDoubleData = 10;

// Calls visit(cursor over packed values) or visit for single values; used to count and to decode.
template <typename Visit>
void for_each_value(const File& file, uint64_t offset, uint64_t size, uint32_t id, Visit visit) {
  Message message(file, offset, size, "tensor values");
  Field field;
  const size_t width = id == kFloatData ? 4 : id == kDoubleData ? 8 : 0;
  while (message.next(field)) {
    if (field.id != id) continue;
    if (field.wire == Field::Wire::varint) {
      if (width != 0) message.refuse("a float as an integer");
      visit(field.number);
      continue;
    }
    Cursor values(field.bytes, file->path() + ": ONNX tensor values");
    while (!values.done()) {
      if (width == 4) {
        visit(values.u32());
      } else if (width == 8) {
        visit(values.u64());
      } else {
        visit(read_varint(values));
      }
    }
  }
}

// Values in their own field, element by element; decoded when they are wanted.
class TypedStorage final : public Storage {
 public:
  TypedStorage(File file, uint64_t offset, uint64_t size, uint32_t field, size_t width)
      : file_(std::move(file)), offset_(offset), message_size_(size), field_(field), width_(width) {
    for_each_value(file_, offset_, message_size_, field_, [&](uint64_t) { size_ += width_; });
  }
  uint64_t size() const noexcept override { return size_; }

  Bytes bytes() const override {
    auto data = std::make_shared<std::vector<std::byte>>(size_);
    std::byte* out = data->data();
    for_each_value(file_, offset_, message_size_, field_, [&](uint64_t value) {
      std::memcpy(out, &value, width_);  // little-endian: the low bytes are the value
      out += width_;
    });
    return {data, *data};
  }

 private:
  File file_;
  uint64_t offset_, message_size_;
  uint32_t field_;
  size_t width_;
  uint64_t size_ = 0;
};

struct Tensor {
  std::string_view name;
  std::vector<int64_t> dims;
  int type = 0;
  bool has_raw = false, external = false;
  uint64_t raw_offset = 0, raw_size = 0;
  uint64_t offset = 0, size = 0;  // of the message
};

constexpr size_t kMaxDims = 64;

Tensor read_tensor(const File& file, const Field& where) {
  Tensor tensor;
  tensor.offset = where.offset;
  tensor.size = where.bytes.size();
  Message message(file, tensor.offset, tensor.size, "tensor");
  Field field;
  const auto add_dim = [&](uint64_t size) {
    if (tensor.dims.size() == kMaxDims) message.refuse("too many dimensions");
    tensor.dims.push_back(static_cast<int64_t>(size));
  };
  while (message.next(field)) {
    switch (field.id) {
      case 1:
        if (field.wire == Field::Wire::varint) {
          add_dim(field.number);
        } else {
          Cursor packed(message.bytes_of(field), file->path() + ": ONNX dims");
          while (!packed.done()) add_dim(read_varint(packed));
        }
        break;
      case 2:
        tensor.type = static_cast<int>(std::min<uint64_t>(message.number_of(field), 1000));
        break;
      case 8:
        tensor.name = message.text_of(field);
        break;
      case 9:
        tensor.raw_size = message.bytes_of(field).size();
        tensor.raw_offset = field.offset;
        tensor.has_raw = true;
        break;
      case 13:
        tensor.external = true;
        break;
      case 14:
        tensor.external |= message.number_of(field) == 1;
        break;
      default:
        break;
    }
  }
  return tensor;
}

class GraphReader {
 public:
  GraphReader(const File& file, Contents& contents) : file_(file), contents_(contents) {}

  void model() {
    Message message(file_, 0, file_->size(), "model");
    Field field;
    bool has_graph = false;
    while (message.next(field)) {
      if (field.id == 2)
        contents_.metadata["producer_name"] = message.text_of(field).substr(0, kMaxNameLength);
      if (field.id == 3)
        contents_.metadata["producer_version"] = message.text_of(field).substr(0, kMaxNameLength);
      if (field.id != 7) continue;
      if (has_graph) message.refuse("a second graph");
      has_graph = true;
      message.bytes_of(field);
      graph(field.offset, field.bytes.size());
    }
    if (!has_graph) message.refuse("no graph");
  }

 private:
  void graph(uint64_t offset, uint64_t size) {
    contents_.graphs.push_back({file_, offset, size, ""});
    Message message(file_, offset, size, "graph");
    Field field;
    while (message.next(field)) {
      if (field.id == 1) {
        message.bytes_of(field);
        constant(field);
      } else if (field.id == 5) {
        message.bytes_of(field);
        const Tensor tensor = read_tensor(file_, field);
        add(tensor, std::string(tensor.name), true);
      }
    }
  }

  // A node Constant with a tensor is named by its output, which is unique in a graph.
  void constant(const Field& node) {
    Message message(file_, node.offset, node.bytes.size(), "node");
    Field field;
    std::string_view op, output;
    std::optional<Field> value;
    while (message.next(field)) {
      if (field.id == 2 && output.empty()) output = message.text_of(field);
      if (field.id == 4) op = message.text_of(field);
      if (field.id == 5) {
        message.bytes_of(field);
        if (const auto tensor = attribute_tensor(field)) value = tensor;
      }
    }
    if (op != "Constant" || !value) return;
    add(read_tensor(file_, *value), std::string(output), false);
  }

  std::optional<Field> attribute_tensor(const Field& attribute) {
    Message message(file_, attribute.offset, attribute.bytes.size(), "attribute");
    Field field;
    std::optional<Field> tensor;
    while (message.next(field)) {
      if (field.id != 5) continue;
      message.bytes_of(field);
      tensor = field;
    }
    return tensor;
  }

  // A weight that cannot be read is an error; a constant may be a text or another thing of the
  // graph's own.
  void add(const Tensor& tensor, std::string name, bool weight) {
    const std::string where = fmt::format("{}: ONNX tensor '{}'", file_->path(), printable(name));
    const auto type = std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                                   [&](const ElementType& t) { return t.number == tensor.type; });
    if (type == std::end(kElementTypes)) {
      if (!weight) return;
      fail(Kind::unsupported, "{}: element type {}, which is not read", where, tensor.type);
    }
    if (tensor.external)
      fail(Kind::unsupported, "{}: its values are in another file, which is not read", where);
    if (tensor.dims.size() > static_cast<size_t>(Shape::kMaxRank))
      fail(Kind::unsupported, "{}: {} dimensions, at most {} are read", where, tensor.dims.size(),
           Shape::kMaxRank);
    if (contents_.entries.size() == kMaxTensors)
      fail(Kind::resource, "{}: more than {} tensors", file_->path(), kMaxTensors);

    const Shape shape(tensor.dims.data(), tensor.dims.data() + tensor.dims.size());
    std::shared_ptr<const Storage> storage;
    if (tensor.has_raw) {
      storage = mapped_storage(file_, tensor.raw_offset, tensor.raw_size);
    } else {
      storage = std::make_shared<TypedStorage>(file_, tensor.offset, tensor.size, type->field,
                                               size_of(type->stored));
    }
    Entry entry = make_entry(std::move(name), type->stored, shape, std::move(storage));
    check_inside(entry, file_->path());
    const uint64_t wanted = static_cast<uint64_t>(entry.elements()) * size_of(type->stored);
    if (wanted != entry.storage->size())
      fail(Kind::model, "{}: shape {} wants {} bytes, the file has {}", where, shape.str(), wanted,
           entry.storage->size());
    contents_.entries.push_back(std::move(entry));
  }

  const File& file_;
  Contents& contents_;
};

}  // namespace

// There is no magic number. A model begins with its IR version, a small number, and goes on with
// another field of ModelProto; the reader then checks that the whole file is made of fields.
bool looks_like_onnx(std::span<const std::byte> bytes) {
  if (bytes.size() < 4 || bytes[0] != std::byte{0x08} || bytes[1] == std::byte{0} ||
      bytes[1] > std::byte{64})
    return false;
  const auto tag = static_cast<uint8_t>(bytes[2]);
  const int id = tag >> 3, wire = tag & 7;
  return tag < 0xb0 && ((wire == 2 && (id == 2 || id == 3 || id == 4 || id == 6 || id == 7 ||
                                       id == 8 || id == 14)) ||
                        (wire == 0 && id == 5));
}

Contents read_onnx(const File& file) {
  Contents contents{file->path(), "onnx", {}, {}, {}, file->size()};
  GraphReader(file, contents).model();
  return contents;
}

void for_each_node(const OnnxGraph& graph, const std::function<void(const OnnxNode&)>& visit) {
  Message message(graph.file, graph.offset, graph.size, "graph");
  Field field;
  while (message.next(field)) {
    if (field.id != 1) continue;
    message.bytes_of(field);
    Message parts(graph.file, field.offset, field.bytes.size(), "node");
    OnnxNode node;
    Field part;
    while (parts.next(part)) {
      if (part.id == 1) node.inputs.push_back(parts.text_of(part));
      if (part.id == 2) node.outputs.push_back(parts.text_of(part));
      if (part.id == 3) node.name = parts.text_of(part);
      if (part.id == 4) node.op = parts.text_of(part);
    }
    visit(node);
  }
}

}  // namespace beckon::weights
