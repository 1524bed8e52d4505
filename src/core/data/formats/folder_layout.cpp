// Names of parts, the folder one level deeper, and what lies beside them.
#include "data/formats/folder_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "base/unicode.h"
#include "data/formats/image_files.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

bool has_folders(const fs::path& folder) { return !list_folder(folder).folders.empty(); }

// "Seg_train-2017" -> {"seg", "train"}: runs of letters, in lower case. Numbers tell no parts
// apart.
std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : ascii_lower(name)) {
    const bool letter = (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80;
    if (letter && !inside) words.emplace_back();
    if (letter) words.back() += c;
    inside = letter;
  }
  return words;
}

// The part that a word names: "train", and "trainset" as well.
std::optional<Split> split_of_word(const std::string& word) {
  for (const char* end : {"", "set", "data"})
    if (word.ends_with(end))
      if (const auto split =
              find_split_named(word.substr(0, word.size() - std::string(end).size())))
        return split;
  return std::nullopt;
}

struct Named {
  Split split;
  std::vector<std::string> others;  // the words beside that of the part
};

// Of a name in which one word names a part.
std::optional<Named> named_part(const std::string& name) {
  std::optional<Named> found;
  std::vector<std::string> others;
  for (auto& word : words_of(name)) {
    const auto split = split_of_word(word);
    if (split && found) return std::nullopt;
    if (split)
      found = Named{*split, {}};
    else
      others.push_back(std::move(word));
  }
  if (found) found->others = std::move(others);
  return found;
}

// The folder of a part may hold one of the same name, in which the class folders are:
// training_set/training_set/CLASS.
fs::path innermost(const fs::path& part, Split split) {
  const auto folders = list_folder(part).folders;
  if (folders.size() != 1) return part;
  const bool same = find_split_named(folders[0]) == split ||
                    ascii_lower(folders[0]) == ascii_lower(part.filename().string());
  return same && has_folders(part / folders[0]) ? part / folders[0] : part;
}

// The usual name comes first, then those in other case, then those with other words.
std::vector<std::string> candidates(const std::map<std::string, Split>& parts, Split split) {
  std::vector<std::string> names;
  const auto take = [&](const auto& fits) {
    for (const auto& [name, part] : parts)
      if (part == split && std::find(names.begin(), names.end(), name) == names.end() && fits(name))
        names.push_back(name);
  };
  for (const std::string& usual : split_names(split)) {
    take([&](const std::string& name) { return name == usual; });
    take([&](const std::string& name) { return ascii_lower(name) == usual; });
  }
  take([](const std::string&) { return true; });
  return names;
}

// Counts what a folder holds, and stops at `most` entries: the folder may be anything.
struct Content {
  int64_t images = 0, others = 0;
};

class ContentCount {
 public:
  Content of(const fs::path& folder) {
    content_ = {};
    entries_ = 0;
    enter(folder, 0);
    return content_;
  }
  bool stopped() const { return entries_ >= kMost; }

 private:
  static constexpr int64_t kMost = 10'000;
  static constexpr int kDeepest = 16;

  void enter(const fs::path& folder, int depth) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
      if (++entries_ >= kMost) return;
      const std::string name = entry->path().filename().string();
      if (is_foreign_name(name)) continue;
      std::error_code unknown;
      if (entry->is_directory(unknown)) {
        if (depth < kDeepest && !entry->is_symlink(unknown)) enter(entry->path(), depth + 1);
      } else if (has_image_extension(name)) {
        ++content_.images;
      } else {
        ++content_.others;
      }
    }
  }

  Content content_;
  int64_t entries_ = 0;
};

std::string content_text(const fs::path& folder) {
  ContentCount count;
  const Content content = count.of(folder);
  const char* at_least = count.stopped() ? "at least " : "";
  if (content.images > 0)
    return fmt::format("{}{} image{}", at_least, human_count(content.images),
                       content.images == 1 ? "" : "s");
  return content.others == 0
             ? ""
             : fmt::format("no image, {}{} other file{}", at_least, human_count(content.others),
                           content.others == 1 ? "" : "s");
}

