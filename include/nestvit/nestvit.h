// nestvit as a library: load a model once, ask it from any thread.
//
//   #include <nestvit/nestvit.h>
//
//   const nestvit::Model model = nestvit::Model::load("runs/pets/best");
//   for (const auto& [index, label, probability] : model.classify("photo.jpg", 3))
//     std::cout << label << " " << probability << "\n";
//
// CMake: find_package(nestvit) and target_link_libraries(app nestvit::nestvit). Every function
// throws nestvit::Error (what went wrong, and hint(), what to do about it) for files, models and
// arguments that do not fit.
#pragma once

#include <nestvit/error.h>
#include <nestvit/number_type.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#define NESTVIT_API __attribute__((visibility("default")))

namespace nestvit {
inline namespace v0 {

// MAJOR.MINOR.PATCH
NESTVIT_API std::string version();

struct Options {
  // Threads that one forward pass uses. 0: as many as this process may use, by affinity, cgroup
  // quota and OMP_NUM_THREADS.
  int threads = 0;
  // Other types than f32 are smaller and faster, and answer a little differently.
  NumberType dtype = NumberType::kF32;
  // Take the averaged weights of a checkpoint that has them.
  bool use_ema = false;
  // Also pack what explain() computes with, always in f32: the weights once more, transposed.
  // Measured: 78 MB for NesT-T, 290 MB for NesT-B (224 x 224), beside another dtype twice that; and
  // the first call makes 30 to 55 MB of buffers. Loading takes up to four times as long.
  bool explain = false;
};

struct Prediction {
  int index;          // of the class, from 0
  std::string label;  // its name; "class 7" where the model knows none
  float probability;  // those of all classes add up to 1
};

// Pixels that the caller owns: 8 bits, rows from the top without gaps, [height, width, channels].
struct ImageView {
  const std::uint8_t* pixels;
  int height, width;
  int channels;  // 1 grey, 3 RGB
};

// How to explain. docs/explain.md says what each shows and how far to believe it.
enum class Explain { kGradCat, kRelevance, kCam, kLayerCam, kGradCam, kOcclusion };

struct ExplainOptions {
  Explain method = Explain::kGradCat;
  // Of kRelevance, kLayerCam and kGradCam: the level before which the map is taken, 1 to L-1 for L
  // levels; the lower, the finer. -1: the pixels (kRelevance only). Unset: 1; for a model of one
  // level the pixels.
  std::optional<int> level = {};
  // kGradCat by the letter of the paper: levels' outputs, plain gradients, their sign reversed.
  bool paper = false;
};

// A box x0, y0, x1, y1 in pixels of the image given; where its EXIF orientation counts for the
// model, of the turned image.
using ImageBox = std::array<double, 4>;

// A node of the tree: a block of a level.
struct Region {
  int level;     // L-1 at the root, 0 at the leaves
  int block;     // of the level, row by row
  int parent;    // its place in Explanation::tree; -1: the root
  int quadrant;  // of its parent: 0 top left, 1 top right, 2 bottom left, 3 bottom right; root: -1
  float score;   // kGradCat: what it adds to the logit; kOcclusion: what masking it takes away
  float share;   // score / the sum of |score| over it and its siblings; the root: 1
  bool chosen;   // lies on the path
  ImageBox box;  // clipped to the image; all 0 where it shows padding alone
};

struct HeatMap {
  int level;  // whose tokens or cells they are; -1: the pixels
  int rows, columns;
  ImageBox box;               // of the whole map; beyond the image where padding is
  std::vector<float> values;  // [rows, columns], row by row; below 0: speaks against the class
};

// Why a class is found in an image.
struct Explanation {
  Prediction prediction;  // the class that is explained
  // Its logit, less that of the class that it is compared with.
  float logit;
  // Of `logit`, what maps.front() does not hold: biases and position embeddings. 0 for kLayerCam,
  // kGradCam and kOcclusion, whose values do not add up to a logit.
  float constants;
  // false: a choice of the path, or the map, is nothing but rounding.
  bool decided;
  int width, height;  // of the image as decoded
  // kGradCat: all blocks; kOcclusion: those beside the path; otherwise none. The root first, each
  // after its parent, siblings in the order of quadrants.
  std::vector<Region> tree;
  // Places in `tree` of the chosen regions, from the root to the leaf.
  std::vector<int> path;
  // kGradCat: of each level's tokens, from level L-1 down to 1; kOcclusion: none; otherwise one.
  std::vector<HeatMap> maps;
};

// A NesT with its labels and its preprocessing. Calls may come from any threads at once: they queue
// up for the model's own compute threads.
class NESTVIT_API Model {
 public:
  // A model directory (config.json and model.safetensors, as `nestvit train` leaves them and timm
  // has them), or any other file or folder that `nestvit convert` reads. Weights are copied: the
  // files may go away.
  static Model load(const std::filesystem::path& path, const Options& options = {});

  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  // The `topk` most probable classes (all, where there are fewer), best first. Decodes JPEG, PNG
  // and WebP, and prepares the image as the model was trained: resize, crop, normalise.
  std::vector<Prediction> classify(const std::filesystem::path& image, int topk = 5) const;
  std::vector<Prediction> classify(std::span<const std::byte> encoded, int topk = 5) const;
  std::vector<Prediction> classify(const ImageView& image, int topk = 5) const;

  // Why class `index` (-1: the most probable) is found in the image, rather than class `against`
  // (-1: compared with none). Needs Options::explain. Always in f32, whatever the dtype. Threads
  // change no bit. Throws UsageError, which is an Error, for a class or a level that the model does
  // not have.
  Explanation explain(const std::filesystem::path& image, int index = -1, int against = -1,
                      const ExplainOptions& options = {}) const;
  Explanation explain(std::span<const std::byte> encoded, int index = -1, int against = -1,
                      const ExplainOptions& options = {}) const;
  Explanation explain(const ImageView& image, int index = -1, int against = -1,
                      const ExplainOptions& options = {}) const;

  // Logits [B, K] of prepared images [B, channels, S, S], normalised; no softmax. B is
  // input.size() / (channels * S * S), which must come out even.
  std::vector<float> run(std::span<const float> input) const;
  // A decoded image as run() takes it: [channels, S, S].
  std::vector<float> prepare(const ImageView& image) const;

  int channels() const;                            // 1 or 3
  int image_size() const;                          // S, pixels
  const std::vector<std::string>& labels() const;  // [K]

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace nestvit
