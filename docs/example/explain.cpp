// explain MODEL IMAGE...: where in each image its most probable class is found.
#include <nestvit/nestvit.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: explain MODEL IMAGE...\n";
    return 2;
  }
  const nestvit::Model model = nestvit::Model::load(argv[1], {.explain = true});
  for (int i = 2; i < argc; ++i) {
    const nestvit::Explanation why = model.explain(argv[i]);
    std::cout << argv[i] << "\n  " << why.prediction.label << " " << why.prediction.probability
              << "\n";
    for (const int place : why.path) {
      const nestvit::Region& region = why.tree[place];
      const auto [x0, y0, x1, y1] = region.box;
      std::cout << "  level " << region.level << ": " << x1 - x0 << " x " << y1 - y0 << " at " << x0
                << ", " << y0 << ", share " << region.share << "\n";
    }
  }
} catch (const nestvit::Error& e) {
  std::cerr << e.what() << "\n" << e.hint() << "\n";
  return 1;
}
