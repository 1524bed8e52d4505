// Checksums against the test vectors of their standards.
#include "hub/digest.h"

#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

class DigestTest : public HubTest {};

TEST_F(DigestTest, StandardVectors) {
  // RFC 1321 A.5; FIPS 180-2 A.1, B.1; RFC 3720 B.4.
  EXPECT_EQ(digest_text(DigestKind::kMd5, ""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(digest_text(DigestKind::kMd5, "abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(digest_text(DigestKind::kSha1, "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(digest_text(DigestKind::kSha256, "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_text(DigestKind::kCrc32c, "123456789"), "e3069283");
  EXPECT_EQ(digest_text(DigestKind::kCrc32c, std::string(32, '\0')), "8a9136aa");
}

TEST_F(DigestTest, FilesAsTexts) {
  const std::string content = noise(1'000'003);
  write_file(path("f"), std::string_view(content));
  for (const DigestKind kind :
       {DigestKind::kMd5, DigestKind::kSha1, DigestKind::kSha256, DigestKind::kCrc32c})
    EXPECT_EQ(digest_file({kind, ""}, path("f")), digest_text(kind, content));
  write_file(path("empty"), std::string_view());
  EXPECT_EQ(digest_file({DigestKind::kSha1, "", true}, path("empty")),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");  // git's own
  write_file(path("hello"), std::string_view("hello\n"));
  EXPECT_EQ(digest_file({DigestKind::kSha1, "", true}, path("hello")),
            "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_NE(error_of([&] { digest_file({DigestKind::kMd5, ""}, path("nowhere")); }), "");
}

TEST_F(DigestTest, Base64) {
  EXPECT_EQ(hex_of_base64("AAECAw=="), "00010203");
  EXPECT_EQ(hex_of_base64("3q2+7w=="), "deadbeef");
  EXPECT_EQ(hex_of_base64("1B2M2Y8AsgTpgAmY7PhCfg=="), "d41d8cd98f00b204e9800998ecf8427e");
  for (const char* text : {"a b", "a=b", "@@@@"})
    EXPECT_NE(error_of([&] { hex_of_base64(text); }), "") << text;
}

}  // namespace
}  // namespace nestvit::testing
