// Makes small checkpoint files byte by byte, as the programs write them that own the formats.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <zlib.h>

namespace beckon::test {

template <typename T>
std::string little(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes;
  for (T value : values) bytes += little(value);
  return bytes;
}

// ---------------------------------------------------------------------------------------------------------------------
inline std::string safetensors(std::string header, const std::string& data, bool pad = true) {
  while (pad && header.size() % 8 != 0) header += ' ';
  return little<uint64_t>(header.size()) + header + data;
}

// ---------------------------------------------------------------------------------------------------------------------
// A zip file. Fields of a member can be set to lies before text() puts the directory behind the
// members.
class ZipMaker {
 public:
  struct Member {
    std::string name, data;  // data as it lies in the file
    uint32_t size = 0;       // as declared
    uint16_t method = 0, flags = 0;
    uint32_t crc = 0;
    std::string local_name;  // what the member's own header says; empty: the same
    int64_t offset = -1;     // what the directory says; -1: the truth
    std::string extra;       // in the directory
  };

  Member& store(const std::string& name, const std::string& data) {
    members.push_back(
        {name, data, static_cast<uint32_t>(data.size()), 0, 0, checksum(data), "", -1, ""});
    return members.back();
  }

  Member& deflate(const std::string& name, const std::string& data) {
    std::string packed(compressBound(data.size()) + 64, '\0');
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    ::deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    members.push_back(
        {name, packed, static_cast<uint32_t>(data.size()), 8, 0, checksum(data), "", -1, ""});
    return members.back();
  }

  // PyTorch pads the extra field so that every storage begins at a multiple of 64.
  std::string text(bool align = false) const {
    std::string out, directory;
    for (const Member& member : members) {
      const uint32_t offset = static_cast<uint32_t>(out.size());
      const std::string& local_name = member.local_name.empty() ? member.name : member.local_name;
      std::string extra;
      if (align) {
        const size_t begin = out.size() + 30 + local_name.size() + 4;
        const uint16_t padding = static_cast<uint16_t>((64 - begin % 64) % 64);
        extra = "FB" + little(padding) + std::string(padding, 'Z');
      }
      out += "PK\x03\x04" + little<uint16_t>(20) + little(member.flags) + little(member.method) +
             little<uint32_t>(0) + little(member.crc) +
             little(static_cast<uint32_t>(member.data.size())) + little(member.size) +
             little(static_cast<uint16_t>(local_name.size())) +
             little(static_cast<uint16_t>(extra.size())) + local_name + extra + member.data;
      directory += "PK\x01\x02" + little<uint16_t>(20) + little<uint16_t>(20) +
                   little(member.flags) + little(member.method) + little<uint32_t>(0) +
                   little(member.crc) + little(static_cast<uint32_t>(member.data.size())) +
                   little(member.size) + little(static_cast<uint16_t>(member.name.size())) +
                   little(static_cast<uint16_t>(member.extra.size())) + little<uint16_t>(0) +
                   std::string(8, '\0') +
                   little(member.offset < 0 ? offset : static_cast<uint32_t>(member.offset)) +
                   member.name + member.extra;
    }
    const uint64_t begin = out.size();
    const uint64_t count = members.size();
    out += directory;
    if (zip64) {
      const uint64_t record = out.size();
      out += "PK\x06\x06" + little<uint64_t>(44) + little<uint16_t>(45) + little<uint16_t>(45) +
             little<uint32_t>(0) + little<uint32_t>(0) + little(count) + little(count) +
             little<uint64_t>(directory.size()) + little(begin + zip64_lie);
      out += "PK\x06\x07" + little<uint32_t>(0) + little(record) + little<uint32_t>(1);
    }
    const auto small = static_cast<uint16_t>(count);
    return out + "PK\x05\x06" + little<uint32_t>(0) + little(small) + little(small) +
           little(static_cast<uint32_t>(directory.size())) + little(static_cast<uint32_t>(begin)) +
           little<uint16_t>(0);
  }

  std::vector<Member> members;
  bool zip64 = false;
  uint64_t zip64_lie = 0;

