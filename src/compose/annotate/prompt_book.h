// Prompts for the pictures of a folder, from one file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/prompt.h"
#include "compose/annotate/names.h"

namespace beckon::compose {

struct NamedObject {
  std::string label;  // empty: none
  std::vector<Prompt> prompts;
};

// Either prompts for every picture:
//   {"beckon": 1, "prompts": [...]}, or the common list of points and rectangles
// or by their paths, "*" being all others:
//   {"beckon": 1, "images": {"sub/a.jpg": {"prompts": [...]},
//                            "b.jpg": {"objects": [{"label": "dog", "prompts": [...]}]},
//                            "*": {"prompts": [...]}}}
// "prompts" are sorted into objects as beckon::objects() does.
class PromptBook {
 public:
  // Throws Error(input) that begins with `name` and says where it is wrong.
  static PromptBook parse(std::string_view text, const std::string& name);

  // Null if there are none for this picture.
  const std::vector<NamedObject>* find(const std::string& picture) const;
  // The pictures that are named.
  std::vector<std::string> names() const;
  // SHA-256 of the text.
  const std::string& hash() const { return hash_; }

 private:
  std::map<std::string, std::vector<NamedObject>> pages_;
  std::string hash_;
};

// As part of a recipe.
Recipe recipe_of(const std::vector<NamedObject>& objects);

}  // namespace beckon::compose
