#include "models/sam/mask_choice.h"

#include <algorithm>
#include <vector>

namespace beckon::sam {

void choose_and_upscale(const MaskDecoder& decoder, const Tensor& queries, int64_t first,
                        const FastMaskDecoder::Choose& choose, FastMaskDecoder::Output& output,
                        const std::function<Tensor(int64_t, const Tensor&)>& upscale) {
  const int64_t m = decoder.config.masks();
  const Tensor iou = decoder.iou_head(queries.select(1, 0).contiguous());
  std::copy_n(std::as_const(iou).data(), iou.size(), output.iou.data() + first * m);
  // The vectors that the up-scaled image is compared with, for all masks of all prompts.
  std::vector<Tensor> vectors;
  for (int64_t i = 0; i < m; ++i)
    vectors.push_back(
        decoder.hypernetworks[static_cast<size_t>(i)](queries.select(1, 1 + i).contiguous()));
  for (int64_t g = 0; g < queries.dim(0); ++g) {
    const auto wanted =
        choose(first + g, {std::as_const(iou).data() + g * m, static_cast<size_t>(m)});
    if (wanted.empty()) continue;
    Tensor chosen = Tensor::empty({static_cast<int64_t>(wanted.size()), vectors[0].dim(1)});
    for (size_t i = 0; i < wanted.size(); ++i)
      chosen.select(0, static_cast<int64_t>(i))
          .copy_from(vectors[static_cast<size_t>(wanted[i])].select(0, g));
    output.masks[static_cast<size_t>(first + g)] = upscale(g, chosen);
  }
}

}  // namespace beckon::sam
