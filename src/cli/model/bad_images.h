// Images that cannot be read, among others that can: named as they come, counted at the end.
#pragma once

#include <cstddef>
#include <string>

namespace nestvit::cli {

inline constexpr size_t kNamedBadImages = 20;

class BadImages {
 public:
  // How many are named by a warning; the others are only counted.
  explicit BadImages(size_t named = kNamedBadImages) : named_(named) {}
  void add(const std::string& name, const std::string& reason);
  // Says how many were not named.
  void end() const;
  size_t count() const { return count_; }

 private:
  size_t named_, count_ = 0;
};

}  // namespace nestvit::cli
