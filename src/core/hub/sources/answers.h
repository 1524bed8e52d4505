// Readers of the servers' answers, which may hold anything. They throw Error, which names `origin`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hub/digest.h"

namespace nestvit {

// The Hugging Face hub's about a revision of a model.
struct HubAnswer {
  std::string commit;
  std::vector<std::string> files;
};
HubAnswer parse_hub_answer(std::string_view text, const std::string& origin);
// The files of weights in parts by their index, each once: a thousand at most, all with names that
// are safe in a path.
std::vector<std::string> parse_parts(std::string_view text, const std::string& origin);

// Google Cloud Storage's about the objects of a bucket.
struct GcsObject {
  std::string name, generation;
  uint64_t size = 0;
  std::vector<Checksum> checksums;  // the strongest that the server states
};
struct GcsPage {
  std::vector<GcsObject> objects;
  std::string next;  // token of the next page, "" on the last one
};
GcsPage parse_gcs_page(std::string_view text, const std::string& origin);
GcsObject parse_gcs_object(std::string_view text, const std::string& origin);

// The newest checkpoint's name ("ckpt-39") by the text of a `checkpoint` file. Throws Error when it
// names none.
std::string newest_in(std::string_view text, const std::string& origin);

// A file name that is safe on this machine, by Content-Disposition or else by the URL. Never empty,
// never hidden.
std::string file_name_of(const std::string& url, const std::string& content_disposition);

}  // namespace nestvit
