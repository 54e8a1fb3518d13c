// The C interface over the C++ one: arguments are checked, errors become codes, nothing is computed
// here.
#include "beckon/beckon.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/fail.h"
#include "beckon/mask_generator.h"
#include "beckon/sam.h"
#include "beckon/version.h"

using namespace beckon;

struct beckon_sam {
  Sam sam;
};
struct beckon_embedding {
  Embedding embedding;
};
struct beckon_masks {
  struct One {
    std::optional<PredictedMask> predicted;  // else of everything mode
    std::optional<GeneratedMask> generated;
    std::once_flag packed;
    std::string counts;

    const Rle& rle() const { return predicted ? predicted->rle() : generated->segmentation; }
  };
  std::vector<std::unique_ptr<One>> list;
};

namespace {

// What version 1 of a structure ends with.
#define BECKON_SIZE_UP_TO(type, member) (offsetof(type, member) + sizeof(type::member))

std::string& last_error() {
  thread_local std::string text;
  return text;
}

beckon_status status_of(Kind kind) { return static_cast<beckon_status>(exit_code(kind)); }

// Runs what may throw.
template <typename Work>
beckon_status guarded(Work&& work) noexcept {
  try {
    try {
      work();
      return BECKON_OK;
    } catch (const Error& error) {
      last_error() = error.what();
      return status_of(error.kind());
    } catch (const std::bad_alloc&) {
      last_error() = "no memory left";
    } catch (const std::exception& error) {
      last_error() = error.what();
    } catch (...) {
      last_error() = "an error of unknown kind";
    }
  } catch (...) {  // no memory for the message
  }
  return BECKON_INTERNAL;
}

template <typename T>
T& given(T* pointer, const char* name) {
  if (!pointer) fail(Kind::usage, "{} is NULL", name);
  return *pointer;
}

template <typename T>
T& sized(T* structure, const char* name, size_t least) {
  T& value = given(structure, name);
  if (value.struct_size < least)
    fail(Kind::usage, "{}: struct_size is {}, expected at least {}", name, value.struct_size,
         least);
  return value;
}

Image image_of(const beckon_image* pointer) {
  const beckon_image& image = sized(pointer, "image", BECKON_SIZE_UP_TO(beckon_image, stride));
  if (image.width < 1 || image.height < 1 || image.width > 1'000'000 || image.height > 1'000'000 ||
      int64_t{image.width} * image.height > ReadOptions{}.max_pixels)
    fail(Kind::usage, "image: {}x{} pixels; expected 1 to 1000000 a side, {} at most in all",
         image.width, image.height, ReadOptions{}.max_pixels);
  if (image.channels != 1 && image.channels != 3 && image.channels != 4)
    fail(Kind::usage, "image: {} channels, expected 1, 3 or 4", image.channels);
  const size_t row = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
  const size_t stride = image.stride == 0 ? row : image.stride;
  if (stride < row) fail(Kind::usage, "image: a stride of {} for rows of {} bytes", stride, row);
  if (stride > static_cast<size_t>(PTRDIFF_MAX) / static_cast<size_t>(image.height))
    fail(Kind::usage, "image: {} rows of a stride of {} reach beyond memory", image.height, stride);
  const uint8_t* pixels = &given(image.pixels, "image.pixels");
  std::vector<uint8_t> bytes(row * static_cast<size_t>(image.height));
  for (int32_t y = 0; y < image.height; ++y)
    std::memcpy(bytes.data() + static_cast<size_t>(y) * row,
                pixels + static_cast<size_t>(y) * stride, row);
  return Image(image.width, image.height, image.channels, bytes);
}

std::pair<ObjectQuery, Multimask> query_of(const beckon_query* pointer) {
  const beckon_query& q = sized(pointer, "query", BECKON_SIZE_UP_TO(beckon_query, multimask));
  ObjectQuery query;
  if (q.point_count > 100'000) fail(Kind::usage, "query: {} points", q.point_count);
  if (q.point_count > 0) given(q.points, "query.points");
  for (size_t i = 0; i < q.point_count; ++i) {
    const beckon_point& point = q.points[i];
    if (point.label != 0 && point.label != 1)
      fail(Kind::usage, "query: point {} has label {}, expected 0 or 1", i, point.label);
    query.prompts.push_back(
        Point{point.x, point.y, point.label == 1 ? Label::object : Label::background});
  }
  if (q.box) query.prompts.push_back(Box{q.box[0], q.box[1], q.box[2], q.box[3]});
  if (q.mask_logits) {
    if (q.mask_logit_count > (size_t{1} << 26))
      fail(Kind::usage, "query: {} mask logits", q.mask_logit_count);
    query.mask_logits.assign(q.mask_logits, q.mask_logits + q.mask_logit_count);
  }
  if (q.multimask < -1 || q.multimask > 1)
    fail(Kind::usage, "query: multimask is {}, expected -1, 0 or 1", q.multimask);
  return {std::move(query), q.multimask < 0    ? Multimask::automatic
                            : q.multimask == 0 ? Multimask::single
                                               : Multimask::readings};
}

std::unique_ptr<beckon_masks> masks_of(const Masks& answer) {
  auto masks = std::make_unique<beckon_masks>();
  for (const PredictedMask& mask : answer) {
    masks->list.push_back(std::make_unique<beckon_masks::One>());
    masks->list.back()->predicted = mask;
  }
  return masks;
}

beckon_masks::One& one_of(const beckon_masks* masks, size_t index) {
  const auto& list = given(masks, "masks").list;
  if (index >= list.size())
    fail(Kind::usage, "there is no mask {}; there are {}", index, list.size());
  return *list[index];
}

}  // namespace

const char* beckon_version(void) { return version(); }

const char* beckon_last_error(void) { return last_error().c_str(); }

beckon_status beckon_sam_load(const char* name_or_path, beckon_sam** sam) {
  return guarded([&] {
    given(sam, "sam");
    *sam = new beckon_sam{Sam::load(&given(name_or_path, "name_or_path"))};
  });
}

void beckon_sam_free(beckon_sam* sam) { delete sam; }

beckon_status beckon_sam_encode(const beckon_sam* sam, const beckon_image* image,
                                beckon_embedding** embedding) {
  return guarded([&] {
    given(embedding, "embedding");
    *embedding = new beckon_embedding{given(sam, "sam").sam.encode(image_of(image))};
  });
}

beckon_status beckon_sam_encode_file(const beckon_sam* sam, const char* path,
                                     beckon_embedding** embedding) {
  return guarded([&] {
    given(embedding, "embedding");
    *embedding =
        new beckon_embedding{given(sam, "sam").sam.encode(Image::read(&given(path, "path")))};
  });
}

beckon_status beckon_sam_load_embedding(const beckon_sam* sam, const char* path,
                                        beckon_embedding** embedding) {
  return guarded([&] {
    given(embedding, "embedding");
    *embedding = new beckon_embedding{given(sam, "sam").sam.load_embedding(&given(path, "path"))};
  });
}

beckon_status beckon_embedding_save(const beckon_embedding* embedding, const char* path) {
  return guarded([&] { given(embedding, "embedding").embedding.save(&given(path, "path")); });
}

beckon_status beckon_embedding_size(const beckon_embedding* embedding, int32_t* width,
                                    int32_t* height) {
  return guarded([&] {
    const ImageSize size = given(embedding, "embedding").embedding.image_size();
    given(width, "width") = size.width;
    given(height, "height") = size.height;
  });
}

void beckon_embedding_free(beckon_embedding* embedding) { delete embedding; }

beckon_status beckon_embedding_segment(const beckon_embedding* embedding, const beckon_query* query,
                                       beckon_masks** masks) {
  return guarded([&] {
    given(masks, "masks");
    const auto [object, multimask] = query_of(query);
    *masks =
        masks_of(given(embedding, "embedding").embedding.segment(object, {.multimask = multimask}))
            .release();
  });
}

beckon_status beckon_embedding_segment_many(const beckon_embedding* embedding,
                                            const beckon_query* queries, size_t count,
                                            beckon_masks** masks) {
  return guarded([&] {
    const Embedding& seen = given(embedding, "embedding").embedding;
    if (count == 0) return;
    given(masks, "masks");
    if (count > 1'000'000) fail(Kind::usage, "{} queries, expected 1000000 at most", count);
    const size_t size =
        sized(queries, "queries", BECKON_SIZE_UP_TO(beckon_query, multimask)).struct_size;
    // By kind of answer, since the library takes one kind a call.
    std::vector<ObjectQuery> objects[3];
    std::vector<size_t> places[3];
    constexpr Multimask kKinds[] = {Multimask::automatic, Multimask::single, Multimask::readings};
    for (size_t i = 0; i < count; ++i) {
      const auto* query =
          reinterpret_cast<const beckon_query*>(reinterpret_cast<const char*>(queries) + i * size);
      auto [object, multimask] = query_of(query);
      for (size_t kind = 0; kind < 3; ++kind) {
        if (kKinds[kind] != multimask) continue;
        objects[kind].push_back(std::move(object));
        places[kind].push_back(i);
        break;
      }
    }
    std::vector<std::unique_ptr<beckon_masks>> answers(count);
    for (size_t kind = 0; kind < 3; ++kind) {
      if (objects[kind].empty()) continue;
      const std::vector<Masks> found =
          seen.segment(std::span<const ObjectQuery>(objects[kind]), {.multimask = kKinds[kind]});
      for (size_t k = 0; k < found.size(); ++k) answers[places[kind][k]] = masks_of(found[k]);
    }
    for (size_t i = 0; i < count; ++i) masks[i] = answers[i].release();
  });
}

size_t beckon_masks_count(const beckon_masks* masks) { return masks ? masks->list.size() : 0; }

beckon_status beckon_masks_info(const beckon_masks* masks, size_t index, beckon_mask_info* info) {
  return guarded([&] {
    beckon_mask_info& to = sized(info, "info", BECKON_SIZE_UP_TO(beckon_mask_info, point_y));
    const beckon_masks::One& one = one_of(masks, index);
    beckon_mask_info from = {};
    from.struct_size = to.struct_size;
    const Rle& rle = one.rle();
    const PixelBox box = rle.bounding_box();
    from.area = rle.area();
    from.x = box.x, from.y = box.y, from.width = box.width, from.height = box.height;
    from.image_width = rle.width(), from.image_height = rle.height();
    from.token = -1;
    from.point_x = from.point_y = std::numeric_limits<double>::quiet_NaN();
    if (one.predicted) {
      from.score = one.predicted->score();
      from.stability = one.predicted->stability();
      from.token = one.predicted->token();
      from.logits_width = one.predicted->logits_size().width;
      from.logits_height = one.predicted->logits_size().height;
    } else {
      from.score = one.generated->predicted_iou;
      from.stability = one.generated->stability_score;
      from.point_x = one.generated->point.x;
      from.point_y = one.generated->point.y;
    }
    std::memcpy(info, &from, std::min(to.struct_size, sizeof from));
  });
}

beckon_status beckon_masks_bitmap(const beckon_masks* masks, size_t index, uint8_t* bytes,
                                  size_t size, size_t stride) {
  return guarded([&] {
    const Rle& rle = one_of(masks, index).rle();
    given(bytes, "bytes");
    const auto width = static_cast<size_t>(rle.width()), height = static_cast<size_t>(rle.height());
    const size_t step = stride == 0 ? width : stride;
    if (step < width || size < width || (size - width) / step < height - 1)
      fail(Kind::usage, "bitmap: {} bytes with a stride of {} do not hold {}x{} pixels", size, step,
           width, height);
    const Mask mask = Mask::from_rle(rle, std::numeric_limits<int64_t>::max());
    for (size_t y = 0; y < height; ++y)
      std::memcpy(bytes + y * step, mask.row(static_cast<int>(y)), width);
  });
}

beckon_status beckon_masks_logits(const beckon_masks* masks, size_t index, float* logits,
                                  size_t count) {
  return guarded([&] {
    const beckon_masks::One& one = one_of(masks, index);
    if (!one.predicted) fail(Kind::usage, "masks of everything mode keep no logits");
    const std::span<const float> values = one.predicted->logits();
    given(logits, "logits");
    if (count < values.size())
      fail(Kind::usage, "logits: room for {}, there are {}", count, values.size());
    std::memcpy(logits, values.data(), values.size_bytes());
  });
}

beckon_status beckon_masks_rle(const beckon_masks* masks, size_t index, const char** counts) {
  return guarded([&] {
    given(counts, "counts");
    beckon_masks::One& one = one_of(masks, index);
    std::call_once(one.packed, [&] { one.counts = one.rle().string(); });
    *counts = one.counts.c_str();
  });
}

void beckon_masks_free(beckon_masks* masks) { delete masks; }

beckon_status beckon_generator_options_init(beckon_generator_options* options, size_t struct_size) {
  return guarded([&] {
    given(options, "options");
    if (struct_size < BECKON_SIZE_UP_TO(beckon_generator_options, min_mask_region_area))
      fail(Kind::usage, "options: struct_size is {}, expected at least {}", struct_size,
           BECKON_SIZE_UP_TO(beckon_generator_options, min_mask_region_area));
    const MaskGeneratorOptions usual;
    beckon_generator_options o = {};
    o.struct_size = struct_size;
    o.points_per_side = usual.points_per_side;
    o.points_per_batch = usual.points_per_batch;
    o.pred_iou_thresh = usual.pred_iou_thresh;
    o.stability_score_thresh = usual.stability_score_thresh;
    o.stability_score_offset = usual.stability_score_offset;
    o.box_nms_thresh = usual.box_nms_thresh;
    o.crop_n_layers = usual.crop_n_layers;
    o.crop_nms_thresh = usual.crop_nms_thresh;
    o.crop_overlap_ratio = usual.crop_overlap_ratio;
    o.crop_n_points_downscale_factor = usual.crop_n_points_downscale_factor;
    o.min_mask_region_area = usual.min_mask_region_area;
    std::memset(options, 0, struct_size);
    std::memcpy(options, &o, std::min(struct_size, sizeof o));
  });
}

beckon_status beckon_sam_generate(const beckon_sam* sam, const beckon_image* image,
                                  const beckon_generator_options* options, beckon_progress progress,
                                  void* user, beckon_masks** masks) {
  return guarded([&] {
    given(masks, "masks");
    const Sam& model = given(sam, "sam").sam;
    MaskGeneratorOptions wanted;
    if (options) {
      const beckon_generator_options& o = sized(
          options, "options", BECKON_SIZE_UP_TO(beckon_generator_options, min_mask_region_area));
      wanted.points_per_side = o.points_per_side;
      wanted.points_per_batch = o.points_per_batch;
      wanted.pred_iou_thresh = o.pred_iou_thresh;
      wanted.stability_score_thresh = o.stability_score_thresh;
      wanted.stability_score_offset = o.stability_score_offset;
      wanted.box_nms_thresh = o.box_nms_thresh;
      wanted.crop_n_layers = o.crop_n_layers;
      wanted.crop_nms_thresh = o.crop_nms_thresh;
      wanted.crop_overlap_ratio = o.crop_overlap_ratio;
      wanted.crop_n_points_downscale_factor = o.crop_n_points_downscale_factor;
      wanted.min_mask_region_area = o.min_mask_region_area;
    }
    const MaskGenerator generator(model, wanted);
    std::vector<GeneratedMask> found = generator.generate(
        image_of(image),
        [&](int64_t done, int64_t all) { return !progress || progress(done, all, user) == 0; });
    auto result = std::make_unique<beckon_masks>();
    for (GeneratedMask& mask : found) {
      result->list.push_back(std::make_unique<beckon_masks::One>());
      result->list.back()->generated = std::move(mask);
    }
    *masks = result.release();
  });
}
