// The loader. A ring of slots, one per batch in work; workers claim runs of rows and write pixels
// straight into the slot's buffers, so neither the order nor the content depends on who does what.
#include "data/loader.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <string_view>
#include <thread>
#include <unordered_set>

#include "base/check.h"
#include "base/random.h"
#include "image/transform.h"

namespace nestvit {
namespace {

constexpr int kMaxWorkers = 1024;

// A row that could not be filled. `fatal`: what next() throws; empty: the image is skipped.
struct Problem {
  int row = 0;
  std::string name, reason;
  std::exception_ptr fatal;
};

struct Slot {
  Batch batch;
  int64_t first = 0;  // position in the order of its first row
  int pending = 0;    // rows not done yet
  std::vector<Problem> problems;
};

std::string with_name(const std::string& name, const std::string& reason) {
  return reason.find(name) == std::string::npos ? name + ": " + reason : reason;
}

}  // namespace

struct Loader::State {
  State(const Dataset& dataset_, std::vector<int64_t> order_, Transform transform_,
        const Preprocessing& preprocessing_, const LoaderOptions& options_)
      : dataset(dataset_),
        order(std::move(order_)),
        transform(std::move(transform_)),
        preprocessing(preprocessing_),
        options(options_) {}
  ~State() { stop(); }

  void start();
  void stop();
  void work();
  bool open_slot();
  Slot close_slot();
  void fill(Slot& slot, int row) const;
  std::optional<Problem> try_fill(Slot& slot, int row) const;
  void drop_rows(Batch& batch, const std::vector<Problem>& problems);
  void settle(Slot& slot);

  int64_t batch_count() const {
    return (static_cast<int64_t>(order.size()) + options.batch_size - 1) / options.batch_size;
  }
  int rows(int64_t batch) const {
    return static_cast<int>(
        std::min<int64_t>(options.batch_size, order.size() - batch * options.batch_size));
  }
  size_t row_values() const {
    return static_cast<size_t>(preprocessing.channels) * preprocessing.image_size *
           preprocessing.image_size;
  }
  Slot& slot(int64_t batch) { return slots[batch % slots.size()]; }

  const Dataset& dataset;
  const std::vector<int64_t> order;
  const Transform transform;
  const Preprocessing preprocessing;
  const LoaderOptions options;

  mutable std::mutex mutex;
  std::condition_variable work_ready, batch_ready;
  std::atomic<bool> stopping{false};
  // Guarded by `mutex`, except that a claimed row's pixels belong to the worker that claimed it.
  std::vector<Slot> slots;         // batches handed .. opened - 1
  int64_t opened = 0, handed = 0;  // batches
  int64_t claim_batch = 0;         // the next row to give to a worker
  int claim_row = 0;
  std::exception_ptr failed;
  std::vector<std::pair<std::string, std::string>> skipped;
  int64_t delivered = 0;
  double wait_seconds = 0;
  std::vector<Batch> free;
  std::vector<std::thread> threads;
};

void Loader::State::start() {
  slots.resize(options.workers > 0 ? options.prefetch : 1);
  if (options.workers == 0) return;
  while (opened < static_cast<int64_t>(slots.size()) && open_slot()) {
  }
  for (int i = 0; i < options.workers; ++i) {
    try {
      threads.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      break;  // a limit on threads: fewer of them give the same batches
    }
  }
}

void Loader::State::stop() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  work_ready.notify_all();
  for (auto& thread : threads) thread.join();
  threads.clear();
}

// Puts an empty batch into the ring; false when all are open. Called by the consumer only.
bool Loader::State::open_slot() {
  Slot fresh;
  {
    std::lock_guard lock(mutex);
    if (opened == batch_count()) return false;
    if (!free.empty()) {
      fresh.batch = std::move(free.back());
      free.pop_back();
    }
  }
  // Outside the lock: a new buffer of a hundred megabytes takes a while to clear.
  const int count = rows(opened);
  Batch& batch = fresh.batch;
  batch.size = count;
  batch.channels = preprocessing.channels;
  batch.height = batch.width = preprocessing.image_size;
  batch.images.resize(count * row_values());
  batch.labels.assign(count, -1);
  batch.indices.resize(count);
  fresh.first = opened * options.batch_size;
  fresh.pending = count;
  {
    std::lock_guard lock(mutex);
    slot(opened) = std::move(fresh);
    ++opened;
  }
  work_ready.notify_all();
  return true;
}

