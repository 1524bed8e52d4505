// The relative paths of millions of files in one piece of memory, where the name of a folder stands
// once before the names in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nestvit {

class IndexReader;
class IndexWriter;

class PathList {
 public:
  // Paths of one folder after the other share the folder's name: 8 bytes and the file's own name
  // for each, 24 bytes and its name for a folder.
  void add(std::string_view path);
  std::string at(int64_t index) const;  // throws std::out_of_range
  int64_t size() const { return static_cast<int64_t>(ends_.size()); }
  // The paths of `indices`, in that order.
  PathList part(const std::vector<int64_t>& indices) const;

  void write(IndexWriter& index) const;
  // Throws Error unless at() works for every path.
  static PathList read(IndexReader& index);

 private:
  // The files from `first` up to the next run lie in one folder.
  struct Run {
    int64_t first;
    uint64_t begin, size;  // of its name with the slash, in text_
  };
  std::string_view folder(const Run& run) const {
    return std::string_view(text_.data(), text_.size()).substr(run.begin, run.size);
  }
  void check(IndexReader& index) const;

  std::vector<char> text_;      // FOLDER/ name name name FOLDER/ name ...
  std::vector<uint64_t> ends_;  // of each file's name, in text_
  std::vector<Run> runs_;
};

}  // namespace nestvit
