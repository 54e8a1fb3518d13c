// The folder of results: whole files or none, whoever is killed when.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace beckon::compose {

// Text that ends with a hash of itself, as our results and manifests do: `body` is JSON whose
// outermost object is still open, and the seal closes it. Cut off or edited, it is not whole.
std::string sealed(std::string body);
bool is_sealed(std::string_view text);

class OutFolder {
 public:
  using AroundWrite = std::function<void(const std::function<void()>& write)>;

  // Creates the folder and those above it. Error(output) if something else is in its place.
  OutFolder(std::string root, AroundWrite around_write);
  // Of a folder that must be there; Error(missing).
  static OutFolder existing(std::string root, AroundWrite around_write);

  const std::string& root() const { return root_; }
  std::string full(const std::string& name) const { return root_ + "/" + name; }

  // Nothing if there is no such file; Error(temporary) if it cannot be read.
  std::optional<std::string> read(const std::string& name) const;
  bool has(const std::string& name) const;
  // The file is replaced as a whole, or not at all; on disk when this returns. Folders on the way
  // are made. Error(temporary) if trying again may help (the disk is full, an I/O error), else
  // Error(output).
  void write(const std::string& name, std::string_view bytes) const;
  // The same for what is too large to hold in memory: `produce` hands over the pieces.
  using Sink = std::function<void(std::string_view)>;
  void write_in_pieces(const std::string& name,
                       const std::function<void(const Sink&)>& produce) const;
  // As write(), unless there is a file already: then false.
  bool write_new(const std::string& name, std::string_view bytes) const;
  // True if there was one.
  bool remove(const std::string& name) const;
  // What shards keep while they work: unfinished files of killed ones are in there too.
  void remove_working_files() const;

  // Holds a shard for as long as it lives, unless the file system knows no locks.
  class Lock {
   public:
    explicit Lock(int file) : file_(file) {}
    ~Lock();
    Lock(Lock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
    Lock& operator=(Lock&&) = delete;

   private:
    int file_;
  };
  // Waits some seconds for another process; Error(temporary) if that goes on.
  Lock lock(const std::string& name) const;

 private:
  bool put(const std::string& name, const std::function<void(const Sink&)>& produce,
           bool replace) const;

  std::string root_;
  AroundWrite around_write_;
};

// Folder of working files, relative to OUT; gone when the whole is complete.
inline constexpr const char* kShardsFolder = "shards";

}  // namespace beckon::compose
