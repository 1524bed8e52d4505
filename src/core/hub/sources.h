// Where named things come from: one function per kind of name. Each returns what is in its cache,
// fetched when it was not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hub/archive.h"
#include "hub/download.h"

namespace nestvit {

// $HOME, for "~" and the caches. Throws Error when it is unset.
std::filesystem::path home_folder();
// nestvit's own: $XDG_CACHE_HOME/nestvit, else ~/.cache/nestvit.
std::filesystem::path nestvit_cache();

// hf://OWNER/NAME[@REVISION] -> the snapshot's folder.
std::filesystem::path pull_from_hub(const std::string& name, const Transport& transport);
// gs://BUCKET/PATH -> the folder with `checkpoint` and the newest ckpt-N.*, or one object's file.
std::filesystem::path pull_from_gcs(const std::string& name, const Transport& transport);
// http(s)://HOST/FILE -> the file.
std::filesystem::path pull_from_url(const std::string& url, const Transport& transport);

// A dataset: its files and what they make.
struct DatasetFile {
  std::string name;       // below a source's address
  std::string md5;        // as torchvision publishes it
  uint64_t size = 0;      // 0: not known
  std::string unpacks;    // a .gz: the file in it; a .tar.gz: ""
  uint64_t unpacked = 0;  // its size
};
struct DatasetSource {
  std::string name;
  std::vector<std::string> addresses;  // tried in order; end in '/'
  std::vector<DatasetFile> files;
  std::vector<std::string> holds;  // what the folder has when it is complete
  ArchiveLimits limits;            // of a .tar.gz
};
const std::vector<DatasetSource>& dataset_sources();
// Fills `folder`, which must be new, empty or complete already.
void fetch_dataset(const DatasetSource& source, const std::filesystem::path& folder,
                   const Transport& transport);

// Readers of answers, which may hold anything. They throw Error, which names `origin`.

struct HubAnswer {
  std::string commit;
  std::vector<std::string> files;
};
HubAnswer parse_hub_answer(std::string_view text, const std::string& origin);

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
