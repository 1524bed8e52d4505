// The grid, the order of cells, and the two games in batches.
#include "explain/score/games.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/random.h"

namespace nestvit {
namespace {

// How many cells are done after each step, 0 to all.
std::vector<int> schedule(int cells, int steps) {
  const int64_t count = std::clamp(steps, 1, cells);
  std::vector<int> done;
  for (int64_t s = 0; s <= count; ++s)
    done.push_back(static_cast<int>((2 * s * cells + count) / (2 * count)));
  return done;
}

struct ClassValue {
  double probability, logit;
};

// In double precision: a curve may sink to where f32 has no small probabilities.
ClassValue class_value(std::span<const float> logits, int target) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double logit = logits[static_cast<size_t>(target)];
  return {std::exp(logit - largest) / sum, logit};
}

// Collects pictures and runs a batch whenever it is full.
class Runner {
 public:
  Runner(const LogitsOf& logits_of, size_t picture, int batch, int target)
      : logits_of_(logits_of), picture_(picture), batch_(std::max(batch, 1)), target_(target) {}
  void add(std::span<const float> picture) {
    pending_.insert(pending_.end(), picture.begin(), picture.end());
    if (++count_ == batch_) run();
  }
  std::vector<ClassValue> finish() {
    if (count_ > 0) run();
    return std::move(values_);
  }

 private:
  void run() {
    const std::vector<float> logits = logits_of_(pending_, count_);
    NESTVIT_CHECK(pending_.size() == count_ * picture_ && !logits.empty() &&
                  logits.size() % count_ == 0);
    const size_t classes = logits.size() / count_;
    for (int i = 0; i < count_; ++i)
      values_.push_back(class_value(std::span(logits).subspan(i * classes, classes), target_));
    pending_.clear();
    count_ = 0;
  }

  const LogitsOf& logits_of_;
  size_t picture_;
  int batch_, target_, count_ = 0;
  std::vector<float> pending_;
  std::vector<ClassValue> values_;
};

// A walk from one picture to the other, cell by cell.
struct Walk {
  const Grid& grid;
  int channels;
  std::span<const int> order, done;
  // Shows the pictures strictly between the two.
  void run(std::span<const float> from, std::span<const float> to, Runner& runner) const {
    std::vector<float> picture(from.begin(), from.end());
    for (size_t s = 1; s + 1 < done.size(); ++s) {
      for (int k = done[s - 1]; k < done[s]; ++k) copy_cell(grid, channels, to, picture, order[k]);
      runner.add(picture);
    }
  }
};

Curve curve_of(const std::vector<ClassValue>& values, std::span<const int> done) {
  Curve curve;
  for (size_t s = 0; s < done.size(); ++s) {
    curve.share.push_back(static_cast<double>(done[s]) / done.back());
    curve.probability.push_back(values[s].probability);
    curve.logit.push_back(values[s].logit);
  }
  return curve;
}

}  // namespace

void copy_cell(const Grid& grid, int channels, std::span<const float> from, std::span<float> to,
               int cell) {
  const auto size = static_cast<size_t>(grid.size()), edge = static_cast<size_t>(grid.cell);
  const size_t top = cell / grid.side * edge, left = cell % grid.side * edge;
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c)
    for (size_t y = top; y < top + edge; ++y) {
      const size_t row = (c * size + y) * size + left;
      std::copy_n(from.data() + row, edge, to.data() + row);
    }
}

Grid score_grid(const NestConfig& config) {
  const std::vector<Level> levels = geometry(config);
  Grid grid;
  for (const Level& level : levels) {
    if (level.index > 0 && level.map() * level.map() < kLeastCells) break;
    grid = {level.map(), config.image_size / level.map()};
  }
  return grid;
}

std::vector<double> on_grid(const CellMap& map, const Grid& grid) {
  const int rows = map.rows;
  NESTVIT_CHECK(rows > 0 && map.columns == rows &&
                map.values.size() == static_cast<size_t>(rows) * rows &&
                (rows % grid.side == 0 || grid.side % rows == 0));
  std::vector<double> values(static_cast<size_t>(grid.cells()));
  if (rows < grid.side) {
    const int times = grid.side / rows;
    for (int y = 0; y < grid.side; ++y)
      for (int x = 0; x < grid.side; ++x)
        values[y * grid.side + x] = map.values[y / times * rows + x / times];
    return values;
  }
  const int times = rows / grid.side;
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < rows; ++x)
      values[y / times * grid.side + x / times] += map.values[static_cast<size_t>(y) * rows + x];
  return values;
}

std::vector<int> tie_order(int cells, uint64_t seed, uint64_t image) {
  std::vector<int> order(static_cast<size_t>(cells));
  std::iota(order.begin(), order.end(), 0);
  Rng rng(seed, Purpose::kTieBreak, 0, image);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

std::vector<int> ranking(std::span<const double> values, uint64_t seed, uint64_t image) {
  std::vector<int> order = tie_order(static_cast<int>(values.size()), seed, image);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return values[i] > values[j]; });
  return order;
}

double area(std::span<const double> x, std::span<const double> y) {
  NESTVIT_CHECK(x.size() == y.size());
  double sum = 0;
  for (size_t i = 1; i < x.size(); ++i) sum += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
  return sum;
}

Games play(const GameImage& image, const Grid& grid, std::span<const int> order,
           const GameOptions& options, const LogitsOf& logits_of) {
  const size_t picture = static_cast<size_t>(image.channels) * grid.size() * grid.size();
  NESTVIT_CHECK(std::ssize(order) == grid.cells() && image.image.size() == picture &&
                image.substrate.size() == picture);
  const std::vector<int> done = schedule(grid.cells(), options.steps);
  const Walk walk{grid, image.channels, order, done};
  Runner runner(logits_of, picture, options.batch, image.target);
  runner.add(image.image);
  walk.run(image.image, image.substrate, runner);
  runner.add(image.substrate);
  walk.run(image.substrate, image.image, runner);
  std::vector<ClassValue> values = runner.finish();
  values.push_back(values.front());  // insertion ends with the image
  const size_t steps = done.size() - 1;
  Games games;
  games.insertion = curve_of({values.begin() + static_cast<ptrdiff_t>(steps), values.end()}, done);
  values.resize(steps + 1);
  games.deletion = curve_of(values, done);
  return games;
}

LerfMorf lerf_less_morf(const Games& games) {
  const auto difference = [&](std::vector<double> Curve::*values) {
    return area(games.insertion.share, games.insertion.*values) -
           area(games.deletion.share, games.deletion.*values);
  };
  return {difference(&Curve::probability), difference(&Curve::logit)};
}

}  // namespace nestvit
