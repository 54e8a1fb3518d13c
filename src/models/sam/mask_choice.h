// What the fast forms of the mask decoder do with their tokens at the end.
#pragma once

#include <cstdint>
#include <functional>

#include "models/sam/mask_decoder_fast.h"

namespace beckon::sam {

// queries [G,T,C] are the tokens of prompts first, first + 1, ... after the transformer: writes
// their predicted IoUs to the output, asks which masks are wanted, and has those made. upscale(g,
// vectors [K,C/8]) makes the logits [K,4h,4w] of the g-th of these prompts.
void choose_and_upscale(const MaskDecoder& decoder, const Tensor& queries, int64_t first,
                        const FastMaskDecoder::Choose& choose, FastMaskDecoder::Output& output,
                        const std::function<Tensor(int64_t, const Tensor&)>& upscale);

}  // namespace beckon::sam
