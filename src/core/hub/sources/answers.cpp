// The JSON of the Hugging Face hub and of Google Cloud Storage, and the text of `checkpoint`:
// bounded, and every field checked before it becomes a part of a path or an address.
#include "hub/sources/answers.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/checkpoint_state.h"
#include "base/json.h"
#include "hub/http.h"

namespace nestvit {
namespace {

using nlohmann::json;

constexpr size_t kLongestName = 1024;  // of an object, by Google's rules

json parse(std::string_view text, const std::string& origin) {
  try {
    json root = parse_json(text);
    if (root.is_object()) return root;
  } catch (const Error&) {
  }
  throw Error(fmt::format("{} answers with something that is not a JSON object", origin),
              "is the address right? a proxy or a login page may answer in its place");
}

std::string word(const json& object, const char* key, const std::string& origin) {
  const auto at = object.find(key);
  if (at == object.end()) return "";
  if (!at->is_string())
    throw Error(fmt::format("the answer of {} has a \"{}\" that is not text", origin, key));
  return at->get<std::string>();
}

// Whether `text` may stand in a path or in a header as it is.
bool is_token(const std::string& text) {
  return !text.empty() && text.size() <= 128 && text.front() != '.' &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
             std::string::npos;
}

const json& list(const json& root, const char* key, const std::string& origin) {
  static const json kNone = json::array();
  const auto at = root.find(key);
  if (at == root.end()) return kNone;
  if (!at->is_array())
    throw Error(fmt::format("the answer of {} has a \"{}\" that is not a list", origin, key));
  for (const json& entry : *at)
    if (!entry.is_object())
      throw Error(fmt::format("the answer of {} has a \"{}\" with other entries than objects",
                              origin, key));
  return *at;
}

GcsObject object_of(const json& entry, const std::string& origin) {
  GcsObject object;
  object.name = word(entry, "name", origin);
  object.generation = word(entry, "generation", origin);
  const std::string size = word(entry, "size", origin);
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), object.size);
  const bool sized = !size.empty() && error == std::errc() && end == size.data() + size.size();
  if (object.name.empty() || object.name.size() > kLongestName || !sized ||
      (!object.generation.empty() && !is_token(object.generation)))
    throw Error(fmt::format("the answer of {} describes an object without name or size", origin));
  const std::string md5 = word(entry, "md5Hash", origin), crc = word(entry, "crc32c", origin);
  if (!md5.empty()) {
    object.checksums.push_back({DigestKind::kMd5, hex_of_base64(md5)});
  } else if (!crc.empty()) {  // composed objects have no MD5
    object.checksums.push_back({DigestKind::kCrc32c, hex_of_base64(crc)});
  }
  return object;
}

}  // namespace

HubAnswer parse_hub_answer(std::string_view text, const std::string& origin) {
  const json root = parse(text, origin);
  HubAnswer answer;
  answer.commit = word(root, "sha", origin);
  if (!is_token(answer.commit))
    throw Error(fmt::format("the answer of {} names no commit", origin),
                "is HF_ENDPOINT the address of a Hugging Face hub?");
  for (const json& sibling : list(root, "siblings", origin))
    answer.files.push_back(word(sibling, "rfilename", origin));
  return answer;
}

std::vector<std::string> parse_parts(std::string_view text, const std::string& origin) {
  constexpr size_t kMostParts = 1000;
  const json root = parse(text, origin);
  const auto map = root.find("weight_map");
  std::set<std::string> parts;
  if (map != root.end() && map->is_object()) {
    for (const json& part : *map) {
      if (!part.is_string() || !is_token(part.get<std::string>()))
        throw Error(fmt::format("{} names a part that is no file beside it", origin));
      parts.insert(part.get<std::string>());
    }
  }
  if (parts.empty() || parts.size() > kMostParts)
    throw Error(
        fmt::format("{} names {} parts, expected 1 to {}", origin, parts.size(), kMostParts));
  return {parts.begin(), parts.end()};
}

GcsPage parse_gcs_page(std::string_view text, const std::string& origin) {
  const json root = parse(text, origin);
  GcsPage page;
  page.next = word(root, "nextPageToken", origin);
  for (const json& entry : list(root, "items", origin))
    page.objects.push_back(object_of(entry, origin));
  return page;
}

GcsObject parse_gcs_object(std::string_view text, const std::string& origin) {
  return object_of(parse(text, origin), origin);
}

std::string newest_in(std::string_view text, const std::string& origin) {
  if (const auto path = newest_checkpoint(text)) {
    // An absolute path is one of the machine that wrote it; the file lies beside the text.
    const std::string name = path->substr(path->rfind('/') + 1);
    if (is_token(name)) return name;
  }
  throw Error(fmt::format("{} names no checkpoint", origin),
              "it should have a line model_checkpoint_path: \"ckpt-N\"");
}

std::string file_name_of(const std::string& url, const std::string& content_disposition) {
  std::string name;
  if (const size_t at = content_disposition.find("filename*=UTF-8''"); at != std::string::npos) {
    name = content_disposition.substr(at + 17);
    name = http_unescape(name.substr(0, name.find(';')));
  } else if (const size_t plain = content_disposition.find("filename=");
             plain != std::string::npos) {
    name = content_disposition.substr(plain + 9);
    name = name.starts_with('"') ? name.substr(1, name.find('"', 1) - 1)
                                 : name.substr(0, name.find(';'));
  } else {
    const std::string path = url.substr(0, url.find_first_of("?#"));
    const size_t host = path.find("://") + 3;
    const size_t slash = path.rfind('/');
    name = slash < host || slash == std::string::npos ? "" : http_unescape(path.substr(slash + 1));
  }
  name = name.substr(name.find_last_of("/\\") + 1);
  for (char& c : name)
    if (!is_token(std::string("a") + c) && c != '+' && c != '=') c = '_';
  name = name.substr(std::min(name.find_first_not_of("._"), name.size()), 120);
  return name.empty() ? "download" : name;
}

}  // namespace nestvit
