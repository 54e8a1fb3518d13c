// From a picture to its masks: by prompts, or everything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "beckon/annotate.h"
#include "compose/annotate/names.h"
#include "compose/annotate/prompt_book.h"
#include "compose/annotate/result.h"

namespace beckon::compose {

class Annotator {
 public:
  virtual ~Annotator() = default;

  // What all pictures share: version, weights, options.
  virtual Recipe recipe() const = 0;
  // What this picture adds: its prompts, or null.
  virtual Recipe recipe_of(const std::string& picture) const = 0;
  // False: there is nothing to be done with it.
  virtual bool wants(const std::string& picture) const = 0;
  // Pictures that somebody expects to be there.
  virtual std::vector<std::string> expected() const { return {}; }
  // SHA-256 of the prompts file, or empty.
  virtual std::string prompts_hash() const { return ""; }

  // Before the first picture that has to be done: a shard that is complete needs no model. From any
  // thread, as often as one likes. Throws what Sam::load throws.
  virtual void load() const = 0;
  // From any thread, after load().
  virtual std::vector<Found> annotate(const Image& image, const std::string& picture) const = 0;
};

// Throws what Store::find and the prompts file throw.
std::unique_ptr<Annotator> make_annotator(const AnnotateOptions& options);

}  // namespace beckon::compose
