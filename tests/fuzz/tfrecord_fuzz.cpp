// Fuzzes TFRecord framing, tf.train.Example, and the texts beside them: any bytes give values, or
// an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "data/formats/imagenet.h"
#include "data/shards/tfds_tree.h"
#include "data/shards/tfrecord.h"

namespace {

void read_example(std::span<const std::byte> record, const nestvit::RecordPlace& place) {
  try {
    const nestvit::Example example(record, place);
    for (const auto& key : example.keys()) {
      try {
        for (const auto& bytes : example.bytes(key))
          if (bytes.data() < record.data() ||
              bytes.data() + bytes.size() > record.data() + record.size())
            std::abort();
      } catch (const nestvit::Error&) {
      }
      if (example.integers(key).size() > record.size()) std::abort();
    }
  } catch (const nestvit::Error&) {
  }
}

void read_records(std::span<const std::byte> file) {
  const std::string name = "fuzz";
  for (uint64_t at = 0; at < file.size();) {
    const nestvit::RecordPlace place{name, at};
    const auto payload = nestvit::record_at(file, place);
    nestvit::payload_intact(payload);
    read_example(payload, place);
    at += nestvit::kRecordFrame + payload.size();
  }
}

template <class Parse>
void try_to(Parse&& parse) {
  try {
    parse();
  } catch (const nestvit::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const std::string text(reinterpret_cast<const char*>(data), size), name = "fuzz";
  try_to([&] { read_records(bytes); });
  // A CRC is hard to guess: the message on its own, too.
  read_example(bytes, {name, 0});
  try_to([&] { nestvit::parse_tfds_info(text, name); });
  nestvit::parse_tfds_class_count(text);
  nestvit::parse_shard_name(text);
  try_to([&] {
    const auto labels = nestvit::parse_image_labels(text, name);
    if (labels.labels.empty()) std::abort();
    if (!labels.files.empty() && labels.files.size() != labels.labels.size()) std::abort();
  });
  try_to([&] { nestvit::parse_synset_ids(text, name); });
  return 0;
}
