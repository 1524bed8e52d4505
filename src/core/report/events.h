// TensorBoard event files: scalars and texts as `tensorboard --logdir DIR` reads them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nestvit {

struct EventOptions {
  std::filesystem::path folder;  // made if missing
  // Set for a resumed run: TensorBoard then drops the records of older files from this step on,
  // which the run logs again.
  std::optional<int64_t> resumed_at;
  // Parts of the file's name, and the time of its first records. Unset: this host and process, now.
  std::optional<double> wall_time;  // seconds since 1970
  std::optional<std::string> host;
  std::optional<int64_t> pid;
};

// One file, events.out.tfevents.SECONDS.HOST.PID.N, which no other writer appends to: a resumed run
// opens a new one, and TensorBoard reads them in the order of their names. Flushed records survive
// a crash; the tail behind them is lost, or cut inside a record, which readers expect.
class EventWriter {
 public:
  explicit EventWriter(const EventOptions& options);

  // Values are stored as f32, as TensorBoard has them. `wall_time` unset: now.
  void add_scalar(const std::string& tag, double value, int64_t step,
                  std::optional<double> wall_time = {});
  // Markdown, for the tab "Text".
  void add_text(const std::string& tag, const std::string& markdown, int64_t step,
                std::optional<double> wall_time = {});
  // On the disk when it returns. Writing and flushing throw Error (a full disk).
  void flush();

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_event(double wall_time, int64_t step, std::string_view content);
  [[noreturn]] void fail() const;

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

// `payload` as a TFRecord: u64 length, u32 masked CRC-32C of it, payload, u32 masked CRC-32C of the
// payload; little endian.
std::string tfrecord_frame(std::string_view payload);

}  // namespace nestvit
