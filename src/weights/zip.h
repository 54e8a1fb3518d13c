// Zip archives, as numpy and PyTorch write them: the directory, checked against everything it
// points at.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weights/entry.h"
#include "weights/mapped_file.h"

namespace beckon::weights {

struct ZipMember {
  std::string_view name;  // lies in the mapped file
  uint64_t offset = 0;    // of the data, in the file
  uint64_t packed = 0;    // bytes in the file
  uint64_t size = 0;      // bytes of the member
  uint32_t crc = 0;
  bool deflated = false;
};

// The members in the order of the file. Throws Error(model) for a directory that lies about
// anything: sizes, places, names that differ between directory and member, members that overlap or
// occur twice, absolute names or ".."; Error(unsupported) for encryption, several volumes and
// methods other than stored and deflated. Sizes of deflated members are what they declare, at most
// 1032 times their packed size (the most deflate can do).
std::vector<ZipMember> read_zip(const File& file);

// The member's bytes: in place if stored; else inflated at each call of bytes(), never past the
// declared size and with the checksum verified.
std::shared_ptr<const Storage> zip_storage(const File& file, const ZipMember& member,
                                           uint64_t skip = 0);

// The first bytes of a member, at most `count`.
std::vector<std::byte> zip_head(const File& file, const ZipMember& member, uint64_t count);

}  // namespace beckon::weights
