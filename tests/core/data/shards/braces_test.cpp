// Names that a shell's braces stand for, and patterns that are wrong.
#include "data/shards/webdataset.h"
#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

TEST(Braces, StandForNames) {
  EXPECT_THAT(expand_braces("x.tar"), ElementsAre("x.tar"));
  EXPECT_THAT(expand_braces("x-{08..11}.tar"),
              ElementsAre("x-08.tar", "x-09.tar", "x-10.tar", "x-11.tar"));
  EXPECT_THAT(expand_braces("{a,b}-{0..1}"), ElementsAre("a-0", "a-1", "b-0", "b-1"));
  for (const char* wrong : {"x-{0..", "x-{0..a}", "x-{2..1}", "x-{..3}", "{0..99999999}",
                            "{0..999}{0..999}", "{0..99999999999999999999}"})
    expect_error([&] { expand_braces(wrong); }, {"pattern is as"});
}

TEST(Braces, LeadingZerosAreKept) {
  EXPECT_THAT(expand_braces("{9..11}"), ElementsAre("9", "10", "11"));
  EXPECT_THAT(expand_braces("{009..011}"), ElementsAre("009", "010", "011"));
  EXPECT_THAT(expand_braces("x{,a}"), ElementsAre("x", "xa"));
  EXPECT_EQ(expand_braces("s-{000000..001023}.tar").size(), 1024u);
  EXPECT_EQ(expand_braces("s-{000000..001023}.tar").back(), "s-001023.tar");
}

}  // namespace
}  // namespace nestvit