// Says which folders beside the parts nothing reads. Images for a test, without classes, are
// expected there.
void note_beside(const fs::path& root, const std::vector<std::string>& beside,
                 const std::map<std::string, Split>& parts, FolderLayout& layout) {
  constexpr size_t kNamed = 5;
  std::vector<std::string> folders, expected;
  for (const auto& name : beside) {
    const std::string content = content_text(root / name);
    if (content.empty()) continue;
    const auto part = parts.find(name);
    const bool is_test = part != parts.end() && part->second == Split::kTest;
    auto& group = is_test || content.starts_with("no image") ? expected : folders;
    group.push_back(fmt::format("{} ({})", printable(name), content));
  }
  for (auto* group : {&folders, &expected}) {
    if (group->empty()) continue;
    const size_t more = group->size() - std::min(group->size(), kNamed);
    group->resize(group->size() - more);
    layout.not_read.push_back(
        {fmt::format("{}: folders beside {}/ are not read: {}{}", printable(root.string()),
                     printable(layout.train->lexically_relative(root).begin()->string()),
                     fmt::join(*group, ", "), more > 0 ? fmt::format(", and {} more", more) : ""),
         group == &expected});
  }
}

// Class folders directly in the root.
void find_classes(const fs::path& root, const std::vector<std::string>& folders,
                  const std::map<std::string, Split>& parts, FolderLayout& layout) {
  const bool only_parts = std::all_of(folders.begin(), folders.end(),
                                      [&](const auto& name) { return parts.contains(name); });
  for (const auto& name : folders) {
    const auto part = parts.find(name);
    const bool plain = find_split_named(name).has_value();
    const auto is_in = [&](const std::optional<fs::path>& taken) {
      return taken && taken->lexically_relative(root).begin()->string() == name;
    };
    if (is_in(layout.val) || is_in(layout.test)) continue;
    if (plain && part->second == Split::kTest) {
      const std::string content = content_text(root / name);
      layout.not_read.push_back(
          {fmt::format("{} is taken for the test part, not for a class, and is not read{}; rename "
                       "it if it is a class",
                       printable((root / name).string()),
                       content.empty() ? "" : fmt::format(" ({})", content)),
           content.empty()});
      continue;
    }
    if (only_parts && !layout.without_classes) layout.without_classes = root / name;
    if (plain && !only_parts)
      layout.not_read.push_back(
          {fmt::format("{} holds no class folders: it is taken for a class of that name, not for "
                       "the part '{}'",
                       printable((root / name).string()), split_names(part->second).front()),
           true});
    layout.classes.push_back(name);
  }
}

}  // namespace

std::map<std::string, Split> parts_among(const std::vector<std::string>& folders) {
  std::map<std::string, Split> parts;
  std::map<std::vector<std::string>, std::map<std::string, Split>> alike;  // by the other words
  for (const auto& name : folders) {
    if (const auto split = find_split_named(name)) parts.emplace(name, *split);
    if (const auto named = named_part(name)) alike[named->others].emplace(name, named->split);
  }
  for (const auto& [_, names] : alike) {
    std::set<Split> splits;
    for (const auto& [name, split] : names) splits.insert(split);
    // "test_tube" and "bullet_train" are classes.
    if (splits.size() > 1 && splits.contains(Split::kTrain))
      parts.insert(names.begin(), names.end());
  }
  return parts;
}

FolderLayout find_layout(const fs::path& root, const fs::path& also_read) {
  FolderLayout layout;
  const Listing listing = list_folder(root);
  const auto parts = parts_among(listing.folders);
  std::set<std::string> taken = {also_read.lexically_relative(root).string()};
  Unread unread;
  const auto pass_by = [&](const Listing& passed, const std::string& prefix) {
    for (const auto& name : passed.files) unread.add_file(prefix + name, /*beside=*/true);
    for (const auto& name : passed.lost) unread.add_lost(prefix + name);
  };
  for (const Split split : {Split::kTrain, Split::kVal, Split::kTest}) {
    auto& found = split == Split::kTrain ? layout.train
                  : split == Split::kVal ? layout.val
                                         : layout.test;
    for (const auto& name : candidates(parts, split)) {
      layout.looked_at.push_back(name);
      // With images directly inside it may be a class of that name.
      if (found || !has_folders(root / name)) continue;
      taken.insert(name);
      found = innermost(root / name, split);
      if (found == root / name) continue;
      layout.looked_at.push_back(found->lexically_relative(root).string());
      pass_by(list_folder(root / name), name + "/");
    }
  }
  layout.base = layout.train.value_or(root);
  if (layout.train) {
    std::vector<std::string> beside;
    std::copy_if(listing.folders.begin(), listing.folders.end(), std::back_inserter(beside),
                 [&](const auto& name) { return !taken.contains(name); });
    note_beside(root, beside, parts, layout);
    pass_by(listing, "");
  } else {
    find_classes(root, listing.folders, parts, layout);
  }
  for (auto& sentence : unread.sentences(root)) layout.not_read.push_back(std::move(sentence));
  return layout;
}

}  // namespace nestvit
