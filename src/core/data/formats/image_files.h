// Which files in a folder of images are read: one list of extensions, one of names that belong to
// no data set, and one walk, for training, eval, predict and the check.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

// The format that an extension stands for, in any case: "jpeg", "png", "webp"; "" for other files.
// The decoder finds out what a file holds.
std::string_view image_format(std::string_view name);
inline bool has_image_extension(std::string_view name) { return !image_format(name).empty(); }
extern const std::string kImageExtensions;  // "jpg, jpeg, ..."

// Hidden files and folders, and those that systems, network storage and other programs put beside
// people's files: no data set means them, and nothing counts them.
bool is_foreign_name(std::string_view name);

// How to unpack an archive (by its extension) into a folder; "" for other files.
std::string unpack_command(const std::filesystem::path& file, const std::filesystem::path& folder);

// The content of a folder without its sub-folders' and without foreign names, each list sorted. A
// link counts as what it leads to.
struct Listing {
  std::vector<std::string> folders;
  std::vector<std::string> files;
  std::vector<std::string> lost;     // links that lead nowhere
  std::vector<std::string> devices;  // pipes, sockets and devices, which reading could wait for
};
Listing list_folder(const std::filesystem::path& folder);

// Whether people keep such a file beside pictures on purpose: lists, readmes; `beside` the class
// folders also archives.
bool is_expected_file(std::string_view path, bool beside);

// Counts what is not read.
class Unread {
 public:
  // `beside`: it lies where class folders do, and not in one.
  void add_file(const std::string& path, bool beside = false);
  void add_lost(const std::string& path) { lost_.add(path); }
  void add_device(const std::string& path) { devices_.add(path); }
  void add_repeated(const std::string& path) { repeated_.add(path); }
  void add(const Unread& other);
  int64_t files() const { return files_.count + documents_.count; }
  std::string first_file() const { return files_.count > 0 ? files_.first : documents_.first; }
  std::string kinds() const;  // "8 .bmp, 1 .gif": of all files

  // A sentence for each kind; `where` is the folder that the paths are relative to.
  std::vector<NotRead> sentences(const std::filesystem::path& where) const;

 private:
  struct Some {
    int64_t count = 0;
    std::string first;
    void add(const std::string& path);
    void add(const Some& other);
  };
  Some files_, documents_, beside_, lost_, devices_, repeated_;
  std::map<std::string, int64_t> file_kinds_, document_kinds_;  // by extension
};

// What lies below a folder, at any depth; paths are relative to `base` of find_images().
struct FoundImages {
  std::vector<std::string> images;
  std::vector<std::string> lost;     // links that are called like images and lead nowhere
  std::vector<std::string> folders;  // the first is the one that was asked for
  Unread unread;
};

// Walks through base/relative ("": base itself). It follows links and enters each folder once, so
// that circles end. `on_other` is called for every file that is not read. Throws filesystem_error.
FoundImages find_images(const std::filesystem::path& base, const std::string& relative,
                        const std::function<void(const std::string&)>& on_other = {});

}  // namespace nestvit
