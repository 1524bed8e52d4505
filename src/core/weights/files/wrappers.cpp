// Names are compared, never bytes, so that a file costs no more than its list of tensors.
#include "weights/files/wrappers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/log.h"
#include "base/text.h"

namespace nestvit {
namespace {

constexpr std::string_view kStem = "patch_embed.proj.weight";
// Of a baseline: "conv1.weight" alone is also the name of a kernel in each of its blocks.
constexpr std::string_view kBaselineStem = "conv1.weight", kBaselineNext = "layer1.0.conv1.weight";

// What PyTorch puts anywhere into names, as no network does.
constexpr std::array<std::string_view, 3> kInside = {"_orig_mod.", "_fsdp_wrapped_module.",
                                                     "_checkpoint_wrapped_module."};

constexpr std::array<std::string_view, 9> kPlaces = {
    "state_dict", "model",  "model_state_dict", "net",      "network",
    "weights",    "params", "state_dict_ema",   "model_ema"};

// Of a file that means well; a hostile one may hold a million.
constexpr size_t kMostNetworks = 16, kLongestPrefix = 256;

// Names of a classifier, each a linear layer.
constexpr std::array<std::string_view, 4> kHeads = {"head", "head.fc", "fc", "classifier"};

std::string without_inside(std::string_view name) {
  std::string clean;
  for (size_t at = 0; at < name.size();) {  // component by component, each with its dot
    const size_t end = std::min(name.find('.', at), name.size() - 1) + 1;
    const std::string_view component = name.substr(at, end - at);
    if (std::ranges::find(kInside, component) == kInside.end()) clean += component;
    at = end;
  }
  return clean;
}

TensorMap with_clean_names(TensorMap tensors, const std::string& origin) {
  TensorMap clean;
  for (auto& [name, tensor] : tensors)
    if (const auto [entry, fresh] = clean.emplace(without_inside(name), std::move(tensor)); !fresh)
      throw Error(fmt::format("{}: two of its tensors are {}", origin, entry->first),
                  "it holds a network twice, compiled and not: save one of them");
  return clean;
}

// What stands before the first kernel of each network.
std::vector<std::string> prefixes_of(const TensorMap& tensors) {
  std::vector<std::string> nests, baselines;
  for (const auto& [name, _] : tensors)
    for (const std::string_view stem : {kStem, kBaselineStem}) {
      if (!name.ends_with(stem) || name.size() > kLongestPrefix + stem.size()) continue;
      const std::string prefix = name.substr(0, name.size() - stem.size());
      if (!prefix.empty() && !prefix.ends_with('.')) continue;
      if (stem == kStem)
        nests.push_back(prefix);
      else if (tensors.contains(prefix + std::string(kBaselineNext)))
        baselines.push_back(prefix);
    }
  return nests.empty() ? baselines : nests;
}

bool is_classifier(const TensorMap& tensors, const std::string& name, int64_t width) {
  const auto weight = tensors.find(name + ".weight"), bias = tensors.find(name + ".bias");
  return weight != tensors.end() && bias != tensors.end() && weight->second.shape().size() == 2 &&
         weight->second.dim(1) == width &&
         bias->second.shape() == std::vector<int64_t>{weight->second.dim(0)};
}

// Moves the classifier of a NesT that has none under the name "head" there: from another name in
// the network, or from `beside`, next to the network or to one of what wraps it.
void adopt_head(Unwrapped& found, TensorMap& beside) {
  TensorMap& network = found.tensors;
  const auto norm = network.find("norm.weight");
  if (!network.contains(std::string(kStem)) || network.contains("head.weight") ||
      norm == network.end() || norm->second.shape().size() != 1)
    return;
  const auto adopt = [&](TensorMap& from, const std::string& name) {
    if (!is_classifier(from, name, norm->second.dim(0))) return false;
    for (const char* part : {".weight", ".bias"})
      network["head" + std::string(part)] = std::move(from.extract(name + part).mapped());
    return true;
  };
  for (const std::string_view name : kHeads)
    if (adopt(network, std::string(name))) return;
  for (std::string outer = found.prefix; !outer.empty();) {
    outer.resize(outer.size() - 1);
    outer.resize(outer.find_last_of('.') + 1);  // none: to nothing
    for (const std::string_view name : kHeads)
      if (adopt(beside, outer + std::string(name))) return;
  }
}

void say_what_is_left_out(const TensorMap& beside, const std::string& origin) {
  constexpr size_t kNamed = 3;
  if (beside.empty()) return;
  std::vector<std::string> names;
  for (const auto& [name, _] : beside)
    if (names.size() < kNamed) names.push_back(name);
  log_warning(fmt::format("{}: {} tensors beside the network are left out: {}{}", origin,
                          beside.size(), fmt::join(names, ", "),
                          beside.size() > kNamed ? ", ..." : ""));
}

}  // namespace

bool is_wrapped_stem(std::string_view name) {
  const std::string clean = without_inside(name);
  return std::ranges::any_of(std::array{kStem, kBaselineStem}, [&](std::string_view stem) {
    return clean == stem || clean.ends_with("." + std::string(stem));
  });
}

bool says_averaged(std::string_view place) {
  static const std::set<std::string, std::less<>> kWords = {"ema", "swa", "averaged"};
  const std::string lower = ascii_lower(std::string(place));
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  for (auto at = lower.begin(); at != lower.end();) {
    const auto begin = std::find_if(at, lower.end(), letter);
    at = std::find_if_not(begin, lower.end(), letter);
    if (kWords.contains(std::string_view(begin, at))) return true;
  }
  return false;
}

std::optional<size_t> choose_place(const std::vector<std::string>& places, bool prefer_ema) {
  const auto rank = [&](const std::string& place) {
    const std::string_view path =
        std::string_view(place).substr(0, place.ends_with('.') ? place.size() - 1 : place.size());
    const std::string_view last = path.substr(path.find_last_of('.') + 1);
    const auto known = std::ranges::find(kPlaces, last);
    const bool wanted = says_averaged(place) == prefer_ema;
    return std::pair(!wanted, known != kPlaces.end() ? known - kPlaces.begin()
                              : place.empty()        ? std::ssize(kPlaces)
                                                     : std::ssize(kPlaces) + 1);
  };
  std::optional<size_t> best;
  bool alike = false;
  for (size_t i = 0; i < places.size(); ++i) {
    if (best && rank(places[*best]) < rank(places[i])) continue;
    alike = best && rank(places[*best]) == rank(places[i]);
    best = i;
  }
  return alike ? std::nullopt : best;
}

Unwrapped unwrap(TensorMap tensors, bool prefer_ema, const std::string& origin) {
  tensors = with_clean_names(std::move(tensors), origin);
  std::vector<std::string> prefixes = prefixes_of(tensors);
  if (prefixes.empty()) return {std::move(tensors), ""};
  const auto chosen = choose_place(prefixes, prefer_ema);
  if (const size_t count = prefixes.size(); !chosen || count > kMostNetworks) {
    prefixes.resize(std::min(count, kMostNetworks));
    throw Error(fmt::format("{} holds {} networks; the names of their tensors begin with {}",
                            origin, count, fmt::join(prefixes, ", ")),
                "which of them is meant is unknown: save the tensors of that one only");
  }
  Unwrapped found{{}, prefixes[*chosen]};
  TensorMap beside;
  for (auto& [name, tensor] : tensors) {
    const bool of_another = std::ranges::any_of(prefixes, [&, &name = name](const auto& prefix) {
      return prefix.size() > found.prefix.size() && name.starts_with(prefix);
    });
    if (name.starts_with(found.prefix) && !of_another)
      found.tensors.emplace(name.substr(found.prefix.size()), std::move(tensor));
    else
      beside.emplace(name, std::move(tensor));
  }
  adopt_head(found, beside);
  std::erase_if(beside, [&](const auto& named) {  // the other networks: chosen against, not unknown
    return std::ranges::any_of(prefixes, [&](const std::string& prefix) {
      return !prefix.empty() && prefix != found.prefix && named.first.starts_with(prefix);
    });
  });
  say_what_is_left_out(beside, origin);
  return found;
}

}  // namespace nestvit
