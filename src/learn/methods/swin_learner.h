// Prompt tokens for a Swin (VPT). They are seen by every window, averaged over the windows, and
// merged like the patches; the feature is the mean over all tokens, theirs included.
#pragma once

#include <optional>
#include <vector>

#include "learn/methods/head.h"
#include "models/swin/swin.h"

namespace beckon::learn {

struct SwinOptions {
  int64_t classes = 2;
  int64_t hidden = 0;
  int64_t tokens = 10;
  bool deep = false;
  float dropout = 0;
  // As the reference's code computes it, where pictures of one batch influence each other; see
  // swin::WindowedAttention. Else a picture's result does not depend on its batch.
  bool reference_batch_mixing = false;
};

class SwinLearner : public Learner {
 public:
  // Error(usage) if the backbone is no Swin or the options make no sense.
  SwinLearner(const Backbone& backbone, const SwinOptions& options, Random& random);

  Tensor prefix(const Tensor& images) const override;
  bool has_prefix() const override;
  Tensor logits(const Tensor& prefix, Pass& pass) const override;

 private:
  SwinOptions options_;
  const swin::Swin* model_;
  Tensor prompts_;  // [1,P,dim]
  std::vector<Tensor>
      deep_prompts_;  // of stage s [blocks (in stage 0 without the first),P,dim*2^s]
  std::optional<Head> head_;
};

}  // namespace beckon::learn
