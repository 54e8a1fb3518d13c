// A photo and a click become a mask: segment PHOTO X Y MASK.png
#include <cstdio>
#include <cstdlib>

#include <beckon/error.h>
#include <beckon/sam.h>

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "usage: segment PHOTO X Y MASK.png\n");
    return 2;
  }
  const auto sam = beckon::Sam::load("mobile-sam");  // a name in the store, or an official file
  const auto photo = beckon::Image::read(argv[1]);   // JPEG, PNG or WebP
  const auto seen = sam.encode(photo);               // once an image; share it, save it
  const auto masks = seen.segment(                   // milliseconds; three readings, best first
      beckon::Point{std::atof(argv[2]), std::atof(argv[3])});
  masks.best().write_png(argv[4]);
  std::printf("score %.3f, %lld pixels\n", masks.best().score(),
              static_cast<long long>(masks.best().area()));
} catch (const beckon::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return beckon::exit_code(error.kind());
}
