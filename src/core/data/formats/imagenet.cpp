// Validation images in one folder: where they and their labels are found, and the forms of labels.
#include "data/formats/imagenet.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"
#include "data/formats/folder.h"
#include "data/formats/image_files.h"
#include "data/names.h"
#include "data/shards/tfds.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBetween = " \t\r\f\v,;";
// The names of the files where people get them.
const std::vector<std::string> kLabelFiles = {
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    "val.txt",
    "val_map.txt",
    "val_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"};
const std::vector<std::string> kClassFiles = {"LOC_synset_mapping.txt", "synset_words.txt",
                                              "imagenet_synsets.txt", "synsets.txt"};
const std::vector<std::string> kIdFiles = {"map_clsloc.txt", "devkit/data/map_clsloc.txt",
                                           "ILSVRC2012_devkit_t12/data/map_clsloc.txt"};
constexpr const char* kKagglesFolder = "ILSVRC/Data/CLS-LOC";

// -1: not a number.
int64_t to_number(std::string_view text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && text.front() != '-' ? value : -1;
}

// Calls visit(line, its number from 1) for every line that is not blank, without blanks around it.
template <class Visit>
void each_line(std::string_view text, Visit&& visit) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (const auto line = trimmed(text.substr(0, end)); !line.empty()) visit(line, number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// "val/ILSVRC2012_val_00000001.JPEG" -> "ILSVRC2012_val_00000001".
std::string stem(std::string_view file) {
  if (const size_t slash = file.find_last_of("/\\"); slash != std::string_view::npos)
    file.remove_prefix(slash + 1);
  if (has_image_extension(file)) file = file.substr(0, file.rfind('.'));
  return std::string(file);
}

bool is_header(std::string_view first_field) {
  static const std::set<std::string> headers = {"imageid",  "image_id",  "image", "file",
                                                "filename", "file_name", "path",  "name"};
  return headers.contains(ascii_lower(first_field));
}

// The label in the text after a file's name: the first word when it is a synset (Kaggle's boxes
// follow), else all of it.
std::string_view label_in(std::string_view rest) {
  const auto word = rest.substr(0, rest.find_first_of(kBetween));
  return is_synset(word) ? word : rest;
}

bool has_folders(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder, ignored) && looks_like_image_folder(folder);
}

// The images directly in a folder, sorted; none when it has folders too.
std::vector<std::string> flat_images(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return {};
  Listing listing = list_folder(folder);
  if (!listing.folders.empty()) return {};
  std::erase_if(listing.files, [](const std::string& name) { return !has_image_extension(name); });
  return std::move(listing.files);
}

// The folders in `root` that are called like this part, in any case.
std::vector<fs::path> folders_of(const fs::path& root, Split split) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  if (!fs::is_directory(root, ignored)) return folders;
  for (const auto& name : list_folder(root).folders)
    if (find_split_named(name) == split) folders.push_back(root / name);
  return folders;
}

std::optional<fs::path> find_file(const std::vector<fs::path>& folders,
                                  const std::vector<std::string>& names) {
  std::error_code ignored;
  for (const auto& name : names)
    for (const auto& folder : folders)
      if (fs::is_regular_file(folder / name, ignored)) return folder / name;
  return std::nullopt;
}

// Where images and labels lie.
struct Places {
  fs::path root;                    // holds train/ and val/
  std::optional<fs::path> train;    // with class folders in it
  fs::path flat;                    // the folder of the validation images
  std::vector<std::string> images;  // in `flat`; empty: they do not lie flat
  std::vector<fs::path> looked_in;  // for labels
  std::optional<fs::path> labels;
};

