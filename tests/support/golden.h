// Where golden tests find their cases: NESTVIT_GOLDENS, or tests/golden of this checkout. Tests
// iterate over what is there, read every size and setting from the case's own files, and fail when
// they found nothing.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace nestvit::testing {

inline std::filesystem::path golden_root() {
  const char* set = std::getenv("NESTVIT_GOLDENS");
  return set && *set ? set : NESTVIT_GOLDENS_DEFAULT;
}

// golden_root() where it has `file`, else the committed goldens: for what this project had other
// programs compute (tools/make_timm_goldens.py), which another folder need not have.
inline std::filesystem::path golden_root_with(const std::filesystem::path& file) {
  return std::filesystem::exists(golden_root() / file) ? golden_root() : NESTVIT_GOLDENS_DEFAULT;
}

// Sub-folders of golden_root()/`part` that hold `file`, in order of name. Throws when there is
// none.
inline std::vector<std::filesystem::path> golden_cases(const std::string& part,
                                                       const std::string& file) {
  namespace fs = std::filesystem;
  std::vector<fs::path> cases;
  if (fs::is_directory(golden_root() / part))
    for (const auto& entry : fs::directory_iterator(golden_root() / part))
      if (fs::exists(entry.path() / file)) cases.push_back(entry.path());
  if (cases.empty())
    throw std::runtime_error("no golden case with " + file + " in " +
                             (golden_root() / part).string());
  std::sort(cases.begin(), cases.end());
  return cases;
}

// An input image of the preprocessing goldens. They name photos that lie beside them.
inline std::filesystem::path golden_image(const std::string& name) {
  const auto root = golden_root();
  for (const auto& folder :
       {root / "preprocess" / "inputs", root / "photos", root / "images", root / "data" / "photos",
        root / ".." / "data" / "photos", root / ".." / "photos",
        std::filesystem::path(NESTVIT_GOLDENS_DEFAULT) / "photos"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  throw std::runtime_error("golden input image " + name + " is not beside the goldens in " +
                           root.string());
}

}  // namespace nestvit::testing
