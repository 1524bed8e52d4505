// Finds the folders by environment variables.
#include "hub/cache.h"

#include <nestvit/error.h>

#include "base/system/environment.h"

namespace nestvit {

namespace fs = std::filesystem;

fs::path home_folder() {
  const auto home = environment_variable("HOME");
  if (!home)
    throw Error("there is no folder for the cache: HOME is not set",
                "set HOME, or XDG_CACHE_HOME and HF_HOME");
  return *home;
}

fs::path nestvit_cache() {
  const auto cache = environment_variable("XDG_CACHE_HOME");
  return (cache ? fs::path(*cache) : home_folder() / ".cache") / "nestvit";
}

}  // namespace nestvit
