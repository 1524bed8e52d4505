// The list is imagenet_classes.txt: one line per class, synset and name.
#include "weights/labels/imagenet.h"

#include <sstream>

#include "weights/labels/labels.h"

namespace nestvit {
namespace {

constexpr const char kList[] =
#include "imagenet_classes.inc"
    ;

}  // namespace

void name_imagenet_classes(std::vector<std::string>& labels,
                           std::map<std::string, std::string>& descriptions) {
  constexpr int kClasses = 1000;
  if (labels != numbered_labels(kClasses)) return;
  std::istringstream list(kList);
  for (std::string& label : labels) {
    std::string name;
    std::getline(list >> label, name);
    descriptions[label] = name.substr(1);
  }
}

}  // namespace nestvit