void Loader::State::fill(Slot& slot, int row) const {
  const int64_t index = order[slot.first + row];
  const Sample sample = dataset.get(index);
  const Pixels pixels = transform(sample, index);
  NESTVIT_CHECK(pixels.height == preprocessing.image_size &&
                pixels.width == preprocessing.image_size &&
                pixels.channels == preprocessing.channels);
  const auto chw = std::span(slot.batch.images).subspan(row * row_values(), row_values());
  normalise(pixels, preprocessing, chw);
  if (options.finish) options.finish(chw, index);
  slot.batch.labels[row] = sample.label;
  slot.batch.indices[row] = index;
}

std::optional<Problem> Loader::State::try_fill(Slot& slot, int row) const {
  try {
    fill(slot, row);
    return std::nullopt;
  } catch (...) {
    Problem problem;
    problem.row = row;
    problem.name = dataset.name(order[slot.first + row]);
    try {
      throw;
    } catch (const UsageError& error) {  // a wrong setting is not a bad image
      problem.fatal =
          std::make_exception_ptr(UsageError(with_name(problem.name, error.what()), error.hint()));
    } catch (const Error& error) {
      problem.reason = error.what();
      if (options.on_bad_image == OnBadImage::kError)
        problem.fatal =
            std::make_exception_ptr(Error(with_name(problem.name, error.what()), error.hint()));
    } catch (const std::exception& error) {
      problem.fatal =
          std::make_exception_ptr(std::runtime_error(with_name(problem.name, error.what())));
    } catch (...) {
      problem.fatal =
          std::make_exception_ptr(std::runtime_error(problem.name + ": unknown exception"));
    }
    return problem;
  }
}

void Loader::State::work() try {
  std::unique_lock lock(mutex);
  // Few enough rows at a time that the workers finish a batch together; enough that small images do
  // not queue here.
  const int run = std::clamp(options.batch_size / (4 * options.workers), 1, 16);
  while (true) {
    work_ready.wait(
        lock, [&] { return stopping || claim_batch < opened || claim_batch == batch_count(); });
    if (stopping || claim_batch == batch_count()) return;
    Slot& mine = slot(claim_batch);
    const int begin = claim_row, end = std::min(begin + run, mine.batch.size);
    claim_row = end;
    if (end == mine.batch.size) {
      claim_row = 0;
      if (++claim_batch == batch_count()) work_ready.notify_all();
    }
    lock.unlock();
    std::vector<Problem> problems;
    for (int row = begin; row < end && !stopping; ++row)
      if (auto problem = try_fill(mine, row)) problems.push_back(std::move(*problem));
    lock.lock();
    std::move(problems.begin(), problems.end(), std::back_inserter(mine.problems));
    mine.pending -= end - begin;
    if (mine.pending == 0) batch_ready.notify_all();
  }
} catch (...) {
  // Only what try_fill could not report (memory ran out while it did).
  std::lock_guard lock(mutex);
  if (!failed) failed = std::current_exception();
  batch_ready.notify_all();
}

// Takes the next batch out of the ring, when all of its rows are done.
Slot Loader::State::close_slot() {
  if (threads.empty()) {
    if (opened == handed) open_slot();
    Slot& mine = slot(handed);
    for (int row = 0; row < mine.batch.size; ++row)
      if (auto problem = try_fill(mine, row)) mine.problems.push_back(std::move(*problem));
    return std::move(slot(handed++));
  }
  Slot done;
  {
    std::unique_lock lock(mutex);
    batch_ready.wait(lock, [&] { return failed || slot(handed).pending == 0; });
    if (failed) std::rethrow_exception(failed);
    NESTVIT_CHECK(handed < opened);
    done = std::move(slot(handed));
    ++handed;
  }
  open_slot();
  return done;
}

// Closes the gaps that skipped rows left.
void Loader::State::drop_rows(Batch& batch, const std::vector<Problem>& problems) {
  int kept = 0;
  auto problem = problems.begin();
  for (int row = 0; row < batch.size; ++row) {
    if (problem != problems.end() && problem->row == row) {
      ++problem;
      continue;
    }
    if (kept != row) {
      const auto from = batch.images.begin() + static_cast<int64_t>(row * row_values());
      std::copy_n(from, row_values(),
                  batch.images.begin() + static_cast<int64_t>(kept * row_values()));
      batch.labels[kept] = batch.labels[row];
      batch.indices[kept] = batch.indices[row];
    }
    ++kept;
  }
  batch.size = kept;
  batch.images.resize(kept * row_values());
  batch.labels.resize(kept);
  batch.indices.resize(kept);
}

