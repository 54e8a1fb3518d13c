// Pictures with the true masks of their objects, from folders in several layouts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "beckon/evaluation.h"
#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/rle.h"

namespace beckon::learn {

struct TrueObject {
  std::string name;  // its category, label or number; may be empty
  Rle mask;          // not empty
};

// One picture, read.
struct Example {
  Image image;
  std::vector<TrueObject> objects;
  std::optional<Mask> ignored;  // pixels that nobody knows the truth about
  int64_t left_out = 0;         // objects without a pixel, crowds, boxes without a mask
};

class MaskData {
 public:
  virtual ~MaskData() = default;

  virtual const char* layout() const = 0;  // "coco", "index", "folders"
  // Pictures; those without any object are not among them.
  virtual size_t size() const = 0;
  // The path as the data set gives it.
  virtual std::string path(size_t i) const = 0;
  // Throws Error for a picture or masks that are missing, broken or do not fit each other.
  virtual Example load(size_t i, const ReadOptions& options) const = 0;

  std::string name;    // for people: the last part of the path
  std::string source;  // the folder or file that was opened
  int64_t pictures_without_masks = 0;
};

// `path`: a folder with an index, COCO annotations, or a folder of pictures beside one of masks;
// such an index or annotation file itself; or a folder of such folders. `annotations`: the COCO
// file to take, if a folder has several. Throws Error(missing) if it is not there, Error(input) if
// nothing of the kind is found or it is malformed.
std::vector<std::unique_ptr<MaskData>> open_mask_data(const std::string& path,
                                                      const std::string& annotations,
                                                      MaskKind kind);

// The layouts. Of CocoData, `root` is the folder that the names of pictures begin in.
std::unique_ptr<MaskData> coco_data(const std::string& file, const std::string& root);
std::unique_ptr<MaskData> index_data(const std::string& file, MaskKind kind);
std::unique_ptr<MaskData> folder_data(const std::string& images, const std::string& masks,
                                      MaskKind kind);

// Whether a file of JSON begins to look like COCO: it is an object that has lists of pictures and
// annotations.
bool looks_like_coco(const std::string& file);

// What load() shares: the picture, turned by its EXIF orientation unless only unturned it has the
// size of its masks (0: not known).
Image read_picture(const std::string& path, ImageSize masks, const ReadOptions& options);

// The objects in one mask file; see MaskKind. Adds pixels of no known truth to `ignored`.
std::vector<TrueObject> read_objects(const std::string& path, const std::string& name,
                                     MaskKind kind, const ReadOptions& options,
                                     std::optional<Mask>& ignored);

// Error(missing) unless it is a file (no pipe, no folder).
void expect_file(const std::string& path);

// Pictures whose masks lie in files of their own.
struct MaskFile {
  std::string path;
  std::string label;
};
Example load_with_mask_files(const std::string& picture, const std::vector<MaskFile>& masks,
                             MaskKind kind, const ReadOptions& options);

}  // namespace beckon::learn
