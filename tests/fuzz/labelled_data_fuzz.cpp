// layer: learn
// Data sets of pictures with classes: the first byte says which file the rest is. What is opened
// must hold what it promises; the rest must be refused with an error.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "beckon/error.h"
#include "learn/data/labelled_data.h"

namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const fs::path folder =
      fs::temp_directory_path() / ("labelled_data_fuzz." + std::to_string(getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder / "scenes");
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  const char* names[] = {"train-images-idx3-ubyte",
                         "train-images-idx3-ubyte.gz",
                         "train-labels-idx1-ubyte",
                         "data_batch_1.bin",
                         "train.json",
                         "train.txt",
                         "split_zhou_A.json",
                         "metadata.csv",
                         "rgb_metadata.csv",
                         "scenes/CLEVR_train_scenes.json",
                         "labels.csv"};
  const std::string name = names[data[0] % std::size(names)];
  if (name.starts_with("train-")) {
    // Two pictures of 1 x 1 of the classes 0 and 1, unless the input says otherwise.
    write(folder / "train-labels-idx1-ubyte", std::string("\0\0\10\1\0\0\0\2\0\1", 10));
    if (!name.ends_with(".gz"))
      write(folder / "train-images-idx3-ubyte",
            std::string("\0\0\10\3\0\0\0\2\0\0\0\1\0\0\0\1\1\2", 18));
  }
  write(folder / name, text);
  try {
    const auto opened = beckon::learn::open_labelled_data(folder.string());
    const auto classes = static_cast<int64_t>(opened->labels.size());
    for (size_t i = 0; i < opened->items.size(); ++i) {
      if (opened->items[i].label < 0 || opened->items[i].label >= classes) std::abort();
      if (opened->path(i).empty()) std::abort();
      if (i < 4) try {
          if (opened->load(i, {}).empty()) std::abort();
        } catch (const beckon::Error&) {
        }
    }
  } catch (const beckon::Error&) {
  }
  return 0;
}
