// How long a picture takes in each backbone, with random numbers for weights: best and median of
// many runs, and what share of the time is multiplying at the machine's peak.
//
//   bench_backbones [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "beckon/tensor.h"
#include "models/clip/clip.h"
#include "models/resnet/resnet.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"

namespace {

using namespace beckon;

void measure(const char* name, int rounds, const std::function<Tensor(const Tensor&)>& forward) {
  const NoGrad no_grad;
  const nn::Params noise = nn::Params::random(1);
  const Tensor image = noise.tensor("image", {1, 224, 224, 3});
  std::vector<double> times;
  for (int i = 0; i < rounds + 2; ++i) {  // the first two pack weights and warm up
    const auto start = std::chrono::steady_clock::now();
    forward(image);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (i >= 2) times.push_back(took.count());
  }
  std::sort(times.begin(), times.end());
  std::printf("%-16s best %7.1f ms  median %7.1f ms\n", name, times.front(),
              times[times.size() / 2]);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(std::atoi(argv[1]), 1) : 20;
  const auto wanted = [&](const char* name) {
    return argc < 3 || std::string_view(argv[2]) == name;
  };
  if (wanted("clip-vit-b32")) {
    const clip::Clip model(nn::Params::random(1), {});
    measure("clip-vit-b32", rounds, [&](const Tensor& x) { return model.encode_image(x); });
  }
  if (wanted("vit-b16")) {
    const vit::Vit model(nn::Params::random(1), {});
    measure("vit-b16", rounds, [&](const Tensor& x) { return model.forward(x); });
  }
  if (wanted("swin-b")) {
    swin::SwinConfig c;
    c.dim = 128;
    c.stages = {{2, 4, 7}, {2, 8, 7}, {18, 16, 7}, {2, 32, 7}};
    const swin::Swin model(nn::Params::random(1), c);
    measure("swin-b", rounds, [&](const Tensor& x) { return model.forward(x); });
  }
  if (wanted("resnet50")) {
    resnet::ResNetConfig c;
    c.stages = {{{3, 64, 256}, {4, 128, 512}, {6, 256, 1024}, {3, 512, 2048}}};
    const resnet::ResNet model(nn::Params::random(1), c);
    measure("resnet50", rounds, [&](const Tensor& x) { return model.forward(x); });
  }
  return 0;
}