Places find_places(const DatasetOptions& options) {
  Places places;
  const fs::path given = (options.root / "").parent_path();  // no slash at the end
  std::error_code ignored;
  const bool kaggles = fs::is_directory(given / kKagglesFolder, ignored);
  places.root = kaggles ? given / kKagglesFolder : given;
  std::vector<fs::path> candidates = {places.root};
  for (auto& folder : folders_of(places.root, Split::kVal)) candidates.push_back(std::move(folder));
  for (const auto& folder : candidates) {
    places.images = flat_images(folder);
    places.flat = folder;
    if (!places.images.empty()) break;
  }
  const fs::path above = fs::absolute(places.flat).lexically_normal().parent_path();
  for (const auto& parent : {places.root, above})
    for (const auto& folder : folders_of(parent, Split::kTrain))
      if (!places.train && has_folders(folder)) places.train = folder;
  for (const auto& folder : {given, places.flat, above})
    if (std::none_of(places.looked_in.begin(), places.looked_in.end(),
                     [&](const fs::path& other) { return fs::equivalent(folder, other, ignored); }))
      places.looked_in.push_back(folder);
  // ROOT/LOC_val_solution.csv beside ROOT/ILSVRC/Data/CLS-LOC/val.
  if (const fs::path up = above.parent_path().parent_path().parent_path();
      above == up / kKagglesFolder && !kaggles)
    places.looked_in.push_back(up);
  if (!options.labels_file.empty())
    places.labels = options.labels_file;
  else
    places.labels = find_file(places.looked_in, kLabelFiles);
  return places;
}

Error no_labels(const Places& places) {
  return Error(fmt::format("{}: {} images without class folders, and no file of labels for them; "
                           "looked for {} in {}",
                           places.flat.string(), places.images.size(), fmt::join(kLabelFiles, ", "),
                           fmt::join(std::vector<std::string>(places.looked_in.begin(),
                                                              places.looked_in.end()),
                                     ", ")),
               "name it: --labels FILE, with lines \"FILE SYNSET\" or \"FILE INDEX\"");
}

// The label of each image as its file says it.
std::vector<std::string> labels_by_file(const Places& places, const ImageLabels& given) {
  std::unordered_map<std::string_view, std::string_view> label_of;
  for (size_t i = 0; i < given.files.size(); ++i) label_of.emplace(given.files[i], given.labels[i]);
  std::vector<std::string> labels;
  for (const auto& image : places.images) {
    const auto found = label_of.find(stem(image));
    if (found == label_of.end())
      throw Error(
          fmt::format("{} has no line for {}", places.labels->string(),
                      (places.flat / image).string()),
          fmt::format("its first line is about '{}': is it the right file?", given.files.front()));
    labels.emplace_back(found->second);
  }
  return labels;
}

// ILSVRC2012_val_00000001 -> 1; -1 for other names.
int64_t official_number(const std::string& image) {
  constexpr std::string_view kPrefix = "ILSVRC2012_val_";
  const std::string name = stem(image);
  return name.starts_with(kPrefix) ? to_number(std::string_view(name).substr(kPrefix.size())) : -1;
}

// Labels of one line per image. The number in an image's official name is the number of its line,
// so that a part of the images is enough; without such names there must be as many lines as images.
std::vector<std::string> labels_by_line(const Places& places, const ImageLabels& given) {
  const int64_t lines = std::ssize(given.labels), images = std::ssize(places.images);
  const bool official = std::all_of(places.images.begin(), places.images.end(), [&](auto& image) {
    const int64_t number = official_number(image);
    return number >= 1 && number <= lines;
  });
  if (!official && lines != images)
    throw Error(fmt::format("{} has {} labels for {} images in {}", places.labels->string(), lines,
                            images, places.flat.string()),
                "it has one line per image, in the order of their names");
  std::vector<std::string> labels;
  for (int64_t i = 0; i < images; ++i)
    labels.push_back(given.labels[official ? official_number(places.images[i]) - 1 : i]);
  return labels;
}

// ILSVRC ids are not the order of the synsets: only a file can say which is which.
std::vector<std::string> synsets_of_ids(const Places& places, ImageLabels& given) {
  auto folders = places.looked_in;
  folders.insert(folders.begin(), places.labels->parent_path());
  const auto path = find_file(folders, kIdFiles);
  if (!path)
    throw Error(fmt::format("{} holds numbers alone: ILSVRC ids, which are not class indices, and "
                            "no map_clsloc.txt beside it says which synset each is",
                            places.labels->string()),
                "put map_clsloc.txt (lines \"n02119789 1 kit_fox\", from a development kit) there, "
                "or give labels as lines \"FILE SYNSET\" or \"FILE INDEX\"");
  auto synsets = parse_synset_ids(read_text(*path), path->string());
  for (auto& label : given.labels) {
    const int64_t id = to_number(label);
    if (id < 1 || id > std::ssize(synsets))
      throw Error(fmt::format("{}: id {}, expected 1 to {}", places.labels->string(), label,
                              synsets.size()),
                  "ILSVRC ids start at 1; give indices from 0 as lines \"FILE INDEX\"");
    label = synsets[id - 1];
  }
  given.numbers = false;
  std::sort(synsets.begin(), synsets.end());
  return synsets;
}

