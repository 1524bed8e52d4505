// classify MODEL IMAGE...: the three best classes of each image.
#include <nestvit/nestvit.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: classify MODEL IMAGE...\n";
    return 2;
  }
  const nestvit::Model model = nestvit::Model::load(argv[1]);
  for (int i = 2; i < argc; ++i) {
    std::cout << argv[i] << "\n";
    for (const auto& [index, label, probability] : model.classify(argv[i], 3))
      std::cout << "  " << label << " " << probability << "\n";
  }
} catch (const nestvit::Error& e) {
  std::cerr << e.what() << "\n" << e.hint() << "\n";
  return 1;
}
