// Checkpoints of one model under one set of names: those of its official release.
#pragma once

#include <string>
#include <string_view>

#include "beckon/checkpoint.h"

namespace beckon {

// The same tensors under SAM's official names ("image_encoder.neck.0.weight", ...), from
//   - official files, also wrapped ("model", "state_dict") or with "module." or "model." before
//   every name;
//   - Hugging Face's SamModel ("vision_encoder.layers.0.attn.qkv.weight", ...);
//   - MobileSAM exported to ONNX, a folder of encoder.onnx and sam.onnx (or one of them: its half
//   of the names). There,
//     batch norms are folded into the convolutions: they come back as norms that change nothing but
//     add the bias.
// Nothing is copied or converted here; that happens when a tensor is read.
// Throws Error(model) if these are no SAM weights, or an exported graph holds a weight of unknown
// use.
Checkpoint sam_names(const Checkpoint& checkpoint);

// True if sam_names() knows these names.
bool holds_sam(const Checkpoint& checkpoint);

// The official name for a name of Hugging Face's SamModel; the name itself if it is none of these.
std::string sam_name_from_hugging_face(std::string_view name);

}  // namespace beckon
