// Fetches a file from a URL: goes on where an earlier try stopped, checks it, and leaves it whole
// or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hub/digest.h"
#include "hub/http.h"

namespace nestvit {

class PartFile;

// Settings of every fetch.
struct Transport {
  bool progress = true;
  HttpPatience patience;
};

struct Download {
  std::string url;
  std::string label;             // names the file in messages and in the progress bar
  std::string bearer;            // see HttpRequest
  std::optional<uint64_t> size;  // as stated elsewhere
  std::vector<Checksum> checksums;
  // Whether the URL's content never changes, so that a part of it can always be continued.
  // Otherwise the server is asked to continue the version that the part is of (If-Range).
  bool fixed = false;
  uint64_t max_bytes = uint64_t{64} << 30;  // of a file of unknown size
};

// Fetches into `part`, lengths checked. Returns the last answer, without its body.
HttpResponse download_part(const Download& download, const Transport& transport, PartFile& part);

// Throws Error and removes the file when a checksum differs.
void verify_part(const Download& download, PartFile& part);

// Both, and then the file gets its final name. Asks no server when `file` is there. Two processes
// that want the same file wait for each other.
void fetch_file(const Download& download, const Transport& transport,
                const std::filesystem::path& file);

}  // namespace nestvit
