// The nodes of an ONNX graph: what it does with its tensors.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "weights/impl.h"

namespace beckon::weights {

// The texts lie in the mapped file.
struct OnnxNode {
  std::string_view op;  // "Conv", "MatMul", "Constant"...
  std::string_view
      name;  // exporters spell the module path here: "/layers.1/blocks.0/attn/qkv/MatMul"
  std::vector<std::string_view> inputs, outputs;
};

// Calls `visit` for every node in the order of the graph; nodes inside of nodes (If, Loop) are not
// entered.
void for_each_node(const OnnxGraph& graph, const std::function<void(const OnnxNode&)>& visit);

}  // namespace beckon::weights
