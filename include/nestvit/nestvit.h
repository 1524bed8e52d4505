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

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
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
