// Labels before descriptions before indices: a label may be a number.
#include "cli/model/class_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <vector>

#include "base/fields.h"
#include "base/log.h"

namespace nestvit::cli {
namespace {

std::string description(const ModelContent& model, int index) {
  const auto found = model.descriptions.find(model.labels[index]);
  return found == model.descriptions.end() ? "" : found->second;
}

// "tench" of "tench, Tinca tinca".
std::string first_name(const std::string& description) {
  return description.substr(0, description.find(','));
}

std::vector<int> classes_where(const ModelContent& model, const std::function<bool(int)>& fits) {
  std::vector<int> found;
  for (int k = 0; k < std::ssize(model.labels); ++k)
    if (fits(k)) found.push_back(k);
  return found;
}

std::vector<int> classes_called(const ModelContent& model, const std::string& word) {
  if (word.empty()) return {};
  const std::vector<int> labelled =
      classes_where(model, [&](int k) { return model.labels[k] == word; });
  if (!labelled.empty()) return labelled;
  return classes_where(model, [&](int k) {
    const std::string text = description(model, k);
    return text == word || first_name(text) == word;
  });
}

std::optional<int64_t> whole_number(const std::string& word) {
  int64_t number = 0;
  const char* end = word.data() + word.size();
  const auto [stopped, error] = std::from_chars(word.data(), end, number);
  if (word.empty() || stopped != end || error != std::errc()) return std::nullopt;
  return number;
}

[[noreturn]] void fail_unknown(const ModelContent& model, const std::string& word,
                               const std::string& option) {
  std::vector<std::string> names = model.labels;
  for (int k = 0; k < std::ssize(model.labels); ++k)
    if (const std::string text = description(model, k); !text.empty()) {
      names.push_back(text);
      names.push_back(first_name(text));
    }
  const std::string close = nearest(word, names);
  throw UsageError(
      fmt::format("{}: {} has no class \"{}\"", option, model.origin, word),
      close.empty() ? fmt::format("it has {} classes; give a label, as \"{}\", or an index from 0",
                                  human_count(std::ssize(model.labels)), model.labels.front())
                    : fmt::format("did you mean \"{}\"?", close));
}

}  // namespace

const std::string& spoken(const ModelContent& model, int index) {
  const std::string& label = model.labels[index];
  const auto text = model.descriptions.find(label);
  const bool synset = label.size() == 9 && label[0] == 'n' &&
                      label.find_first_not_of("0123456789", 1) == std::string::npos;
  return synset && text != model.descriptions.end() ? text->second : label;
}

int class_named(const ModelContent& model, const std::string& word, const std::string& option) {
  const std::vector<int> called = classes_called(model, word);
  if (called.size() > 1)
    throw UsageError(fmt::format("{}: \"{}\" means {} classes", option, word, called.size()),
                     fmt::format("give the index: {}", fmt::join(called, ", ")));
  if (!called.empty()) return called.front();
  const std::optional<int64_t> index = whole_number(word);
  if (!index) fail_unknown(model, word, option);
  if (*index < 0 || *index >= std::ssize(model.labels))
    throw UsageError(fmt::format("{}: {} has no class {}", option, model.origin, *index),
                     fmt::format("its classes are 0 to {}", model.labels.size() - 1));
  return static_cast<int>(*index);
}

}  // namespace nestvit::cli
