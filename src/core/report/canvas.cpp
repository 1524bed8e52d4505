// Drawing with cairo; fontconfig knows which font has which characters.
#include "report/canvas.h"

#include <cairo-ft.h>
#include <cairo.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fontconfig/fontconfig.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "image/codecs/picture_file.h"
#include "report/markup.h"

namespace nestvit {
namespace {

template <auto kDestroy>
struct Destroy {
  template <class T>
  void operator()(T* owned) const {
    kDestroy(owned);
  }
};
template <class T, auto kDestroy>
using Owned = std::unique_ptr<T, Destroy<kDestroy>>;

constexpr double kAtLeastEnlarged = 3;  // from this factor on pixels are shown as squares

void warn_of_missing(const std::set<std::string>& characters, const std::string& path) {
  constexpr size_t kNamed = 10;
  if (characters.empty()) return;
  std::vector<std::string> named(characters.begin(), characters.end());
  named.resize(std::min(named.size(), kNamed));
  log_warning(fmt::format(
      "{}: no font on this machine has {}{}, and boxes stand for them; install a font that has "
      "them (Debian: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto-core for most "
      "others) and draw again",
      path, fmt::join(named, " "),
      characters.size() > named.size()
          ? fmt::format(" and {} more characters", characters.size() - named.size())
          : ""));
}

// The fonts of this machine of one weight, by likeness to DejaVu Sans.
class Fonts {
 public:
  struct Run {
    cairo_font_face_t* face;
    std::string text;
  };

  explicit Fonts(bool bold) : wanted_(FcPatternCreate()) {
    FcPatternAddString(wanted_.get(), FC_FAMILY, reinterpret_cast<const FcChar8*>("DejaVu Sans"));
    FcPatternAddInteger(wanted_.get(), FC_WEIGHT, bold ? FC_WEIGHT_BOLD : FC_WEIGHT_NORMAL);
    FcConfigSubstitute(nullptr, wanted_.get(), FcMatchPattern);
    FcDefaultSubstitute(wanted_.get());
    FcResult result = FcResultMatch;
    sorted_.reset(FcFontSort(nullptr, wanted_.get(), FcTrue, nullptr, &result));
    faces_.resize(sorted_ ? static_cast<size_t>(sorted_->nfont) : 0);
    // Without any font cairo draws letters of its own.
    if (faces_.empty())
      faces_.emplace_back(cairo_toy_font_face_create("DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                                                     CAIRO_FONT_WEIGHT_NORMAL));
  }

  // `text` in pieces of one font each. Characters without a font go to the first, and are added to
  // `missing`.
  std::vector<Run> runs(const std::string& text, std::set<std::string>* missing) {
    std::vector<Run> runs;
    for (size_t at = 0; at < text.size();) {
      FcChar32 code = 0;
      const int length = std::max(1, FcUtf8ToUcs4(reinterpret_cast<const FcChar8*>(&text[at]),
                                                  &code, static_cast<int>(text.size() - at)));
      const std::string character = text.substr(at, static_cast<size_t>(length));
      at += character.size();
      const int font = font_of(code);
      if (font < 0 && missing) missing->insert(character);
      cairo_font_face_t* const face = this->face(static_cast<size_t>(std::max(font, 0)));
      if (runs.empty() || runs.back().face != face) runs.push_back({face, ""});
      runs.back().text += character;
    }
    return runs;
  }

 private:
  // -1: none.
  int font_of(FcChar32 code) const {
    for (int i = 0; sorted_ && i < sorted_->nfont; ++i) {
      FcCharSet* characters = nullptr;
      if (FcPatternGetCharSet(sorted_->fonts[i], FC_CHARSET, 0, &characters) == FcResultMatch &&
          FcCharSetHasChar(characters, code))
        return i;
    }
    return -1;
  }

  cairo_font_face_t* face(size_t font) {
    auto& face = faces_[font];
    if (!face) {
      FcPattern* const ready = FcFontRenderPrepare(nullptr, wanted_.get(), sorted_->fonts[font]);
      face.reset(cairo_ft_font_face_create_for_pattern(ready));
      FcPatternDestroy(ready);
    }
    return face.get();
  }

  Owned<FcPattern, FcPatternDestroy> wanted_;
  Owned<FcFontSet, FcFontSetDestroy> sorted_;
  std::vector<Owned<cairo_font_face_t, cairo_font_face_destroy>> faces_;
};

using SurfacePtr = Owned<cairo_surface_t, cairo_surface_destroy>;

// Null beyond kMaxEdge.
SurfacePtr surface_of(const Image& image) {
  NESTVIT_CHECK(image.pixels.size() == image.size() &&
                (image.channels == 1 || image.channels == 3));
  SurfacePtr surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, image.width, image.height));
  if (cairo_surface_status(surface.get()) != CAIRO_STATUS_SUCCESS) return nullptr;
  const int stride = cairo_image_surface_get_stride(surface.get());
  unsigned char* bytes = cairo_image_surface_get_data(surface.get());
  const uint8_t* from = image.pixels.data();
  for (int row = 0; row < image.height; ++row) {
    auto* to = reinterpret_cast<uint32_t*>(bytes + static_cast<ptrdiff_t>(row) * stride);
    for (int column = 0; column < image.width; ++column, from += image.channels) {
      const uint8_t g = image.channels == 3 ? from[1] : from[0];
      const uint8_t b = image.channels == 3 ? from[2] : from[0];
      to[column] = static_cast<uint32_t>(from[0]) << 16 | static_cast<uint32_t>(g) << 8 | b;
    }
  }
  cairo_surface_mark_dirty(surface.get());
  return surface;
}

}  // namespace

struct Canvas::Drawing {
  SurfacePtr surface;
  Owned<cairo_t, cairo_destroy> context;
  Fonts plain{false}, bold{true};
  Fonts* font = &plain;
  std::set<std::string> missing = {};  // characters that were drawn without a font

