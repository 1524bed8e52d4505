// Opens the data whole first, and compares it with the record.
#include "data/evaluation_data.h"

#include <fmt/format.h>

#include "base/log.h"
#include "data/split.h"
#include "data/training_data.h"

namespace nestvit {
namespace {

std::string place(const DatasetOptions& options) {
  return options.root.empty() ? options.name : options.root.string();
}

// Whether the folder is called like a split, as in --data-dir set/val.
bool is_called(const std::filesystem::path& root, Split split) {
  const auto path = root.lexically_normal();
  const auto name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return find_split_named(name.string()) == split;
}

std::string share_text(const DatasetOptions& options) {
  return fmt::format("{:.4g} % of each class, drawn with seed {}", 100 * options.val_share,
                     options.seed);
}

void warn_of_trained(const std::string& text, bool divided) {
  log_warning(
      fmt::format("{}, and the model was trained on some of them: the accuracy is too high{}", text,
                  divided ? "; --split val takes a share by the rule of its training" : ""));
}

class Opener {
 public:
  Opener(const DatasetOptions& options, const SplitRequest& request,
         const std::optional<TrainingRecord>& record, const ClassNames& names)
      : request_(request), record_(record), names_(names), options_(options) {
    options_.split = request.split.empty() ? "val" : request.split;
    const bool divided = record && record->val_share;
    if (divided) options_.val_share = *record->val_share;
    if (divided) options_.seed = static_cast<uint64_t>(record->seed);
    if (request.val_share) options_.val_share = *request.val_share;
    if (request.seed) options_.seed = static_cast<uint64_t>(*request.seed);
    split_ = parse_split(options_.split);
  }

  EvaluationData open() const {
    const bool named = !request_.split.empty() && !is_called(options_.root, split_);
    const bool asked = named || request_.val_share || request_.seed;
    if (asked || split_ == Split::kTest) return part();
    DatasetOptions whole = options_;
    whole.split = "val";
    whole.val_share = 1;
    EvaluationData data{open_dataset(whole), "val"};
    if (data.images->is_share()) return choose(std::move(data.images));
    if (split_ != Split::kVal) return part();
    check_trained(data);
    return data;
  }

 private:
  Recognised recognised(const Dataset& images) const {
    return record_ ? recognise(images, names_(images), *record_) : Recognised();
  }

  void check_trained(const EvaluationData& data) const {
    if (split_ != Split::kTrain && recognised(*data.images).same > 0)
      warn_of_trained(fmt::format("{} images of {} are evaluated ({})",
                                  human_count(data.images->size()), place(options_), data.part),
                      false);
  }

  // The part that was asked for.
  EvaluationData part() const {
    EvaluationData data{open_dataset(options_), options_.split};
    if (data.images->is_share())
      say_share(*data.images);
    else if (request_.val_share)
      log_warning(fmt::format("--val-share has no effect: {} comes in parts", place(options_)));
    check_trained(data);
    return data;
  }

  void say_share(const Dataset& images) const {
    if (options_.val_share == 1) return log_info(all_text(images));
    const bool as_trained = !request_.val_share && !request_.seed && record_ && record_->val_share;
    log_info(fmt::format("{}: {}{} of {}{}", options_.split,
                         split_ == Split::kTrain ? "all but " : "", share_text(options_),
                         place(options_), as_trained ? ", as in the model's training" : ""));
  }

  std::string all_text(const Dataset& images) const {
    return fmt::format("all {} images of {} are evaluated", human_count(images.size()),
                       place(options_));
  }

  // Of data that has no parts, where nobody asked for a share.
  EvaluationData choose(std::unique_ptr<Dataset> all) const {
    const Recognised found = recognised(*all);
    // Names like cat/1.jpg are common: what the files hold decides.
    if (found.all && 2 * found.same >= found.listed && record_->val_share)
      return held_out(std::move(all));
    const std::string text = all_text(*all);
    if (!record_)
      say_unknown(text);
    else if (found.same > 0)
      warn_of_trained(text, record_->val_share.has_value());
    else
      log_info(fmt::format("{}: they are other {} than the model was trained on", text,
                           found.all ? "pictures under the names" : "files"));
    return {std::move(all), "all"};
  }

  EvaluationData held_out(std::unique_ptr<Dataset> all) const {
    const int64_t count = all->size();
    all.reset();  // before the list is made again
    EvaluationData data{open_dataset(options_), "held out"};
    log_info(
        fmt::format("the model was trained on {}: the {} of {} images that its training held "
                    "out are evaluated ({})",
                    place(options_), human_count(data.images->size()), human_count(count),
                    share_text(options_)));
    return data;
  }

  void say_unknown(const std::string& text) const {
    if (is_called(options_.root, Split::kVal) || is_called(options_.root, Split::kTest))
      return log_info(text);
    log_warning(text +
                ". The model does not say what it was trained on: if on some of them, the accuracy "
                "is too high; --val-share and --seed, as its training was given them, take the "
                "share that was held out");
  }

  const SplitRequest& request_;
  const std::optional<TrainingRecord>& record_;
  const ClassNames& names_;
  DatasetOptions options_;
  Split split_ = Split::kVal;
};

}  // namespace

EvaluationData open_evaluation_data(const DatasetOptions& options, const SplitRequest& request,
                                    const std::optional<TrainingRecord>& record,
                                    const ClassNames& names) {
  return Opener(options, request, record, names).open();
}

}  // namespace nestvit
