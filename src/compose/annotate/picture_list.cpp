#include "compose/annotate/picture_list.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon::compose {
namespace {

// Endings of pictures; those that no reader is there for are inputs too, so that a person hears of
// them.
constexpr std::array<std::string_view, 16> kEndings = {
    "jpg", "jpeg", "jpe",  "jfif", "png",  "webp", "gif", "bmp",
    "tif", "tiff", "heic", "heif", "avif", "jp2",  "jxl", "psd"};

bool ends_like_picture(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string end(name.substr(dot + 1));
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kEndings.begin(), kEndings.end(), end) != kEndings.end();
}

bool begins_like_picture(const std::string& path) {
  // Not blocking: what was a file a moment ago may be a pipe now.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return false;
  std::array<char, 12> bytes = {};
  const ssize_t count = ::read(file, bytes.data(), bytes.size());
  ::close(file);
  const std::string_view head(bytes.data(), count > 0 ? static_cast<size_t>(count) : 0);
  return head.starts_with("\xff\xd8\xff") || head.starts_with("\x89PNG\r\n\x1a\n") ||
         (head.starts_with("RIFF") && head.substr(std::min<size_t>(8, head.size())) == "WEBP");
}

// The path without links, or empty.
std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return real ? real.get() : "";
}

class Walk {
 public:
  Walk(std::string folder, const std::string& out)
      : folder_(std::move(folder)), root_(real_path(folder_)) {
    struct stat status = {};
    if (::stat(out.c_str(), &status) == 0) out_ = {status.st_dev, status.st_ino};
  }

  PictureList run() {
    // A list of folders to do instead of recursion: hostile trees are deep.
    std::vector<std::string> folders = {""};
    while (!folders.empty()) {
      const std::string folder = std::move(folders.back());
      folders.pop_back();
      list(folder, folders);
    }
    std::sort(result_.inputs.begin(), result_.inputs.end(),
              [](const Input& a, const Input& b) { return a.path < b.path; });
    return std::move(result_);
  }

 private:
  struct Identity {
    dev_t device = 0;
    ino_t number = 0;
    bool operator==(const Identity&) const = default;
  };

  std::string full(const std::string& path) const {
    return path.empty() ? folder_ : folder_ + "/" + path;
  }

  void list(const std::string& folder, std::vector<std::string>& folders) {
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(full(folder).c_str()), &::closedir);
    if (!entries) {
      if (folder.empty()) fail(Kind::missing, "{}: cannot list: {}", folder_, std::strerror(errno));
      result_.inputs.push_back(
          {folder, fmt::format("cannot list the folder: {}", std::strerror(errno))});
      return;
    }
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(entries.get());
      if (entry == nullptr) break;
      if (entry->d_name[0] == '.') continue;  // hidden, or the folder itself and the one above
      consider(folder.empty() ? entry->d_name : folder + "/" + entry->d_name, folders);
    }
    if (errno != 0)
      fail(Kind::temporary, "{}: cannot list: {}", full(folder), std::strerror(errno));
  }

  void consider(const std::string& path, std::vector<std::string>& folders) {
    struct stat status = {};
    if (::lstat(full(path).c_str(), &status) != 0) return;  // gone since it was listed
    if (S_ISDIR(status.st_mode)) {
      if (Identity{status.st_dev, status.st_ino} != out_) folders.push_back(path);
      return;
    }
    if (S_ISLNK(status.st_mode)) {
      const std::string real = real_path(full(path));
      if (real.empty()) {
        if (ends_like_picture(path)) result_.inputs.push_back({path, "a link that leads nowhere"});
        return;
      }
      if (!real.starts_with(root_ == "/" ? root_ : root_ + "/") && real != root_) {
        ++result_.links_outside;
        return;
      }
      if (::stat(real.c_str(), &status) != 0) return;
    }
    if (!S_ISREG(status.st_mode)) return;  // pipes, devices, links to folders
    if (ends_like_picture(path) || begins_like_picture(full(path)))
      result_.inputs.push_back({path, ""});
  }

  std::string folder_, root_;
  Identity out_;
  PictureList result_;
};

}  // namespace

PictureList list_pictures(const std::string& folder, const std::string& out) {
  return Walk(folder, out).run();
}

}  // namespace beckon::compose
