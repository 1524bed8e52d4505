// Models by the name gs://BUCKET/PATH.
#pragma once

#include <filesystem>
#include <string>

#include "hub/download.h"

namespace nestvit {

// The folder with `checkpoint` and the newest ckpt-N.*, or one object's file: in nestvit's cache,
// fetched unless it is there.
std::filesystem::path pull_from_gcs(const std::string& name, const Transport& transport);

}  // namespace nestvit
