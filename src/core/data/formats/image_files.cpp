// Extensions, foreign names, and the walk.
#include "data/formats/image_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "base/unicode.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using Word = std::string_view;

struct Extension {
  Word name, format;
};
// Browsers save JPEGs as .jfif, old programs as .jpe.
constexpr std::array<Extension, 6> kExtensions = {{{"jpg", "jpeg"},
                                                   {"jpeg", "jpeg"},
                                                   {"jpe", "jpeg"},
                                                   {"jfif", "jpeg"},
                                                   {"png", "png"},
                                                   {"webp", "webp"}}};

std::string joined_extensions() {
  std::vector<Word> names;
  for (const Extension& extension : kExtensions) names.push_back(extension.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// In lower case.
constexpr std::array kForeign = {
    // Synology, QNAP, NetApp, GoodSync
    Word("@eadir"), Word("@tmp"), Word("@sharebin"), Word("@recycle"), Word("@recently-snapshot"),
    Word("#recycle"), Word("#snapshot"), Word("~snapshot"), Word("_gsdata_"),
    // Windows
    Word("$recycle.bin"), Word("recycler"), Word("recycled"), Word("system volume information"),
    Word("$extend"), Word("$winreagent"), Word("config.msi"), Word("_vti_cnf"), Word("desktop.ini"),
    Word("thumbs.db"), Word("ehthumbs.db"), Word("ehthumbs_vista.db"),
    // Linux, Android, macOS, Python
    Word("lost+found"), Word("lost.dir"), Word("__macosx"), Word("network trash folder"),
    Word("temporary items"), Word("desktop db"), Word("desktop df"), Word("icon\r"),
    Word("__pycache__")};

// What people keep beside pictures on purpose.
constexpr std::array kDocuments = {
    Word("txt"),   Word("md"),   Word("rst"),  Word("csv"),  Word("tsv"), Word("json"),
    Word("jsonl"), Word("yaml"), Word("yml"),  Word("toml"), Word("xml"), Word("htm"),
    Word("html"),  Word("pdf"),  Word("doc"),  Word("docx"), Word("xls"), Word("xlsx"),
    Word("log"),   Word("ini"),  Word("cfg"),  Word("py"),   Word("sh"),  Word("bat"),
    Word("ipynb"), Word("url"),  Word("names")};

constexpr const char* kOtherKinds = "of other kinds";

struct Archive {
  Word end, command;
};
constexpr std::array<Archive, 12> kArchives = {{{".zip", "unzip {} -d {}"},
                                                {".tar", "tar -xf {} -C {}"},
                                                {".tar.gz", "tar -xf {} -C {}"},
                                                {".tgz", "tar -xf {} -C {}"},
                                                {".tar.bz2", "tar -xf {} -C {}"},
                                                {".tbz2", "tar -xf {} -C {}"},
                                                {".tar.xz", "tar -xf {} -C {}"},
                                                {".txz", "tar -xf {} -C {}"},
                                                {".tar.zst", "tar -xf {} -C {}"},
                                                {".tzst", "tar -xf {} -C {}"},
                                                {".7z", "7z x {} -o{}"},
                                                {".rar", "unrar x {} {}"}}};

template <class List>
bool contains(const List& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string extension_of(Word path) {
  const Word name = path.substr(path.rfind('/') + 1);
  const size_t dot = name.rfind('.');
  return dot == Word::npos ? "" : ascii_lower(name.substr(dot + 1));
}

// ".bmp"; names of files may be hostile, and so may their ends.
std::string kind_of(const std::string& extension) {
  constexpr size_t kLongest = 10;
  if (extension.empty()) return "without an extension";
  const bool plain = std::all_of(extension.begin(), extension.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return plain && extension.size() <= kLongest ? "." + extension : kOtherKinds;
}

void count_kind(std::map<std::string, int64_t>& kinds, const std::string& kind, int64_t files = 1) {
  constexpr size_t kMostKinds = 50;
  const bool room = kinds.size() < kMostKinds || kinds.contains(kind);
  kinds[room ? kind : kOtherKinds] += files;
}

// The most frequent ones first.
std::string kinds_text(const std::map<std::string, int64_t>& kinds) {
  constexpr size_t kShown = 6;
  std::vector<std::pair<std::string, int64_t>> order(kinds.begin(), kinds.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  int64_t rest = 0;
  for (size_t i = 0; i < order.size(); ++i)
    if (i < kShown && order[i].first != kOtherKinds)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", human_count(order[i].second),
                          order[i].first);
    else
      rest += order[i].second;
  if (rest == 0) return text;
  return text.empty() ? fmt::format("{} {}", human_count(rest), kOtherKinds)
                      : fmt::format("{} and {} others", text, human_count(rest));
}

class Walker {
 public:
  Walker(const fs::path& base, const std::string& relative,
         const std::function<void(const std::string&)>& on_other)
      : base_(base), on_other_(on_other) {
    // A link to a folder above would lead to the images of all other classes.
    std::error_code error;
    fs::path above = fs::canonical(base / relative, error);
    while (!error && above.has_relative_path()) {
      above = above.parent_path();
      struct stat status {};
      if (::stat(above.c_str(), &status) == 0) entered_.emplace(status.st_dev, status.st_ino);
    }
  }

  void enter(const std::string& relative) {
    struct stat status {};
    if (::stat((base_ / relative).c_str(), &status) != 0) return;
    if (!entered_.emplace(status.st_dev, status.st_ino).second) {
      found.unread.add_repeated(relative);
      return;
    }
    found.folders.push_back(relative);
    const Listing listing = list_folder(base_ / relative);
    const auto path = [&](const std::string& name) {
      return relative.empty() ? name : relative + "/" + name;
    };
    for (const auto& name : listing.files)
      if (has_image_extension(name))
        found.images.push_back(path(name));
      else
        pass_by(path(name));
    for (const auto& name : listing.lost)
      if (has_image_extension(name))
        found.lost.push_back(path(name));
      else
        found.unread.add_lost(path(name));
    for (const auto& name : listing.devices) found.unread.add_device(path(name));
    for (const auto& name : listing.folders) enter(path(name));
  }

  FoundImages found;

 private:
  void pass_by(const std::string& path) {
    found.unread.add_file(path);
    if (on_other_) on_other_(path);
  }

  const fs::path& base_;
  const std::function<void(const std::string&)>& on_other_;
  std::set<std::pair<dev_t, ino_t>> entered_;
};

}  // namespace

const std::string kImageExtensions = joined_extensions();

std::string_view image_format(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == Word::npos) return {};
  const std::string extension = ascii_lower(name.substr(dot + 1));
  const auto known = std::find_if(kExtensions.begin(), kExtensions.end(),
                                  [&](const Extension& e) { return e.name == extension; });
  return known == kExtensions.end() ? Word() : known->format;
}

bool is_foreign_name(std::string_view name) {
  const std::string lower = ascii_lower(name);
  // What chkdsk found: FOUND.000, FOUND.001, ...
  const bool of_chkdsk = lower.size() == 9 && lower.starts_with("found.") &&
                         lower.find_first_not_of("0123456789", 6) == std::string::npos;
  return name.starts_with('.') || of_chkdsk || contains(kForeign, lower);
}

std::string unpack_command(const fs::path& file, const fs::path& folder) {
  const std::string name = ascii_lower(file.filename().string());
  for (const Archive& archive : kArchives)
    if (name.ends_with(archive.end))
      return fmt::format(fmt::runtime(archive.command), file.string(), folder.string());
  return "";
}

Listing list_folder(const fs::path& folder) {
  Listing listing;
  for (const auto& entry : fs::directory_iterator(folder)) {
    auto name = entry.path().filename().string();
    if (is_foreign_name(name)) continue;
    std::error_code error;
    // The listing itself says what is no link: millions of files are not looked at one by one.
    const fs::file_type type = entry.is_symlink(error)        ? entry.status(error).type()
                               : entry.is_directory(error)    ? fs::file_type::directory
                               : entry.is_regular_file(error) ? fs::file_type::regular
                                                              : fs::file_type::unknown;
    // What cannot be looked at (a link into a closed folder) is a file that reading will name.
    auto& group = type == fs::file_type::directory          ? listing.folders
                  : type == fs::file_type::not_found        ? listing.lost
                  : error || type == fs::file_type::regular ? listing.files
                                                            : listing.devices;
    group.push_back(std::move(name));
  }
  for (auto* group : {&listing.folders, &listing.files, &listing.lost, &listing.devices})
    std::sort(group->begin(), group->end());
  return listing;
}

bool is_expected_file(std::string_view path, bool beside) {
  const std::string extension = extension_of(path);
  return contains(kDocuments, extension) ||
         (beside && (extension.empty() || !unpack_command(path, "").empty()));
}

void Unread::Some::add(const std::string& path) {
  if (count++ == 0) first = path;
}

void Unread::Some::add(const Some& other) {
  if (count == 0) first = other.first;
  count += other.count;
}

void Unread::add_file(const std::string& path, bool beside) {
  const std::string extension = extension_of(path);
  if (beside && has_image_extension(path)) return beside_.add(path);
  if (is_expected_file(path, beside)) {
    documents_.add(path);
    count_kind(document_kinds_, kind_of(extension));
  } else {
    files_.add(path);
    count_kind(file_kinds_, kind_of(extension));
  }
}

void Unread::add(const Unread& other) {
  files_.add(other.files_);
  documents_.add(other.documents_);
  beside_.add(other.beside_);
  lost_.add(other.lost_);
  devices_.add(other.devices_);
  repeated_.add(other.repeated_);
  for (const auto& [kind, files] : other.file_kinds_) count_kind(file_kinds_, kind, files);
  for (const auto& [kind, files] : other.document_kinds_) count_kind(document_kinds_, kind, files);
}

std::string Unread::kinds() const {
  auto all = file_kinds_;
  for (const auto& [kind, files] : document_kinds_) count_kind(all, kind, files);
  return kinds_text(all);
}

std::vector<NotRead> Unread::sentences(const fs::path& where) const {
  std::vector<NotRead> all;
  const std::string folder = printable(where.string());
  const auto say = [&](const Some& some, bool expected, const std::string& one,
                       const std::string& many, const std::string& why = "") {
    if (some.count == 0) return;
    all.push_back({fmt::format("{}: {} {}; {}{}{}", folder, human_count(some.count),
                               some.count == 1 ? one : many, why,
                               some.count == 1 ? "it is " : "the first is ", printable(some.first)),
                   expected});
  };
  const auto files = [](const char* verb, const auto& kinds) {
    return fmt::format("{} not read ({})", verb, kinds_text(kinds));
  };
  say(files_, false, "file " + files("is", file_kinds_), "files " + files("are", file_kinds_),
      fmt::format("images are {}; ", kImageExtensions));
  say(beside_, false, "image beside the class folders is not read",
      "images beside the class folders are not read");
  say(lost_, false, "link leads nowhere", "links lead nowhere");
  say(devices_, false, "pipe, socket or device is not read",
      "pipes, sockets or devices are not read");
  say(documents_, true, "file " + files("is", document_kinds_),
      "files " + files("are", document_kinds_));
  say(repeated_, true, "link leads to a folder that is read already",
      "links lead to folders that are read already");
  return all;
}

FoundImages find_images(const fs::path& base, const std::string& relative,
                        const std::function<void(const std::string&)>& on_other) {
  Walker walker(base, relative, on_other);
  walker.enter(relative);
  return std::move(walker.found);
}

}  // namespace nestvit
