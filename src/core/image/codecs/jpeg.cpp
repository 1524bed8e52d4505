// JPEG by libjpeg-turbo: whole images, windows as TensorFlow's decode_and_crop_jpeg makes them, and
// writing as its encode_jpeg.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// Needs <cstdio> before it.
#include <jerror.h>
#include <jpeglib.h>

#include "image/codecs/codecs.h"

namespace nestvit {
namespace {

// Cameras and encoders write about ten; more only serve to burn time.
constexpr int kMaxScans = 100;

struct ErrorState : jpeg_error_mgr {
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* state = static_cast<ErrorState*>(info->err);
  state->format_message(info, state->text);
  std::longjmp(state->jump, 1);
}

// libjpeg replaces missing or broken data by grey and warns; here that is an error. Warnings about
// a whole picture pass: odd version numbers, and padding between segments or before the end marker,
// which cameras write.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const auto* state = info->err;
  const int code = state->msg_code;
  if (code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM) return;
  const int marker = state->msg_parm.i[1];
  const bool restart = marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7;
  if (code == JWRN_EXTRANEOUS_DATA && !restart) return;
  on_error(info);
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* state = static_cast<ErrorState*>(info->err);
  std::snprintf(state->text, sizeof(state->text), "more than %d scans", kMaxScans);
  std::longjmp(state->jump, 1);
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& origin) : origin_(origin) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    progress_.progress_monitor = on_progress;
    call([&] {
      jpeg_create_decompress(&info_);
      info_.progress = &progress_;
      jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    });
  }
  ~Reader() { jpeg_destroy_decompress(&info_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  StoredSize read_header() {
    call([&] { jpeg_read_header(&info_, TRUE); });
    return {static_cast<int>(info_.image_height), static_cast<int>(info_.image_width)};
  }
  // At 1/shrink of the stored size.
  void start(const DecodeOptions& options, StoredSize size, int shrink);
  void move_to(const Box& window);
  void read(Image& image, Dct dct);
  void finish() {
    call([&] { jpeg_finish_decompress(&info_); });
  }
  void check_end_follows();

 private:
  // Runs libjpeg calls. They leave by longjmp, so `f` and what it calls must own nothing that needs
  // a destructor.
  template <class F>
  void call(const F& f) {
    if (setjmp(errors_.jump)) fail_decoding("JPEG", errors_.text, origin_);
    f();
  }
  void read_direct(Image& image);

  const std::string& origin_;
  jpeg_decompress_struct info_{};
  ErrorState errors_{};
  jpeg_progress_mgr progress_{};
};

void Reader::start(const DecodeOptions& options, StoredSize size, int shrink) {
  info_.scale_num = 1;
  info_.scale_denom = static_cast<unsigned>(shrink);
  const bool inks = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
  info_.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  info_.dct_method = options.dct == Dct::kFast ? JDCT_IFAST : JDCT_ISLOW;
  info_.do_fancy_upsampling = TRUE;
  // Progressive files keep all coefficients: 2 bytes of at most 4 components, plus work space.
  info_.mem->max_memory_to_use = int64_t{8} * size.height * size.width + (64 << 20);
  call([&] { jpeg_start_decompress(&info_); });
}

void Reader::move_to(const Box& window) {
  JDIMENSION x = static_cast<JDIMENSION>(window.x);
  JDIMENSION width = static_cast<JDIMENSION>(window.width);
  JDIMENSION skipped = 0;
  const auto y = static_cast<JDIMENSION>(window.y);
  call([&] {
    // Widens to the left, to a whole iMCU; the window's pixels are then the last of each row.
    jpeg_crop_scanline(&info_, &x, &width);
    skipped = jpeg_skip_scanlines(&info_, y);
  });
  if (skipped != y) fail_decoding("JPEG", "rows are missing", origin_);
}

// Ink values as stored are 255 - ink in Adobe's files. Pillow takes every file to be Adobe's;
// TensorFlow looks for the marker, and rounds down.
void inks_to_rgb(const uint8_t* inks, int count, Dct dct, bool adobe, uint8_t* rgb) {
  for (int i = 0; i < count; ++i)
    for (int c = 0; c < 3; ++c) {
      const int colour = inks[4 * i + c];
      const int key = inks[4 * i + 3];
      int value = 0;
      if (dct == Dct::kAccurate) {
        const int product = (255 - colour) * key + 128;
        value = std::max(key - ((product + (product >> 8)) >> 8), 0);
      } else {
        value = adobe ? key * colour / 255 : (255 - key) * (255 - colour) / 255;
      }
      rgb[3 * i + c] = static_cast<uint8_t>(value);
    }
}

void Reader::read_direct(Image& image) {
  const size_t stride = static_cast<size_t>(image.width) * 3;
  const int height = image.height;
  uint8_t* pixels = image.pixels.data();
  call([&] {
    constexpr int kRows = 8;
    JSAMPROW rows[kRows];
    for (int done = 0; done < height;) {
      const int wanted = std::min(kRows, height - done);
      for (int i = 0; i < wanted; ++i) rows[i] = pixels + (done + i) * stride;
      done += static_cast<int>(jpeg_read_scanlines(&info_, rows, static_cast<JDIMENSION>(wanted)));
    }
  });
}

void Reader::read(Image& image, Dct dct) {
  const bool inks = info_.out_color_space == JCS_CMYK;
  const int left = static_cast<int>(info_.output_width) - image.width;
  if (!inks && left == 0) return read_direct(image);
  const int components = inks ? 4 : 3;
  thread_local std::vector<uint8_t> row;
  row.resize(static_cast<size_t>(info_.output_width) * components);
  JSAMPROW row_at = row.data();
  const uint8_t* from = row.data() + static_cast<size_t>(left) * components;
  const size_t stride = static_cast<size_t>(image.width) * 3;
  for (int y = 0; y < image.height; ++y) {
    call([&] { jpeg_read_scanlines(&info_, &row_at, 1); });
    uint8_t* to = image.pixels.data() + y * stride;
    if (inks) {
      inks_to_rgb(from, image.width, dct, info_.saw_Adobe_marker, to);
    } else {
      std::memcpy(to, from, stride);
    }
  }
}

// Decoding the rows below a window would only show whether the file is cut; so does the end marker,
// since compressed data never holds its bytes.
void Reader::check_end_follows() {
  if (jpeg_input_complete(&info_) || info_.unread_marker == JPEG_EOI) return;
  const JOCTET end[] = {0xFF, JPEG_EOI};
  const JOCTET* from = info_.src->next_input_byte;
  const JOCTET* to = from + info_.src->bytes_in_buffer;
  if (std::find_end(from, to, end, end + 2) == to)
    fail_decoding("JPEG", "Premature end of JPEG file", origin_);
}

// The largest of libjpeg's denominators that leaves both sides of the window long enough.
int shrink_of(const Box& window, int shrink_to) {
  int shrink = 1;
  if (shrink_to > 0)
    while (shrink < 8 && std::min(window.height, window.width) / (2 * shrink) >= shrink_to)
      shrink *= 2;
  return shrink;
}

// The window in the image at 1/shrink, to the nearest pixel.
Box shrunk(const Box& window, int shrink) {
  const auto scaled = [&](int position) { return (position + shrink / 2) / shrink; };
  const int y = scaled(window.y), x = scaled(window.x);
  return {y, x, scaled(window.y + window.height) - y, scaled(window.x + window.width) - x};
}

// Owns libjpeg's memory, so that it is freed however writing ends.
struct Writer {
  ~Writer() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }
  jpeg_compress_struct info{};
  ErrorState errors{};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
};

}  // namespace

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  if (image.height < 1 || image.width < 1 || image.height > JPEG_MAX_DIMENSION ||
      image.width > JPEG_MAX_DIMENSION || image.pixels.size() != image.size() ||
      (image.channels != 1 && image.channels != 3))
    throw Error(fmt::format("a JPEG cannot hold an image of {} x {} x {}", image.height,
                            image.width, image.channels));
  Writer writer;
  jpeg_compress_struct& info = writer.info;
  info.err = jpeg_std_error(&writer.errors);
  writer.errors.error_exit = on_error;
  if (setjmp(writer.errors.jump)) fail_decoding("JPEG", writer.errors.text, "an image in memory");
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, &writer.bytes, &writer.size);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.input_components = image.channels;
  info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);  // 4:2:0 and the accurate DCT
  jpeg_set_quality(&info, quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    // libjpeg takes rows that are not const, and does not write to them.
    auto* row = const_cast<JSAMPLE*>(image.pixels.data()) +
                static_cast<size_t>(info.next_scanline) * image.width * image.channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  const auto* first = reinterpret_cast<const std::byte*>(writer.bytes);
  return {first, first + writer.size};
}

StoredSize jpeg_size(std::span<const std::byte> bytes, const std::string& origin) {
  return Reader(bytes, origin).read_header();
}

Image decode_jpeg(std::span<const std::byte> bytes, const DecodeOptions& options, const Box* window,
                  const std::string& origin) {
  Reader reader(bytes, origin);
  const StoredSize size = reader.read_header();
  check_pixels(size, options, origin);
  if (window) check_window(*window, size, origin);
  const int shrink = window ? shrink_of(*window, options.shrink_to) : 1;
  const Box part = window ? shrunk(*window, shrink) : Box{0, 0, size.height, size.width};
  Image image;
  image.height = part.height;
  image.width = part.width;
  reader.start(options, size, shrink);
  if (window) reader.move_to(part);
  image.pixels.resize(image.size());
  reader.read(image, options.dct);
  if (window)
    reader.check_end_follows();
  else
    reader.finish();
  return image;
}

}  // namespace nestvit
