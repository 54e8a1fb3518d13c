// Methods that reach into a ViT: prompt tokens (VPT, shallow and deep), adapters, LoRA.
// Jia et al., "Visual Prompt Tuning"; Pfeiffer et al., "AdapterFusion"; Hu et al., "LoRA".
//
// Letters: B pictures, P prompt tokens, N patches, D width, d width of a prompt before its
// projection.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "learn/methods/head.h"
#include "models/vit/vit.h"

namespace beckon::learn {

struct VitOptions {
  int64_t classes = 2;
  int64_t hidden = 0;  // layers of the head before its last one

  // Where prompts go. prepend: between the class token and the patches, where they are read and
  // written by attention; of position they have none. add: one for each token, added after
  // positions. add_one: one for all tokens. pad: a border of `tokens` pixels around the picture,
  // which the network sees as part of it: the backbone is made for side + 2 * tokens.
  enum class Location : uint8_t { none, prepend, add, add_one, pad };
  Location location = Location::none;
  int64_t tokens = 10;
  bool deep = false;    // anew before every block, instead of before the first only
  int64_t project = 0;  // d, if prompts are narrower than the network; 0: they are not
  float dropout = 0;    // of prompts, in training

  // What the head sees, after the last norm: the class token, or the mean over tokens.
  enum class Pool : uint8_t { original, prompts_and_patches, patches, prompts };
  Pool pool = Pool::original;

  // down to D / reduction, GELU, up, after each feed-forward part and within its residual; 0: none.
  int64_t adapter_reduction = 0;
  // The reference starts adapters with zeros only; then nothing but the last bias ever learns,
  // since every gradient has a factor of 0. Else `down` is random and `up` zero.
  bool adapter_zeros = false;

  int64_t lora_rank = 0;  // 0: none
  float lora_alpha = 0;   // the product is scaled by alpha / rank; 0: by 1
};

class VitLearner : public Learner {
 public:
  // Error(usage) if the backbone is no ViT or the options contradict each other.
  VitLearner(const Backbone& backbone, const VitOptions& options, Random& random);

  Preprocessing preprocessing() const override;
  // Tokens as the first block that learns sees them.
  Tensor prefix(const Tensor& images) const override;
  bool has_prefix() const override;
  Tensor logits(const Tensor& prefix, Pass& pass) const override;

  Head& head() { return *head_; }

 private:
  struct Adapter {
    Tensor down, down_bias, up, up_bias;
  };
  Tensor with_border(const Tensor& images) const;
  // The prompts of a block [B,P,D], projected and with dropout.
  Tensor inserted(const Tensor& prompts, int64_t batch, Pass& pass) const;
  Tensor block(size_t i, const Tensor& x, int64_t rows) const;
  size_t first_learning_block() const;
  bool embedding_learns() const;

  VitOptions options_;
  const vit::Vit* model_;
  Tensor prompts_, deep_prompts_;        // [1,P,d], [L-1,P,d]
  Tensor border_rows_, border_columns_;  // "tb" [1,3,2p,S+2p], "lr" [1,3,S,2p]
  Tensor projection_, projection_bias_;  // [D,d], [D]
  std::vector<Adapter> adapters_;
  std::vector<vit::LowRank> low_rank_;
  std::optional<Head> head_;
};

}  // namespace beckon::learn
