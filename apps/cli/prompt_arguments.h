// Prompts as they are written on a command line.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "beckon/image.h"
#include "beckon/prompt.h"
#include "beckon/sam.h"

namespace beckon::cli {

// The options --point, --background, --box, --mask and --prompt, as given.
struct PromptArguments {
  std::vector<std::string> points;       // "X,Y"
  std::vector<std::string> backgrounds;  // "X,Y"
  std::vector<std::string> boxes;        // "X0,Y0,X1,Y1"
  std::string mask;                      // a picture; empty: none
  std::string file;                      // prompts as JSON, "-" for stdin; empty: none
};

// What these options say. A recipe, given as the file, also names how its answer was made; what it
// does not name is empty.
struct Request {
  std::vector<Prompt> prompts;  // all as one list, those of the file first
  size_t from_file = 0;         // how many of them
  std::string model, sha256;
  std::string multimask;
  std::string everything;  // a recipe of everything mode: its options as JSON
};

// Throws Error(usage) that quotes the option for what cannot be read, and for no prompt at all
// unless it is a recipe of everything mode; errors of files as they come.
Request read_request(const PromptArguments& arguments);

// The prompts as beckon::objects() sorts them, each object as a question to SAM. Throws
// Error(usage) for options that make no sense together, Error(input) that names the file if that is
// what makes none, Error(unsupported) for kinds of prompts that SAM does not know.
std::vector<ObjectQuery> queries_of(const Request& request, const PromptArguments& arguments);

// Throws Error that names the file of a mask that is not as large as the photo: input if it is of
// the file of prompts, usage if it was given by --mask.
void check_masks(const Request& request, ImageSize photo, const PromptArguments& arguments);

// What is most likely a slip, a line each: points that lie outside of the photo.
std::vector<std::string> doubts(std::span<const Prompt> prompts, ImageSize photo);

}  // namespace beckon::cli
