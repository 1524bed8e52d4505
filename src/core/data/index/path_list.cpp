// Text with the names one after the other, and runs of files of one folder.
#include "data/index/path_list.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "data/index/index.h"

namespace nestvit {

void PathList::add(std::string_view path) {
  const size_t slash = path.rfind('/');
  const size_t cut = slash == std::string_view::npos ? 0 : slash + 1;
  if (runs_.empty() || folder(runs_.back()) != path.substr(0, cut)) {
    runs_.push_back({size(), text_.size(), cut});
    text_.insert(text_.end(), path.begin(), path.begin() + static_cast<ptrdiff_t>(cut));
  }
  text_.insert(text_.end(), path.begin() + static_cast<ptrdiff_t>(cut), path.end());
  ends_.push_back(text_.size());
}

std::string PathList::at(int64_t index) const {
  if (index < 0 || index >= size()) throw std::out_of_range("path " + std::to_string(index));
  const Run& run =
      *std::prev(std::upper_bound(runs_.begin(), runs_.end(), index,
                                  [](int64_t i, const Run& other) { return i < other.first; }));
  const uint64_t begin = index == run.first ? run.begin + run.size : ends_[index - 1];
  std::string path(folder(run));
  return path.append(text_.data() + begin, ends_[index] - begin);
}

PathList PathList::part(const std::vector<int64_t>& indices) const {
  PathList part;
  part.ends_.reserve(indices.size());
  for (const int64_t i : indices) part.add(at(i));
  return part;
}

void PathList::write(IndexWriter& index) const {
  index.array(std::span(text_));
  index.array(std::span(ends_));
  index.array(std::span(runs_));
}

PathList PathList::read(IndexReader& index) {
  PathList list;
  list.text_ = index.array<char>();
  list.ends_ = index.array<uint64_t>();
  list.runs_ = index.array<Run>();
  list.check(index);
  return list;
}

void PathList::check(IndexReader& index) const {
  index.require(std::is_sorted(ends_.begin(), ends_.end()), "ends of names that go down");
  index.require((ends_.empty() ? 0 : ends_.back()) == text_.size(), "text behind the last name");
  index.require(runs_.empty() == ends_.empty(), "names without a folder");
  int64_t before = -1;
  for (const Run& run : runs_) {
    index.require(run.first > before && run.first < size() && (before >= 0 || run.first == 0),
                  "folders out of order");
    index.require(run.begin == (run.first == 0 ? 0 : ends_[run.first - 1]) &&
                      run.size <= ends_[run.first] - run.begin,
                  "a folder's name in another's place");
    before = run.first;
  }
}

}  // namespace nestvit
