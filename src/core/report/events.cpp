// The few protobuf fields of tensorboard's event.proto and summary.proto that curves and texts
// need, by hand.
#include "report/events.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileName = "events.out.tfevents.";

template <class T>
void append_little(std::string* to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) *to += static_cast<char>(value >> (8 * i) & 0xFF);
}

// A protobuf message, field by field.
class Message {
 public:
  Message& integer(int field, int64_t value) {
    key(field, 0);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& real64(int field, double value) {
    key(field, 1);
    append_little(&bytes_, std::bit_cast<uint64_t>(value));
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& real32(int field, float value) {
    key(field, 5);
    append_little(&bytes_, std::bit_cast<uint32_t>(value));
    return *this;
  }
  const std::string& text() const { return bytes_; }

 private:
  void key(int field, int wire) { varint(static_cast<uint64_t>(field << 3 | wire)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Field numbers of the messages, as the .proto files have them.
namespace event {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace summary {
constexpr int kValue = 1;
}
namespace value {
constexpr int kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;
}
namespace metadata {
constexpr int kPluginData = 1, kDataClass = 4, kDataClassTensor = 2;
}
namespace plugin {
constexpr int kName = 1;
}
namespace tensor {
constexpr int kType = 1, kShape = 2, kStringValue = 8, kTypeString = 7;
}
namespace session {
constexpr int kStatus = 1, kStatusStart = 1;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The newest time in the names of the files that are there. Readers go by the names, so that a new
// file must come later, whatever the clock of the machine on which a run is resumed.
int64_t newest_second(const fs::path& folder) {
  int64_t newest = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    int64_t second = 0;
    if (name.starts_with(kFileName) &&
        std::from_chars(name.data() + kFileName.size(), name.data() + name.size(), second).ec ==
            std::errc())
      newest = std::max(newest, second);
  }
  return newest;
}

// Infinity for values outside the range of a float, whose conversion would be undefined.
float to_float(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  if (value > kMax) return std::numeric_limits<float>::infinity();
  if (value < -kMax) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(value);
}

}  // namespace

std::string tfrecord_frame(std::string_view payload) {
  std::string record;
  append_little(&record, static_cast<uint64_t>(payload.size()));
  append_little(&record, masked_crc32c(as_bytes(record)));
  record += payload;
  append_little(&record, masked_crc32c(as_bytes(payload)));
  return record;
}

EventWriter::EventWriter(const EventOptions& options) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error)
    throw Error(
        fmt::format("{}: cannot make the folder: {}", options.folder.string(), error.message()));
  const double time = options.wall_time.value_or(now());
  std::string host = options.host.value_or(host_name());
  for (char& c : host)
    if (c == '/') c = '_';  // it becomes part of a file name
  const int64_t pid = options.pid.value_or(::getpid());
  int64_t second = static_cast<int64_t>(time);
  if (options.resumed_at) second = std::max(second, newest_second(options.folder) + 1);
  // The last number tells apart what one process opens within a second.
  for (int number = 0, descriptor = -1; descriptor < 0; ++number) {
    path_ =
        options.folder / fmt::format("{}{:010d}.{}.{}.{}", kFileName, second, host, pid, number);
    descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno != EEXIST) fail();
    if (descriptor >= 0) file_.reset(::fdopen(descriptor, "w"));
  }
  NESTVIT_CHECK(file_);
  write_event(time, 0, Message().bytes(event::kFileVersion, "brain.Event:2").text());
  if (options.resumed_at)
    write_event(time, *options.resumed_at,
                Message()
                    .bytes(event::kSessionLog,
                           Message().integer(session::kStatus, session::kStatusStart).text())
                    .text());
  flush();
}

void EventWriter::add_scalar(const std::string& tag, double scalar, int64_t step,
                             std::optional<double> wall_time) {
  const Message entry =
      Message().bytes(value::kTag, tag).real32(value::kSimpleValue, to_float(scalar));
  const Message values = Message().bytes(summary::kValue, entry.text());
  write_event(wall_time.value_or(now()), step,
              Message().bytes(event::kSummary, values.text()).text());
}

void EventWriter::add_text(const std::string& tag, const std::string& markdown, int64_t step,
                           std::optional<double> wall_time) {
  const Message content = Message()
                              .integer(tensor::kType, tensor::kTypeString)
                              .bytes(tensor::kShape, "")  // rank 0
                              .bytes(tensor::kStringValue, markdown);
  const Message described =
      Message()
          .bytes(metadata::kPluginData, Message().bytes(plugin::kName, "text").text())
          .integer(metadata::kDataClass, metadata::kDataClassTensor);
  const Message entry = Message()
                            .bytes(value::kTag, tag)
                            .bytes(value::kTensor, content.text())
                            .bytes(value::kMetadata, described.text());
  const Message values = Message().bytes(summary::kValue, entry.text());
  write_event(wall_time.value_or(now()), step,
              Message().bytes(event::kSummary, values.text()).text());
}

void EventWriter::flush() {
  if (std::fflush(file_.get()) != 0) fail();
  // A file system without it (EINVAL) keeps what it was given as well as it can.
  if (::fdatasync(::fileno(file_.get())) != 0 && errno != EINVAL) fail();
}

void EventWriter::write_event(double wall_time, int64_t step, std::string_view content) {
  Message head = Message().real64(event::kWallTime, wall_time);
  if (step != 0) head.integer(event::kStep, step);
  const std::string record = tfrecord_frame(head.text() + std::string(content));
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) != record.size()) fail();
}

void EventWriter::fail() const {
  const int error = errno;
  throw Error(fmt::format("cannot write {}: {}", path_.string(), std::strerror(error)),
              write_error_hint(path_, error));
}

}  // namespace nestvit
