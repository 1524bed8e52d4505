// FNV-1a against the test vectors of its authors (Fowler, Noll, Vo: fnv-5.0.2, test_fnv.c).
#include "base/hash.h"

#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(Hash, Fnv1a) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325u);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8u);
}

TEST(Hash, BytesAboveAsciiCountUnsigned) {
  // One step by hand: (offset ^ 0xFF) * prime, in 64 bits.
  EXPECT_EQ(fnv1a("\xFF"), (0xcbf29ce484222325u ^ 0xFFu) * 0x100000001b3u);
}

}  // namespace
}  // namespace nestvit