// The synsets of a list beside the images; nothing when there is none.
std::vector<std::string> listed_synsets(const Places& places) {
  const auto path = find_file(places.looked_in, kClassFiles);
  if (!path || *path == *places.labels) return {};
  auto synsets = read_class_map(*path).keys;
  if (!std::all_of(synsets.begin(), synsets.end(), is_synset)) return {};
  return synsets;
}

// The classes, from the first that names them all: a map, train/, a list beside the images, the
// file of ids; else from the labels themselves. Synsets sorted as bytes are the official order.
ClassMap find_classes(const DatasetOptions& options, const Places& places,
                      const ImageLabels& labels, std::vector<std::string> by_id) {
  if (!options.class_map.empty()) return read_class_map(options.class_map);
  std::vector<std::string> names = std::move(by_id);
  if (places.train) {
    names = list_folder(*places.train).folders;
    sort_classes(names, options.class_order);
  } else if (auto listed = listed_synsets(places); !listed.empty()) {
    names = std::move(listed);
  } else if (names.empty() && labels.numbers) {
    int64_t highest = 0;
    for (const auto& label : labels.labels) highest = std::max(highest, to_number(label));
    names = numbered_classes(static_cast<int>(std::min<int64_t>(highest + 1, kMaxClasses)));
  } else if (names.empty()) {
    const std::set<std::string> unique(labels.labels.begin(), labels.labels.end());
    names.assign(unique.begin(), unique.end());
  }
  return {names, names};
}

std::vector<int> to_indices(const Places& places, const std::vector<std::string>& labels,
                            bool numbers, const ClassMap& classes) {
  std::unordered_map<std::string_view, int> index;
  for (const auto* names : {&classes.keys, &classes.names})
    for (size_t i = 0; i < names->size(); ++i) index.emplace((*names)[i], static_cast<int>(i));
  std::vector<int> indices;
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto found = index.find(labels[i]);
    const int64_t number = numbers ? to_number(labels[i]) : -1;
    if (found == index.end() && (number < 0 || number >= std::ssize(classes.keys)))
      throw Error(
          fmt::format("{}: the label of {} is '{}', which is none of {} classes; the first is '{}'",
                      places.labels->string(), places.images[i], labels[i], classes.keys.size(),
                      classes.keys.front()),
          numbers ? "indices start at 0, in the order of the sorted synsets"
                  : "classes come from --class-map, else from train/, else from a list of synsets "
                    "beside the images");
    indices.push_back(found != index.end() ? found->second : static_cast<int>(number));
  }
  return indices;
}

std::unique_ptr<Dataset> open_flat(const DatasetOptions& options, Places places) {
  if (!places.labels) throw no_labels(places);
  constexpr uint64_t kMaxLabels = 256 << 20;
  auto given = parse_image_labels(read_text(*places.labels, kMaxLabels), places.labels->string());
  const bool by_line = given.files.empty();
  std::vector<std::string> by_id;
  if (by_line && given.numbers) by_id = synsets_of_ids(places, given);
  const auto labels = by_line ? labels_by_line(places, given) : labels_by_file(places, given);
  if (given.labels.size() > places.images.size())
    log_warning(fmt::format("{} labels {} images, {} of them are in {}", places.labels->string(),
                            given.labels.size(), places.images.size(), places.flat.string()));
  ClassMap classes = find_classes(options, places, given, std::move(by_id));
  require_two_classes(classes.names, places.labels->string(), "is it the right file?");
  FileDataset::Files files;
  files.labels = to_indices(places, labels, given.numbers, classes);
  files.base = places.flat;
  for (const std::string& image : places.images) files.paths.add(image);
  files.classes = std::move(classes.names);
  return std::make_unique<FileDataset>("labelled images", std::move(files));
}

}  // namespace

