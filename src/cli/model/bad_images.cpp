// Warnings on standard error.
#include "cli/model/bad_images.h"

#include <fmt/format.h>

#include "base/log.h"

namespace nestvit::cli {

void BadImages::add(const std::string& name, const std::string& reason) {
  if (++count_ > named_) return;
  const bool says_which = reason.find(name) != std::string::npos;
  log_warning(fmt::format("skipped: {}", says_which ? reason : name + ": " + reason));
}

void BadImages::end() const {
  if (count_ > named_)
    log_warning(fmt::format("skipped {} more unreadable images", count_ - named_));
}

}  // namespace nestvit::cli
