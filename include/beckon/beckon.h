/* Beckon for C and for every language that can call C: a photo and a click become masks.
 *
 *   beckon_sam* sam = NULL;
 *   beckon_embedding* seen = NULL;
 *   beckon_masks* masks = NULL;
 *   if (beckon_sam_load("mobile-sam", &sam) != BECKON_OK) puts(beckon_last_error());
 *   ...
 *   beckon_masks_free(masks); beckon_embedding_free(seen); beckon_sam_free(sam);
 *
 * Handles are opaque; each is freed by its own function, which takes NULL too, in any order: what
 * depends on another keeps what it needs. A handle may be used from several threads at once, but
 * for freeing it. No exception leaves a function. Those that can fail return a status and leave
 * their results as they were; beckon_last_error() says why. Structures begin with their size as the
 * caller was compiled with it, so that later versions can add members at the end: set struct_size =
 * sizeof(the structure) and all else to zero first. Coordinates are pixels: x to the right, y down,
 * (0, 0) the corner of the first pixel. */
#ifndef BECKON_BECKON_H
#define BECKON_BECKON_H

#include <stddef.h> /* NOLINT(modernize-deprecated-headers): this is C */
#include <stdint.h> /* NOLINT(modernize-deprecated-headers) */

#if defined(__GNUC__) || defined(__clang__)
#define BECKON_C_API __attribute__((visibility("default")))
#else
#define BECKON_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are those of the program's exit codes. */
typedef enum beckon_status {
  BECKON_OK = 0,
  BECKON_USAGE = 2, /* the arguments make no sense */
  BECKON_DATA = 65, /* a broken file or picture, a model of another kind, or a limit was reached */
  BECKON_MISSING = 66,     /* a file does not exist or cannot be opened */
  BECKON_UNAVAILABLE = 69, /* the model is not in the store */
  BECKON_INTERNAL = 70,    /* a defect of Beckon, or no memory left */
  BECKON_OUTPUT = 73,      /* a file cannot be written */
  BECKON_TEMPORARY = 75,   /* trying again may help */
  BECKON_INTERRUPTED = 130 /* a progress function asked to stop */
} beckon_status;

typedef struct beckon_sam beckon_sam;
typedef struct beckon_embedding beckon_embedding;
typedef struct beckon_masks beckon_masks;

/* "0.1.0" */
BECKON_C_API const char* beckon_version(void);
/* Of this thread's last call that failed, one line; "" if none did. Valid until this thread's next
 * failure. */
BECKON_C_API const char* beckon_last_error(void);

/* A name of the model store ("mobile-sam", "sam-vit-b") or the path of a checkpoint. */
BECKON_C_API beckon_status beckon_sam_load(const char* name_or_path, beckon_sam** sam);
BECKON_C_API void beckon_sam_free(beckon_sam* sam);

/* Rows of 8-bit pixels: grey (1 channel), RGB (3) or RGBA (4), whose alpha is left out. */
typedef struct beckon_image {
  size_t struct_size;
  const uint8_t* pixels;
  int32_t width, height; /* at most 1,000,000 a side and 100,000,000 pixels */
  int32_t channels;
  size_t stride; /* bytes from one row to the next; 0: width * channels */
} beckon_image;

/* Looks at a picture: a second or less; afterwards prompts take milliseconds. */
BECKON_C_API beckon_status beckon_sam_encode(const beckon_sam* sam, const beckon_image* image,
                                             beckon_embedding** embedding);
/* A JPEG, PNG or WebP file, turned upright as its EXIF orientation says. */
BECKON_C_API beckon_status beckon_sam_encode_file(const beckon_sam* sam, const char* path,
                                                  beckon_embedding** embedding);
BECKON_C_API beckon_status beckon_sam_load_embedding(const beckon_sam* sam, const char* path,
                                                     beckon_embedding** embedding);
BECKON_C_API beckon_status beckon_embedding_save(const beckon_embedding* embedding,
                                                 const char* path);
BECKON_C_API beckon_status beckon_embedding_size(const beckon_embedding* embedding, int32_t* width,
                                                 int32_t* height);
