// The installed package, as another program meets it.
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;

class Install : public CliTest {
 protected:
  void SetUp() override {
    save("model", tiny_model());
    write_image("red.png", {250, 10, 10});
    const Outcome done = shell("cmake --install '" NESTVIT_BUILD_DIR "' --prefix \"$PWD/prefix\"");
    ASSERT_EQ(done.code, 0) << done.err;
  }
};

TEST_F(Install, TheExamplesOfTheDocsBuildAndAnswer) {
  const Outcome built = shell("cmake -S '" NESTVIT_SOURCE_DIR
                              "/docs/example' -B build -G Ninja "
                              "-DCMAKE_PREFIX_PATH=\"$PWD/prefix\" && cmake --build build");
  ASSERT_EQ(built.code, 0) << built.out << built.err;
  const Outcome answer = shell("build/classify model red.png");
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("red.png\n  "));
  const Outcome why = shell("build/explain model red.png");
  EXPECT_EQ(why.code, 0) << why.err;
  EXPECT_THAT(why.out, HasSubstr("\n  level 0: "));
  const Outcome failed = shell("build/classify model nothing.png");
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr("nothing.png"));
}

TEST_F(Install, PkgConfigKnowsIt) {
  const Outcome built =
      shell("export PKG_CONFIG_PATH=\"$PWD/prefix/lib/pkgconfig\" && c++ '" NESTVIT_SOURCE_DIR
            "/docs/example/classify.cpp' $(pkg-config --cflags --libs nestvit) -o classify && "
            "LD_LIBRARY_PATH=prefix/lib ./classify model red.png");
  EXPECT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.out, HasSubstr("red.png\n  "));
}

TEST_F(Install, TheProgramRunsWhereItWasInstalled) {
  const Outcome answer = shell("prefix/bin/nestvit predict --model model red.png");
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("red.png"));
}

// Servers that only classify have neither pictures nor a display.
TEST_F(Install, TheLibraryLoadsNothingThatDrawsOrTrains) {
  const Outcome loads = shell("ldd prefix/lib*/libnestvit.so");
  ASSERT_EQ(loads.code, 0) << loads.err;
  EXPECT_THAT(loads.out, HasSubstr("libjpeg"));
  for (const char* library : {"cairo", "X11", "libxcb", "fontconfig", "freetype", "curl", "torch"})
    EXPECT_THAT(loads.out, ::testing::Not(HasSubstr(library)));
}

TEST_F(Install, OnlyThePublicNamesAreVisible) {
  const Outcome names = shell("nm -DC --defined-only prefix/lib*/libnestvit.so");
  ASSERT_EQ(names.code, 0) << names.err;
  EXPECT_THAT(names.out, HasSubstr("nestvit::v0::Model::load"));
  for (const char* internal : {"nestvit::Engine", "nestvit::Classifier", "nestvit::kernels"})
    EXPECT_THAT(names.out, ::testing::Not(HasSubstr(internal)));
}

}  // namespace
}  // namespace nestvit::testing