  cairo_t* cr() const { return context.get(); }
  void colour(Colour c) const { cairo_set_source_rgb(cr(), c.r, c.g, c.b); }
};

Canvas::Canvas(int width, int height, const std::string& what) : drawing_(new Drawing) {
  drawing_->surface.reset(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  drawing_->context.reset(cairo_create(drawing_->surface.get()));
  if (width > kMaxEdge || height > kMaxEdge ||
      cairo_surface_status(drawing_->surface.get()) != CAIRO_STATUS_SUCCESS)
    throw Error(fmt::format("{}: a picture of {} x {} pixels is too large", what, width, height),
                "show fewer images, or more in a row");
}

Canvas::~Canvas() = default;

int Canvas::width() const { return cairo_image_surface_get_width(drawing_->surface.get()); }
int Canvas::height() const { return cairo_image_surface_get_height(drawing_->surface.get()); }

void Canvas::box(double x, double y, double width, double height, Colour c) {
  drawing_->colour(c);
  cairo_rectangle(drawing_->cr(), x, y, width, height);
  cairo_fill(drawing_->cr());
}

void Canvas::rounded_box(double x, double y, double width, double height, double radius,
                         Colour fill) {
  using std::numbers::pi;
  radius = std::min({radius, width / 2, height / 2});
  if (width <= 0 || height <= 0) return;
  cairo_new_sub_path(drawing_->cr());
  cairo_arc(drawing_->cr(), x + width - radius, y + radius, radius, -pi / 2, 0);
  cairo_arc(drawing_->cr(), x + width - radius, y + height - radius, radius, 0, pi / 2);
  cairo_arc(drawing_->cr(), x + radius, y + height - radius, radius, pi / 2, pi);
  cairo_arc(drawing_->cr(), x + radius, y + radius, radius, pi, 3 * pi / 2);
  cairo_close_path(drawing_->cr());
  drawing_->colour(fill);
  cairo_fill(drawing_->cr());
}

void Canvas::disc(double x, double y, double radius, Colour fill) {
  cairo_new_sub_path(drawing_->cr());
  cairo_arc(drawing_->cr(), x, y, radius, 0, 2 * std::numbers::pi);
  drawing_->colour(fill);
  cairo_fill(drawing_->cr());
}

void Canvas::frame(double x, double y, double width, double height, double line, Colour c,
                   bool dashed) {
  const std::array<double, 2> dashes{3 * line, 2 * line};
  cairo_save(drawing_->cr());
  drawing_->colour(c);
  cairo_set_line_width(drawing_->cr(), line);
  if (dashed) cairo_set_dash(drawing_->cr(), dashes.data(), 2, 0);
  cairo_rectangle(drawing_->cr(), x, y, width, height);
  cairo_stroke(drawing_->cr());
  cairo_restore(drawing_->cr());
}

void Canvas::branch(double x0, double y0, double x1, double y1, double line, Colour c) {
  const double middle = (y0 + y1) / 2;
  drawing_->colour(c);
  cairo_set_line_width(drawing_->cr(), line);
  cairo_move_to(drawing_->cr(), x0, y0);
  cairo_curve_to(drawing_->cr(), x0, middle, x1, middle, x1, y1);
  cairo_stroke(drawing_->cr());
}

void Canvas::font(double size, bool bold) {
  drawing_->font = bold ? &drawing_->bold : &drawing_->plain;
  cairo_set_font_size(drawing_->cr(), size);
}

double Canvas::text_width(const std::string& text) {
  double width = 0;
  for (const Fonts::Run& run : drawing_->font->runs(text, nullptr)) {
    cairo_text_extents_t extents;
    cairo_set_font_face(drawing_->cr(), run.face);
    cairo_text_extents(drawing_->cr(), run.text.c_str(), &extents);
    width += extents.x_advance;
  }
  return width;
}

std::string Canvas::fitted(const std::string& text, double width) {
  const std::string clean = clean_utf8(text);  // cairo refuses bytes that are not UTF-8
  if (clean.empty() || text_width(clean) <= width) return clean;
  std::vector<size_t> ends;  // of the beginnings that hold whole characters
  for (size_t i = 0; i < clean.size(); ++i)
    if ((clean[i] & 0xC0) != 0x80) ends.push_back(i);
  const auto beyond = std::partition_point(ends.begin() + 1, ends.end(), [&](size_t end) {
    return text_width(clean.substr(0, end) + "…") <= width;
  });
  return clean.substr(0, *std::prev(beyond)) + "…";
}

void Canvas::text(double x, double y, const std::string& text, Colour c, double anchor) {
  drawing_->colour(c);
  cairo_move_to(drawing_->cr(), x - anchor * text_width(text), y);
  for (const Fonts::Run& run : drawing_->font->runs(text, &drawing_->missing)) {
    cairo_set_font_face(drawing_->cr(), run.face);
    cairo_show_text(drawing_->cr(), run.text.c_str());
  }
}

void Canvas::upright_text(double x, double y, const std::string& text, Colour c, double anchor) {
  cairo_save(drawing_->cr());
  cairo_translate(drawing_->cr(), x, y);
  cairo_rotate(drawing_->cr(), -std::numbers::pi / 2);
  this->text(0, 0, text, c, anchor);
  cairo_restore(drawing_->cr());
}

void Canvas::image(const Image& image, double x, double y, double edge) {
  if (image.width <= 0 || image.height <= 0) return;
  const SurfacePtr source = surface_of(image);
  if (!source) return;
  double scale = edge / std::max(image.width, image.height);
  const bool sharp = scale >= kAtLeastEnlarged;
  if (sharp) scale = std::floor(scale);  // pixels of equal size
  cairo_save(drawing_->cr());
  cairo_translate(drawing_->cr(), std::round(x + (edge - image.width * scale) / 2),
                  std::round(y + (edge - image.height * scale) / 2));
  cairo_rectangle(drawing_->cr(), 0, 0, std::round(image.width * scale),
                  std::round(image.height * scale));
  cairo_clip(drawing_->cr());
  cairo_scale(drawing_->cr(), scale, scale);
  cairo_set_source_surface(drawing_->cr(), source.get(), 0, 0);
  cairo_pattern_set_filter(cairo_get_source(drawing_->cr()),
                           sharp ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_BEST);
  cairo_pattern_set_extend(cairo_get_source(drawing_->cr()), CAIRO_EXTEND_PAD);
  cairo_paint(drawing_->cr());
  cairo_restore(drawing_->cr());
}

void Canvas::pixels(const Image& image, int x, int y) {
  if (image.width <= 0 || image.height <= 0) return;
  const SurfacePtr source = surface_of(image);
  if (!source) return;
  cairo_set_source_surface(drawing_->cr(), source.get(), x, y);
  cairo_paint(drawing_->cr());
}

namespace {

Image pixels_of(cairo_surface_t* surface) {
  Image image{
      cairo_image_surface_get_height(surface), cairo_image_surface_get_width(surface), 3, {}};
  image.pixels.reserve(image.size());
  const int stride = cairo_image_surface_get_stride(surface);
  const unsigned char* bytes = cairo_image_surface_get_data(surface);
  for (int row = 0; row < image.height; ++row) {
    const auto* from =
        reinterpret_cast<const uint32_t*>(bytes + static_cast<ptrdiff_t>(row) * stride);
    for (int column = 0; column < image.width; ++column)
      for (const int shift : {16, 8, 0})
        image.pixels.push_back(static_cast<uint8_t>(from[column] >> shift));
  }
  return image;
}

void write_png(const std::filesystem::path& path, cairo_surface_t* surface) {
  std::string png;
  const auto append = [](void* to, const unsigned char* bytes, unsigned count) {
    static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), count);
    return CAIRO_STATUS_SUCCESS;
  };
  if (cairo_surface_write_to_png_stream(surface, append, &png) != CAIRO_STATUS_SUCCESS)
    throw Error(fmt::format("{}: cannot encode the picture", path.string()));
  write_file(path, png);
}

}  // namespace

void Canvas::write(const std::filesystem::path& path) {
  NESTVIT_CHECK(cairo_status(drawing_->cr()) == CAIRO_STATUS_SUCCESS);
  cairo_surface_t* surface = drawing_->surface.get();
  cairo_surface_flush(surface);
  if (picture_format(path) == PictureFormat::kPng)
    write_png(path, surface);
  else
    write_picture(path, pixels_of(surface));
  warn_of_missing(drawing_->missing, path.string());
}

}  // namespace nestvit
