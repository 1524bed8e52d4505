// Models by the address http(s)://HOST/FILE.
#pragma once

#include <filesystem>
#include <string>

#include "hub/download.h"

namespace nestvit {

// The file in nestvit's cache, fetched unless it is there.
std::filesystem::path pull_from_url(const std::string& url, const Transport& transport);

}  // namespace nestvit
