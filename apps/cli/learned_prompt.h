// beckon segment PHOTO... --prompt mine.safetensors: a learned prompt on photos.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cached_encoding.h"

namespace beckon::cli {

// Whether --prompt names a prompt that was learned, by its name's end or its content.
bool is_learned_prompt(const std::string& path);

struct LearnedPromptTask {
  std::vector<std::string> photos;  // "-": standard input, if it is the only one
  std::string model;
  std::string prompt;
  bool instances = false;  // things one by one
  bool parts = false;      // connected parts of the mask one by one
  int64_t min_area = 1;    // pixels of a thing or part
  std::string output;      // a file, or of several photos a folder; "-" or empty
  std::string format;      // mask, overlay, cutout, rle; empty: mask
  bool json = false;
  int64_t max_pixels = 0;
  CacheArguments cache;
};
void run_learned_prompt(const LearnedPromptTask& task);

}  // namespace beckon::cli