// Throws the first fatal problem of a batch, or notes and removes its skipped rows.
void Loader::State::settle(Slot& done) {
  auto& problems = done.problems;
  std::sort(problems.begin(), problems.end(),
            [](const Problem& a, const Problem& b) { return a.row < b.row; });
  const auto fatal =
      std::find_if(problems.begin(), problems.end(), [](const Problem& p) { return p.fatal; });
  std::lock_guard lock(mutex);
  if (fatal != problems.end()) {
    failed = fatal->fatal;
    stopping = true;
    work_ready.notify_all();
    std::rethrow_exception(failed);
  }
  for (auto& problem : problems) skipped.emplace_back(problem.name, problem.reason);
  if (!problems.empty()) drop_rows(done.batch, problems);
  delivered += done.batch.size;
}

Loader::Loader(const Dataset& dataset, std::vector<int64_t> order, Transform transform,
               const Preprocessing& preprocessing, const LoaderOptions& options) {
  if (options.batch_size < 1)
    throw UsageError(fmt::format("batch size {}", options.batch_size), "it must be at least 1");
  if (options.workers < 0 || options.workers > kMaxWorkers)
    throw UsageError(fmt::format("{} workers", options.workers),
                     fmt::format("give 0 to {}", kMaxWorkers));
  for (int64_t index : order) NESTVIT_CHECK(index >= 0 && index < dataset.size());
  LoaderOptions valid = options;
  valid.prefetch = std::max(options.prefetch, 1);
  state_ = std::make_unique<State>(dataset, std::move(order), std::move(transform), preprocessing,
                                   valid);
  state_->start();
}

Loader::~Loader() = default;

std::optional<Batch> Loader::next() {
  State& state = *state_;
  {
    std::lock_guard lock(state.mutex);
    if (state.failed) std::rethrow_exception(state.failed);
  }
  while (state.handed < state.batch_count()) {
    const auto begin = std::chrono::steady_clock::now();
    Slot done = state.close_slot();
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
    state.wait_seconds += waited.count();
    state.settle(done);
    if (done.batch.size > 0) return std::move(done.batch);
    recycle(std::move(done.batch));
  }
  if (state.delivered == 0 && !state.skipped.empty())
    throw Error(fmt::format("none of {} images could be read; the first: {}", state.skipped.size(),
                            with_name(state.skipped[0].first, state.skipped[0].second)),
                "are these image files?");
  return std::nullopt;
}

void Loader::recycle(Batch batch) {
  std::lock_guard lock(state_->mutex);
  if (state_->free.size() < state_->slots.size()) state_->free.push_back(std::move(batch));
}

double Loader::wait_seconds() const { return state_->wait_seconds; }

std::vector<std::pair<std::string, std::string>> Loader::skipped(size_t from) const {
  std::lock_guard lock(state_->mutex);
  const auto& all = state_->skipped;
  return {all.begin() + static_cast<std::ptrdiff_t>(std::min(from, all.size())), all.end()};
}

std::vector<int> classes_left_out(const Dataset& dataset,
                                  const std::vector<std::pair<std::string, std::string>>& skipped) {
  if (skipped.empty()) return {};
  std::unordered_set<std::string_view> names;
  for (const auto& [name, reason] : skipped) names.insert(name);
  std::vector<int64_t> images(dataset.classes().size()), bad(images.size());
  const auto is_class = [&](int label) { return label >= 0 && label < std::ssize(images); };
  for (int64_t i = 0; i < dataset.size(); ++i)
    if (const int label = dataset.label(i); is_class(label)) ++images[label];
  // A name may be read from the sample: only of classes that are small enough.
  for (int64_t i = 0; i < dataset.size(); ++i)
    if (const int label = dataset.label(i);
        is_class(label) && images[label] <= std::ssize(skipped) && names.contains(dataset.name(i)))
      ++bad[label];
  std::vector<int> classes;
  for (size_t k = 0; k < images.size(); ++k)
    if (images[k] > 0 && bad[k] == images[k]) classes.push_back(static_cast<int>(k));
  return classes;
}

std::vector<int64_t> in_order(int64_t size) {
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

std::vector<int64_t> shuffled(int64_t size, uint64_t seed, uint64_t epoch) {
  auto order = in_order(size);
  Rng rng(seed, Purpose::kShuffle, epoch);
  for (int64_t i = size - 1; i > 0; --i)
    std::swap(order[i], order[rng.below(static_cast<uint64_t>(i) + 1)]);
  return order;
}

}  // namespace nestvit
