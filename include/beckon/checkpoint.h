// The tensors of a checkpoint file, whatever its format.
//
//   auto file = beckon::Checkpoint::open("sam_vit_b_01ec64.pth");
//   for (const std::string& name : file.names()) std::cout << name << file.info(name).shape.str()
//   << "\n"; std::vector<float> bias = file.f32("image_encoder.neck.1.bias");
//
// Opening reads headers only: the file is mapped, tensors are converted when they are asked for.
// Nothing in a file is believed before it is checked, and nothing in a file is ever executed:
// PyTorch's pickles are read by an interpreter that knows the few names a dictionary of tensors is
// made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "beckon/dtype.h"
#include "beckon/export.h"
#include "beckon/shape.h"

namespace beckon {

struct TensorInfo {
  std::string name;
  // What the values are offered as. Files also hold i8, i16, u16 (offered as i32) and u32, u64 (as
  // i64).
  DType dtype = DType::f32;
  Shape shape;
};

// A value: copies share the mapped file, and so do tensors read from it without a copy. Safe to
// read from several threads. A mapped file must not be shortened while it is in use (replacing it
// by another file is fine).
class BECKON_API Checkpoint {
 public:
  // Opens a file or a folder. The content decides the format, never the name:
  //   safetensors; PyTorch zip and legacy files; npz; npy; ONNX (initialisers and Constant nodes);
  //   TensorFlow.js (model.json, whose shards lie beside it; quantised weights are offered as the
  //   numbers they stand for).
  // A folder holds MobileSAM as the two files encoder.onnx and sam.onnx (names are then
  // "encoder.onnx:..." and "sam.onnx:..."), or a Hugging Face model (model.safetensors, its shards
  // with their index, pytorch_model.bin), a TensorFlow.js model (model.json), or a single
  // checkpoint file.
  //
  // Throws Error(missing) if the path cannot be opened, Error(model) if the file is broken or no
  // checkpoint, Error(unsupported) for element types and features that are not read (float8,
  // complex, external data, encryption), Error(resource) for more than 100,000 tensors or tensors
  // that together exceed twice the file plus 64 MiB.
  static Checkpoint open(const std::string& path);

  const std::string& path() const noexcept;
  // "safetensors", "pytorch", "npz", "npy", "onnx", "tfjs".
  const std::string& format() const noexcept;
  // The files it was read from, in the order of their tensors: path() itself, or those of a folder
  // that were used.
  const std::vector<std::string>& files() const noexcept;
  // What the file says of itself beside the tensors: __metadata__ of safetensors, producer of ONNX.
  const std::map<std::string, std::string>& metadata() const noexcept;

  // In the order of the file. Nested dictionaries are flattened with dots:
  // "model.blocks.0.norm1.weight".
  std::span<const std::string> names() const noexcept;
  bool contains(const std::string& name) const noexcept;
  // These throw Error(model) if there is no such tensor; the message names the most similar name.
  const TensorInfo& info(const std::string& name) const;

  // A row-major copy, converted. `out` must have exactly the number of elements, else Error(usage).
  void read_f32(const std::string& name, std::span<float> out) const;
  void read_i64(const std::string& name, std::span<int64_t> out) const;
  std::vector<float> f32(const std::string& name) const;
  std::vector<int64_t> i64(const std::string& name) const;

  // The values where they lie in the file, without a copy: if they are stored as info().dtype,
  // contiguous, row-major, little-endian and aligned for their type; else nothing (nor for bools,
  // whose bytes may be other than 0 and 1). `data` is valid
  // as long as `owner` lives.
  struct Raw {
    std::shared_ptr<const void> owner;
    const std::byte* data = nullptr;
    size_t bytes = 0;
  };
  std::optional<Raw> raw(const std::string& name) const;

  // The tensors whose names begin with `prefix`, without it.
  Checkpoint under(const std::string& prefix) const;
  // The state dict inside what training scripts save around it: goes into "model", "state_dict" (or
  // "model_state_dict", "params", "opt.target") if there is one, and drops "module." if every name
  // begins with it. Otherwise the same.
  Checkpoint unwrapped() const;

  struct Impl;
  explicit Checkpoint(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

// A tensor to be written: `bytes` holds shape.elements() values of `dtype`, row-major.
struct TensorBytes {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::span<const std::byte> bytes;
};

// Writes a safetensors file. It appears whole or not at all. Every tensor begins at a multiple of
// its element size; the order in the file is by element size, then as given. Throws Error(usage)
// for a name that occurs twice or bytes that do not fit the shape, Error(output) if the file cannot
// be written.
BECKON_API void write_safetensors(const std::string& path, std::span<const TensorBytes> tensors,
                                  const std::map<std::string, std::string>& metadata = {});

// The same for all tensors of a checkpoint, one at a time in memory. Floating-point tensors become
// `floats` (f32, f16 or bf16), the others keep their type.
BECKON_API void write_safetensors(const std::string& path, const Checkpoint& checkpoint,
                                  DType floats = DType::f32,
                                  const std::map<std::string, std::string>& metadata = {});

}  // namespace beckon