BECKON_C_API void beckon_embedding_free(beckon_embedding* embedding);

typedef struct beckon_point {
  double x, y;
  int32_t label; /* 1: of the object, 0: not of it */
} beckon_point;

/* What is known about one object. Everything is optional. */
typedef struct beckon_query {
  size_t struct_size;
  const beckon_point* points;
  size_t point_count;
  const double* box;        /* x0, y0, x1, y1; or NULL */
  const float* mask_logits; /* of an earlier answer, to be refined; or NULL */
  size_t mask_logit_count;  /* logits_width * logits_height */
  int32_t multimask; /* 0: one mask; 1: three readings; -1: three for a lone point, else one */
} beckon_query;

/* One object -> its masks by falling score. */
BECKON_C_API beckon_status beckon_embedding_segment(const beckon_embedding* embedding,
                                                    const beckon_query* query,
                                                    beckon_masks** masks);
/* `count` objects at once, which is faster than one by one; masks[i] is the answer about
 * queries[i]. */
BECKON_C_API beckon_status beckon_embedding_segment_many(const beckon_embedding* embedding,
                                                         const beckon_query* queries, size_t count,
                                                         beckon_masks** masks);

BECKON_C_API size_t beckon_masks_count(const beckon_masks* masks); /* 0 for NULL */

typedef struct beckon_mask_info {
  size_t struct_size;
  float score;                 /* the predicted IoU */
  double stability;            /* NaN where it is not defined */
  int64_t area;                /* pixels */
  int32_t x, y, width, height; /* the smallest box around them; zeros if there are none */
  int32_t image_width, image_height;
  int32_t logits_width, logits_height; /* 0: none are kept (everything mode) */
  int32_t token;           /* 0: the single mask; 1 to 3: the readings; -1: everything mode */
  double point_x, point_y; /* everything mode: the point of the grid that it answers */
} beckon_mask_info;

BECKON_C_API beckon_status beckon_masks_info(const beckon_masks* masks, size_t index,
                                             beckon_mask_info* info);
/* A byte a pixel, 0 or 1, into image_height rows of image_width bytes that are `stride` apart (0:
 * without gaps). `size` is what `bytes` has room for. */
BECKON_C_API beckon_status beckon_masks_bitmap(const beckon_masks* masks, size_t index,
                                               uint8_t* bytes, size_t size, size_t stride);
/* logits_height rows of logits_width numbers; `count` is what `logits` has room for. */
BECKON_C_API beckon_status beckon_masks_logits(const beckon_masks* masks, size_t index,
                                               float* logits, size_t count);
/* COCO's run lengths as its string; `*counts` lives as long as the masks. */
BECKON_C_API beckon_status beckon_masks_rle(const beckon_masks* masks, size_t index,
                                            const char** counts);
BECKON_C_API void beckon_masks_free(beckon_masks* masks);

/* Everything mode: the parameters of SAM's automatic mask generator. */
typedef struct beckon_generator_options {
  size_t struct_size;
  int32_t points_per_side;
  int32_t points_per_batch;
  float pred_iou_thresh;
  double stability_score_thresh;
  float stability_score_offset;
  float box_nms_thresh;
  int32_t crop_n_layers;
  float crop_nms_thresh;
  double crop_overlap_ratio;
  int32_t crop_n_points_downscale_factor;
  int64_t min_mask_region_area;
} beckon_generator_options;
/* The reference's defaults, for a structure of struct_size bytes. */
BECKON_C_API beckon_status beckon_generator_options_init(beckon_generator_options* options,
                                                         size_t struct_size);
/* Is told points done and all points, on the calling thread; anything but 0 stops the work. */
typedef int (*beckon_progress)(int64_t done, int64_t all, void* user);
/* All that is to be seen, without prompts. `options` NULL: the defaults; `progress` may be NULL. */
BECKON_C_API beckon_status beckon_sam_generate(const beckon_sam* sam, const beckon_image* image,
                                               const beckon_generator_options* options,
                                               beckon_progress progress, void* user,
                                               beckon_masks** masks);

#ifdef __cplusplus
}
#endif

#endif