ImageLabels parse_image_labels(const std::string& text, const std::string& origin) {
  ImageLabels result;
  std::unordered_set<std::string> seen;
  std::optional<bool> by_file;
  each_line(text, [&](std::string_view line, int64_t number) {
    const size_t end = line.find_first_of(kBetween);
    const auto file = line.substr(0, end);
    const size_t rest = end == std::string_view::npos ? end : line.find_first_not_of(kBetween, end);
    const bool two = rest != std::string_view::npos;
    if (!by_file && two && is_header(file)) return;
    if (!by_file) by_file = two;
    if (two != *by_file)
      throw Error(fmt::format("{} line {}: {}", origin, number,
                              two ? "a file and a label; above are labels alone"
                                  : "one word, expected a file and its label"),
                  "every line must have the same form");
    if (two && !seen.insert(stem(file)).second)
      throw Error(fmt::format("{} line {}: '{}' is labelled a second time", origin, number, file),
                  "every image has one line");
    if (two) result.files.push_back(stem(file));
    result.labels.emplace_back(two ? label_in(line.substr(rest)) : file);
  });
  if (result.labels.empty())
    throw Error(origin + ": no labels in it", "write one line per image: FILE LABEL");
  result.numbers = std::all_of(result.labels.begin(), result.labels.end(),
                               [](const auto& label) { return to_number(label) >= 0; });
  return result;
}

std::vector<std::string> parse_synset_ids(const std::string& text, const std::string& origin) {
  std::vector<std::string> synsets;
  each_line(text, [&](std::string_view line, int64_t number) {
    const auto first = line.substr(0, line.find_first_of(kBetween));
    auto second = line.substr(first.size());
    second.remove_prefix(std::min(second.find_first_not_of(kBetween), second.size()));
    second = second.substr(0, second.find_first_of(kBetween));
    const auto synset = is_synset(first) ? first : second, id = is_synset(first) ? second : first;
    if (!is_synset(synset) || to_number(id) < 1 || to_number(id) > kMaxClasses)
      throw Error(fmt::format("{} line {}: expected a synset and its id", origin, number),
                  "for instance \"n02119789 1 kit_fox\"");
    if (to_number(id) > std::ssize(synsets)) synsets.resize(to_number(id));
    if (!synsets[to_number(id) - 1].empty())
      throw Error(fmt::format("{} line {}: a second synset of id {}", origin, number, id),
                  "every id has one synset");
    synsets[to_number(id) - 1] = synset;
  });
  const std::set<std::string> unique(synsets.begin(), synsets.end());
  if (synsets.empty() || unique.contains("") || unique.size() != synsets.size())
    throw Error(fmt::format("{}: the ids of {} synsets are not 1, 2, 3, ... without gaps", origin,
                            unique.size()),
                "every id has one synset");
  return synsets;
}

bool looks_like_imagenet(const DatasetOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(options.root / kKagglesFolder, ignored)) return true;
  const Places places = find_places(options);
  return !places.images.empty() && (places.labels || (places.train && places.flat != places.root));
}

std::unique_ptr<Dataset> open_imagenet(const DatasetOptions& given) {
  if (given.labels_file.empty() && has_tfds(given.root, "imagenet2012")) {
    DatasetOptions options = given;
    options.name = "imagenet2012";
    return open_tfds(options);
  }
  Places places = find_places(given);
  DatasetOptions options = given;
  options.root = places.root;
  const bool flat = !places.images.empty();
  const Split split = parse_split(options.split);
  if (flat && split == Split::kVal) return open_flat(options, std::move(places));
  if (!flat && !options.labels_file.empty())
    throw Error(fmt::format("{}: no folder of images that {} could be about", options.root.string(),
                            options.labels_file.string()),
                "labels are for images directly in DIR/val or DIR; class folders need none");
  if (flat && split == Split::kTrain) {
    if (!places.train || places.flat == places.root)
      throw Error(fmt::format("{} holds images to evaluate on; no train/ with class folders",
                              options.root.string()),
                  "name the folder that has train/ and val/");
    options.val_share = 0;  // val/ is there: all of train/ is for training
  }
  if (!flat && !has_folders(options.root))
    throw Error(fmt::format("{}: no ImageNet there", given.root.string()),
                fmt::format("looked for class folders in train/ and val/ or directly in it, for "
                            "images in val/ or directly in it with a file of labels, for {}, and "
                            "for imagenet2012/VERSION as TFDS stores it",
                            kKagglesFolder));
  return open_folder(options, flat ? places.flat : fs::path());
}

}  // namespace nestvit
