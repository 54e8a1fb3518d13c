// The inverted bottleneck: one pass over the map when no gradient is wanted, else the operations it
// stands for.
#include "kernels/mbconv.h"

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/ops/packed.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

void check(const Tensor& x, const MbConv& m, int64_t stride, bool residual) {
  const bool shapes =
      x.rank() == 4 && m.expand.rank() == 4 && m.depthwise.rank() == 4 && m.project.rank() == 4 &&
      m.expand.dim(1) == x.dim(3) && m.expand.dim(2) == 1 && m.expand.dim(3) == 1 &&
      m.depthwise.shape() == Shape({m.expand.dim(0), 1, 3, 3}) &&
      m.project.dim(1) == m.expand.dim(0) && m.project.dim(2) == 1 && m.project.dim(3) == 1;
  if (!shapes)
    fail(
        Kind::usage,
        "mbconv: x {} with weights {}, {}, {}; expected [B,H,W,C], [E,C,1,1], [E,1,3,3], [O,E,1,1]",
        x.shape().str(), m.expand.shape().str(), m.depthwise.shape().str(),
        m.project.shape().str());
  const auto one_per = [](const Tensor& bias, int64_t channels, const char* name) {
    if (bias.defined() && !(bias.shape() == Shape({channels})))
      fail(Kind::usage, "mbconv: {} bias {}, expected [{}]", name, bias.shape().str(), channels);
  };
  one_per(m.expand_bias, m.expand.dim(0), "expand");
  one_per(m.depthwise_bias, m.expand.dim(0), "depthwise");
  one_per(m.project_bias, m.project.dim(0), "project");
  if (stride != 1 && stride != 2) fail(Kind::usage, "mbconv: stride {}, expected 1 or 2", stride);
  if (residual && (stride != 1 || m.project.dim(0) != x.dim(3)))
    fail(Kind::usage,
         "mbconv: a residual needs stride 1 and as many channels out as in, got {} and {} to {}",
         stride, x.dim(3), m.project.dim(0));
}

}  // namespace

Tensor mbconv(const Tensor& x, const MbConv& m, int64_t stride, Activation activation,
              bool residual) {
  check(x, m, stride, residual);
  const bool one_pass = !wants_grad({&x, &m.expand, &m.expand_bias, &m.depthwise, &m.depthwise_bias,
                                     &m.project, &m.project_bias});
  if (!one_pass) {
    Tensor y = conv2d(x, m.expand, m.expand_bias, {}, {activation});
    y = conv2d(y, m.depthwise, m.depthwise_bias, Conv().stride(stride).padding(1).group(y.dim(3)),
               {activation});
    if (!residual) return conv2d(y, m.project, m.project_bias);
    return conv2d(y, m.project, m.project_bias, {},
                  {.activation = activation, .residual = x, .activation_after_residual = true});
  }
  const Tensor input = detail::floats("mbconv", x);
  const auto floats_or_none = [](const Tensor& b) {
    return b.defined() ? detail::floats("mbconv", b) : b;
  };
  const auto bias = [](const Tensor& b) { return b.defined() ? b.data() : nullptr; };
  const Tensor expand_bias = floats_or_none(m.expand_bias),
               depthwise_bias = floats_or_none(m.depthwise_bias),
               project_bias = floats_or_none(m.project_bias);
  const auto expand = detail::packed_transposed(m.expand),
             project = detail::packed_transposed(m.project);
  const auto taps = detail::packed_taps(m.depthwise);
  const kernels::MbConv block{.n = x.dim(0),
                              .height = x.dim(1),
                              .width = x.dim(2),
                              .stride = stride,
                              .expand = expand.get(),
                              .expand_bias = bias(expand_bias),
                              .taps = taps->data(),
                              .depthwise_bias = bias(depthwise_bias),
                              .project = project.get(),
                              .project_bias = bias(project_bias),
                              .activation = activation,
                              .residual = residual};
  Tensor y = Tensor::empty({x.dim(0), block.out_height(), block.out_width(), m.project.dim(0)});
  kernels::mbconv(block, input.data(), y.data());
  return y;
}

}  // namespace beckon
