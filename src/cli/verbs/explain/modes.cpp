// The options of the two modes.
#include "cli/verbs/explain/modes.h"

#include <fmt/format.h>
#include <nestvit/error.h>

namespace nestvit::cli {
namespace {

void require_mode(bool given, bool mode, const char* option, const char* name) {
  if (given && !mode)
    throw UsageError(fmt::format("{} belongs to --{}", option, name),
                     fmt::format("add --{}", name));
}

}  // namespace

void add_explain_mode_options(CLI::App& app, ExplainModes* modes) {
  add_flag(
      app, "--score", &modes->score,
      "Instead of explaining images: score all methods over a data set (500 images unless "
      "--limit says otherwise) by deletion and insertion, the tree's leaf by masking, and what "
      "the options below add, beside maps that know nothing of the model.");
  add_flag(
      app, "--localise", &modes->localise,
      "Instead of explaining images: find the objects of --boxes by the maps' largest regions.");
  add_output_folder(app, "--report", &modes->report,
                    "--score and --localise: write report.html, report.md, the numbers of each "
                    "image as CSV, and pictures of the curves there.");
  add_text(app, "--boxes", &modes->boxes, "FILE",
           "--score and --localise: boxes of the objects, a line path,x0,y0,x1,y1 each, as "
           "wsolevaluation's localization.txt has them.");
  add_number(app, "--steps", &modes->steps, 1,
             "--score: steps of deletion and insertion; at most one for each cell of the grid.");
  add_choice(app, "--mosaic", &modes->mosaic, {"2", "4"},
             "--score: also explain mosaics of 2 x 2 or 4 x 4 images of different classes. Left "
             "out: none.");
  add_flag(app, "--sanity", &modes->sanity,
           "--score: also draw the model's parameters anew, part by part from the head down, and "
           "say how alike the maps of 20 images stay.");
  add_flag(app, "--all-images", &modes->all_images,
           "--score: score images that the model gets wrong, too.");
  add_flag(app, "--variants", &modes->variants,
           "--score: the tree by every site, propagation and sign, instead of --paper's.");
  add_choice(app, "--protocol", &modes->protocol, {"cvpr16", "maxboxacc"},
             "--localise: a fifth of the map's maximum, or the best of a thousand thresholds. Left "
             "out: both.");
  add_text(app, "--threshold-from", &modes->threshold_from, "SET",
           "--localise: the part of the data (train) or the folder whose boxes choose maxboxacc's "
           "threshold. Left out: the images that are measured, which flatters.");
}

void check(const ExplainModes& modes, const DataOptions& data) {
  if (modes.score && modes.localise) throw UsageError("--score and --localise exclude each other");
  require_mode(!modes.report.empty(), modes.any(), "--report", "score");
  require_mode(!modes.boxes.empty(), modes.any(), "--boxes", "score");
  require_mode(!modes.mosaic.empty(), modes.score, "--mosaic", "score");
  require_mode(modes.sanity, modes.score, "--sanity", "score");
  require_mode(modes.all_images, modes.score, "--all-images", "score");
  require_mode(modes.variants, modes.score, "--variants", "score");
  require_mode(!modes.protocol.empty(), modes.localise, "--protocol", "localise");
  require_mode(!modes.threshold_from.empty(), modes.localise, "--threshold-from", "localise");
  if (!modes.any()) return;
  if (!data.named())
    throw UsageError(fmt::format("--{} is over a data set", modes.score ? "score" : "localise"),
                     "add --data-dir DIR or --dataset NAME");
  if (modes.localise && modes.boxes.empty())
    throw UsageError("--localise compares with boxes", "add --boxes FILE");
}

}  // namespace nestvit::cli
