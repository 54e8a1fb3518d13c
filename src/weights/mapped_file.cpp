#include "weights/mapped_file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon::weights {

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(Kind::missing, "{}: cannot open: {}", path, std::strerror(errno));
  struct Closer {
    int fd;
    ~Closer() { close(fd); }  // the mapping stays
  } closer{fd};
  struct stat status;
  if (fstat(fd, &status) != 0)
    fail(Kind::missing, "{}: cannot read: {}", path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(Kind::missing, "{}: not a regular file", path);

  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  file->size_ = static_cast<size_t>(status.st_size);
  if (file->size_ == 0) return file;
  // Parameters that lie in the file may be trained: a page that is written becomes our own copy,
  // the file stays as it is.
  void* data = mmap(nullptr, file->size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED)
    fail(Kind::missing, "{}: cannot map {} bytes: {}", path, file->size_, std::strerror(errno));
  file->data_ = static_cast<const std::byte*>(data);
  file->mapped_ = true;
  return file;
}

std::shared_ptr<const MappedFile> MappedFile::copy_of(std::string path,
                                                      std::span<const std::byte> bytes) {
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = std::move(path);
  file->size_ = bytes.size();
  auto* data = new std::byte[bytes.size() + 1];
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  file->data_ = data;
  return file;
}

MappedFile::~MappedFile() {
  if (mapped_)
    munmap(const_cast<std::byte*>(data_), size_);
  else
    delete[] data_;
}

}  // namespace beckon::weights
