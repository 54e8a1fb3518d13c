/* A photo and a click become a mask, written as a PBM picture.
 *
 *   cc segment.c $(pkg-config --cflags --libs beckon) -o segment
 *   ./segment mobile-sam photo.jpg 500 375 mask.pbm */
#include <beckon/beckon.h>

#include <stdio.h>
#include <stdlib.h>

static int fail_with(const char* what, beckon_status status) {
  fprintf(stderr, "%s: %s\n", what, beckon_last_error());
  return (int)status;
}

/* P4: a bit a pixel, rows padded to bytes. */
static int write_pbm(const char* path, const unsigned char* bitmap, int width, int height) {
  FILE* file = fopen(path, "wb");
  int x, y, failed;
  if (!file) return 0;
  fprintf(file, "P4\n%d %d\n", width, height);
  for (y = 0; y < height; ++y) {
    int byte = 0;
    for (x = 0; x < width; ++x) {
      byte = byte * 2 + bitmap[(size_t)y * (size_t)width + (size_t)x];
      if (x % 8 == 7 || x == width - 1) {
        putc(byte << (7 - x % 8), file);
        byte = 0;
      }
    }
  }
  failed = ferror(file);
  return fclose(file) == 0 && !failed;
}

int main(int argc, char** argv) {
  beckon_sam* sam = NULL;
  beckon_embedding* seen = NULL;
  beckon_masks* masks = NULL;
  beckon_point click;
  beckon_query query = {0};
  beckon_mask_info info = {0};
  unsigned char* bitmap = NULL;
  beckon_status status;
  size_t size;

  if (argc != 6) {
    fprintf(stderr, "usage: %s MODEL PHOTO X Y MASK.pbm\n", argv[0]);
    return BECKON_USAGE;
  }
  click.x = atof(argv[3]);
  click.y = atof(argv[4]);
  click.label = 1;
  query.struct_size = sizeof query;
  query.points = &click;
  query.point_count = 1;
  query.multimask = -1;
  info.struct_size = sizeof info;

  if ((status = beckon_sam_load(argv[1], &sam)) != BECKON_OK) return fail_with("load", status);
  if ((status = beckon_sam_encode_file(sam, argv[2], &seen)) != BECKON_OK) return fail_with("encode", status);
  if ((status = beckon_embedding_segment(seen, &query, &masks)) != BECKON_OK) return fail_with("segment", status);
  if ((status = beckon_masks_info(masks, 0, &info)) != BECKON_OK) return fail_with("info", status);
  printf("score %.3f, %ld pixels\n", (double)info.score, (long)info.area);

  size = (size_t)info.image_width * (size_t)info.image_height;
  bitmap = malloc(size);
  if (!bitmap) return BECKON_INTERNAL;
  if ((status = beckon_masks_bitmap(masks, 0, bitmap, size, 0)) != BECKON_OK) return fail_with("bitmap", status);
  if (!write_pbm(argv[5], bitmap, info.image_width, info.image_height)) {
    perror(argv[5]);
    return BECKON_OUTPUT;
  }
  free(bitmap);
  beckon_masks_free(masks);
  beckon_embedding_free(seen);
  beckon_sam_free(sam);
  return BECKON_OK;
}
