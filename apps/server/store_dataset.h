// The kept annotations as a data set of beckon/annotation.h, and back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "annotation_store.h"
#include "beckon/annotation.h"
#include "photos.h"

namespace beckon::server {

// Of these photos (by id), or of all. Origin, prompts, model and scores go along as unknown keys
// where a format has those.
Dataset dataset_of(const AnnotationStore& store,
                   const std::optional<std::vector<std::string>>& photos = std::nullopt);

struct ImportReport {
  int64_t objects = 0;
  int64_t without_photo = 0;  // objects of pictures that the folder does not have
  int64_t without_mask = 0;   // labels of whole pictures, empty masks, masks of another size
};
// Objects of the data set become objects of the photos with the same name (or path), all or none.
ImportReport import_dataset(AnnotationStore& store, const Photos& photos, const Dataset& data,
                            const std::string& who);

}  // namespace beckon::server
