// Models by the name hf://OWNER/NAME[@REVISION].
#pragma once

#include <filesystem>
#include <string>

#include "hub/download.h"

namespace nestvit {

// The snapshot's folder in the hub's cache, fetched unless it is there.
std::filesystem::path pull_from_hf(const std::string& name, const Transport& transport);

}  // namespace nestvit
