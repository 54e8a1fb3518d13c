// Whole blocks as one operation; their definition by plain operations is the reference.
#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

void add_mbconv(std::vector<OpCase>& cases, const std::string& what, const Shape& x, int64_t hidden,
                int64_t out, int64_t stride, bool residual, bool large = false) {
  OpCase c;
  c.name = "mbconv/" + what;
  c.inputs = {
      normal(x),        normal({hidden, x[3], 1, 1}), normal({hidden}), normal({hidden, 1, 3, 3}),
      normal({hidden}), normal({out, hidden, 1, 1}),  normal({out})};
  c.run = [=](const std::vector<Tensor>& in) {
    return mbconv(in[0], {in[1], in[2], in[3], in[4], in[5], in[6]}, stride, Activation::gelu,
                  residual);
  };
  c.plain = [=](const std::vector<Tensor>& in) {
    Tensor y = gelu(conv2d(in[0], in[1], in[2]));
    y = gelu(conv2d(y, in[3], in[4], Conv().stride(stride).padding(1).group(hidden)));
    y = conv2d(y, in[5], in[6]);
    return residual ? gelu(y + in[0]) : y;
  };
  c.tolerance = 1e-4;
  c.gradient_tolerance = 2e-2;  // held against differences of floats
  c.large = large;
  cases.push_back(c);
}

void add_feed_forward(std::vector<OpCase>& cases, const std::string& what, const Shape& x,
                      int64_t hidden, bool local, bool large = false) {
  const int64_t channels = x[-1];
  OpCase c;
  c.name = "feed_forward/" + what;
  c.inputs = {
      normal(x),        normal({channels}),         normal({channels}), normal({hidden, channels}),
      normal({hidden}), normal({channels, hidden}), normal({channels})};
  if (local) {
    c.inputs.push_back(normal({channels, 1, 3, 3}));
    c.inputs.push_back(normal({channels}));
  }
  c.run = [=](const std::vector<Tensor>& in) {
    return feed_forward(in[0], {.norm = {in[1], in[2], 1e-5f},
                                .fc1 = in[3],
                                .fc1_bias = in[4],
                                .fc2 = in[5],
                                .fc2_bias = in[6],
                                .local = local ? in[7] : Tensor(),
                                .local_bias = local ? in[8] : Tensor()});
  };
  c.plain = [=](const std::vector<Tensor>& in) {
    const Tensor y = local ? conv2d(in[0], in[7], in[8], Conv().padding(1).group(channels)) : in[0];
    const Tensor h = gelu(linear(layer_norm(y, in[1], in[2], 1e-5f), in[3], in[4]));
    return y + linear(h, in[5], in[6]);
  };
  c.tolerance = 1e-4;
  c.gradient_tolerance = 2e-2;
  c.large = large;
  cases.push_back(c);
}

}  // namespace

void add_block_cases(std::vector<OpCase>& cases) {
  add_mbconv(cases, "residual", {1, 5, 4, 3}, 5, 3, 1, true);
  add_mbconv(cases, "stride", {2, 5, 4, 2}, 3, 4, 2, false);
  add_mbconv(cases, "one_pixel", {1, 1, 1, 2}, 3, 2, 1, false);
  add_mbconv(cases, "tiny_vit", {1, 64, 64, 64}, 256, 64, 1, true, true);
  add_feed_forward(cases, "rows", {2, 3, 5}, 7, false);
  add_feed_forward(cases, "one_row", {1, 4}, 9, false);
  add_feed_forward(cases, "local", {1, 4, 3, 4}, 6, true);
  add_feed_forward(cases, "tiny_vit", {1, 32, 32, 160}, 640, true, true);
}

}  // namespace beckon::test
