// Where fetched files are kept.
#pragma once

#include <filesystem>

namespace nestvit {

// $HOME, for "~" and the caches. Throws Error when it is unset.
std::filesystem::path home_folder();
// nestvit's own cache: $XDG_CACHE_HOME/nestvit, else ~/.cache/nestvit.
std::filesystem::path nestvit_cache();

}  // namespace nestvit
