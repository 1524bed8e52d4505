// NAME and CLASS of the files NAME.CLASS.png and NAME.CLASS.json.
#pragma once

#include <string>
#include <vector>

namespace nestvit::cli {

// NAME of each path: its last part without the extension; where several have that, with the
// extension or with as many folders above it as tell them apart, at last with a number. Case is
// ignored, since some file systems do. Safe in every shell and file system: letters of any
// alphabet, digits, "-", "_", "+" and dots.
std::vector<std::string> image_names(const std::vector<std::string>& paths);

// CLASS of each label, likewise, without dots: the last dot but one of a file's name ends NAME.
std::vector<std::string> class_file_names(const std::vector<std::string>& labels);

}  // namespace nestvit::cli
