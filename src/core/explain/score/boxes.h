// Boxes of objects, as wsolevaluation's localization.txt has them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nestvit {

// Corners in pixels of the original image, all inclusive: x1 and y1 are the last pixels.
struct ObjectBox {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  bool operator==(const ObjectBox&) const = default;
};

// The boxes of each image. Images are found by their path, else by its end: the paths of the file
// and of a data set seldom start in the same folder.
class BoxTable {
 public:
  // Lines `path,x0,y0,x1,y1`, several for an image of several objects; the path may hold commas.
  // Empty lines are left out. Throws Error that names the line: a number that is not finite, below
  // 0 or above kMaxCoordinate, a corner before the other, no path, bytes of no text.
  static BoxTable parse(std::string_view text, const std::string& origin);
  // The same of a file of at most kMaxBytes.
  static BoxTable read(const std::filesystem::path& path);

  static constexpr double kMaxCoordinate = 1e6;
  static constexpr uint64_t kMaxBytes = 256u << 20;

  // The boxes of `path`; none where it is not in the file, or where its end is that of several
  // images alike.
  std::span<const ObjectBox> find(const std::string& path) const;
  size_t images() const { return boxes_.size(); }
  size_t boxes() const { return count_; }

 private:
  std::map<std::string, std::vector<ObjectBox>> boxes_;
  // The same paths with their parts in reverse order, "c.jpg/b/a/", so that paths of one end are
  // neighbours.
  std::map<std::string, const std::vector<ObjectBox>*> by_end_;
  size_t count_ = 0;
};

}  // namespace nestvit