 private:
  static uint32_t checksum(const std::string& data) {
    return static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// The opcodes of pickle protocol 2, as torch.save emits them.
namespace pickled {

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string text(const std::string& value) {
  return "X" + little(static_cast<uint32_t>(value.size())) + value;
}
inline std::string integer(int64_t value) {
  if (value >= 0 && value < 256) return "K" + little(static_cast<uint8_t>(value));
  if (value == static_cast<int32_t>(value)) return "J" + little(static_cast<int32_t>(value));
  return std::string("\x8a\x08") + little(value);
}
inline std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (int64_t value : values) out += integer(value);
  return out + "t";
}

struct Tensor {
  std::string type = "FloatStorage", key = "0";
  int64_t elements = 0;  // of the storage
  int64_t offset = 0;
  std::vector<int64_t> shape, strides;
};

// legacy files have a sixth part in the persistent id: None for a storage that is no view.
inline std::string tensor(const Tensor& t, bool legacy = false) {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + text("storage") +
         global("torch", t.type) + text(t.key) + text("cpu") + integer(t.elements) +
         (legacy ? "N" : "") + "tQ" + integer(t.offset) + tuple(t.shape) + tuple(t.strides) +
         "\x89" + global("collections", "OrderedDict") + ")RtR";
}

inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += text(key) + value;
  return out + "u";
}
inline std::string ordered_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = global("collections", "OrderedDict") + ")R(";
  for (const auto& [key, value] : items) out += text(key) + value;
  return out + "u";
}
inline std::string pickle(const std::string& body) { return "\x80\x02" + body + "."; }

}  // namespace pickled

using Storages = std::vector<std::pair<std::string, std::string>>;

inline std::string torch_zip(const std::string& object, const Storages& storages,
                             const std::string& top = "archive") {
  ZipMaker zip;
  zip.store(top + "/data.pkl", pickled::pickle(object));
  zip.store(top + "/byteorder", "little");
  for (const auto& [key, bytes] : storages) zip.store(top + "/data/" + key, bytes);
  zip.store(top + "/version", "3\n");
  return zip.text(true);
}

// `width`: bytes of an element, the same for all storages here.
inline std::string torch_legacy(const std::string& object, const Storages& storages,
                                size_t width = 4) {
  using namespace pickled;
  std::string keys = "](", data;
  for (const auto& [key, bytes] : storages) {
    keys += text(key);
    data += little<uint64_t>(bytes.size() / width) + bytes;
  }
  return std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", 15) + pickle("M\xe9\x03") +
         pickle(dict({{"protocol_version", "M\xe9\x03"}, {"little_endian", "\x88"}})) +
         pickle(object) + pickle(keys + "e") + data;
}

// ---------------------------------------------------------------------------------------------------------------------
inline std::string npy(const std::string& descr, const std::string& shape, const std::string& data,
                       bool fortran = false) {
  std::string header = "{'descr': '" + descr +
                       "', 'fortran_order': " + (fortran ? "True" : "False") +
                       ", 'shape': " + shape + ", }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + little(static_cast<uint16_t>(header.size())) +
         header + data;
}

// ---------------------------------------------------------------------------------------------------------------------
// Protocol buffers, and the messages of ONNX.
namespace onnx {

inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>((value & 127) | 128);
  return out + static_cast<char>(value);
}
inline std::string field(int id, std::string_view bytes) {
  return varint(static_cast<uint64_t>(id) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string field(int id, int64_t value) {
  return varint(static_cast<uint64_t>(id) << 3) + varint(static_cast<uint64_t>(value));
}

inline std::string tensor(const std::string& name, const std::vector<int64_t>& dims, int type,
                          const std::string& values) {
  std::string out;
  for (int64_t dim : dims) out += field(1, dim);
  return out + field(2, static_cast<int64_t>(type)) + values + field(8, name);
}
inline std::string raw(const std::string& bytes) { return field(9, bytes); }
inline std::string floats(const std::string& name, const std::vector<int64_t>& dims,
                          const std::vector<float>& values) {
  return field(5, tensor(name, dims, 1, raw(bytes_of(values))));
}
inline std::string node(const std::string& op, const std::string& name,
                        const std::vector<std::string>& inputs, const std::string& output,
                        const std::string& attributes = "") {
  std::string out;
  for (const std::string& input : inputs) out += field(1, input);
  return field(1, out + field(2, output) + field(3, name) + field(4, op) + attributes);
}
inline std::string constant(const std::string& name, const std::string& output,
                            const std::string& tensor) {
  return node("Constant", name, {}, output, field(5, field(1, "value") + field(5, tensor)));
}
inline std::string model(const std::string& graph) {
  return field(1, 7) + field(2, "pytorch") + field(7, graph + field(2, "main_graph")) +
         field(8, field(2, 12));
}

}  // namespace onnx

// Counting floats 0, 1, 2, ...
inline std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

}  // namespace beckon::test
