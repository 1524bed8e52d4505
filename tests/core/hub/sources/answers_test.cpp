// Answers of hubs and clouds, which may hold anything: what is read of them, and what is refused.
#include "hub/sources/answers.h"

#include <string>

#include "support/errors.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(HubAnswer, OtherJsonIsRefused) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  for (const std::string& text :
       {std::string(""), std::string("[]"), std::string("{}"), std::string("{\"sha\": 3}"),
        std::string("<html>"), std::string("{\"sha\": \"../../x\"}"),
        std::string("{\"sha\": \"a/b\"}"), std::string("{\"sha\": \"a\", \"siblings\": 3}"),
        std::string("{\"sha\": \"a\", \"siblings\": [3]}"),
        std::string("{\"sha\": \"a\", \"siblings\": [{\"rfilename\": {}}]}"),
        "{\"sha\": " + deep + "}"}) {
    EXPECT_THAT(error_of([&] { parse_hub_answer(text, "the hub"); }), HasSubstr("the hub")) << text;
  }
  const HubAnswer answer = parse_hub_answer(
      "{\"sha\": \"abc\", \"siblings\": [{\"rfilename\": \"x\"}], \"other\": []}", "");
  EXPECT_EQ(answer.commit, "abc");
  EXPECT_THAT(answer.files, ElementsAre("x"));
}

TEST(HubAnswer, PartsAreFilesBesideTheirIndex) {
  EXPECT_THAT(parse_parts(R"({"weight_map": {"x": "b.bin", "y": "a.bin", "z": "b.bin"}})", ""),
              ElementsAre("a.bin", "b.bin"));
  for (const char* text :
       {"", "[]", "{}", R"({"weight_map": 3})", R"({"weight_map": {}})",
        R"({"weight_map": {"x": 3}})", R"({"weight_map": {"x": ""}})",
        R"({"weight_map": {"x": "../a.bin"}})", R"({"weight_map": {"x": "/a.bin"}})",
        R"({"weight_map": {"x": ".a.bin"}})", R"({"weight_map": {"x": "a\u0000.bin"}})"})
    EXPECT_THAT(error_of([&] { parse_parts(text, "the index"); }), HasSubstr("the index")) << text;
}

TEST(GcsAnswer, OtherJsonIsRefused) {
  for (const char* text :
       {"", "[]", "{\"items\": {}}", "{\"items\": [1]}", "{\"items\": [{}]}",
        "{\"nextPageToken\": 1}", "{\"items\": [{\"name\": \"a\", \"size\": 3}]}",
        "{\"items\": [{\"name\": \"a\", \"size\": \"x\"}]}",
        "{\"items\": [{\"name\": \"a\", \"size\": \"-1\"}]}",
        "{\"items\": [{\"name\": \"\", \"size\": \"1\"}]}",
        "{\"items\": [{\"name\": \"a\", \"size\": \"1\", \"md5Hash\": \"!!\"}]}",
        "{\"items\": [{\"name\": \"a\", \"size\": \"1\", \"generation\": \"1&x=y\"}]}"})
    EXPECT_NE(error_of([&] { parse_gcs_page(text, "the bucket"); }), "") << text;
  EXPECT_TRUE(parse_gcs_page("{}", "").objects.empty());
}

TEST(GcsAnswer, ObjectsWithTheStrongestChecksum) {
  const GcsPage page = parse_gcs_page(
      R"({"items": [{"name": "a/b", "size": "70", "generation": "16",
                     "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==", "crc32c": "4waSgw=="},
                    {"name": "c", "size": "0", "crc32c": "4waSgw=="}],
          "nextPageToken": "more"})",
      "the bucket");
  EXPECT_EQ(page.next, "more");
  ASSERT_EQ(page.objects.size(), 2u);
  EXPECT_EQ(page.objects[0].name, "a/b");
  EXPECT_EQ(page.objects[0].size, 70u);
  EXPECT_EQ(page.objects[0].generation, "16");
  ASSERT_EQ(page.objects[0].checksums.size(), 1u);
  EXPECT_EQ(page.objects[0].checksums[0].kind, DigestKind::kMd5);
  EXPECT_EQ(page.objects[0].checksums[0].hex, "d41d8cd98f00b204e9800998ecf8427e");
  ASSERT_EQ(page.objects[1].checksums.size(), 1u);
  EXPECT_EQ(page.objects[1].checksums[0].kind, DigestKind::kCrc32c);
  EXPECT_EQ(page.objects[1].checksums[0].hex, "e3069283");
  EXPECT_EQ(parse_gcs_object(R"({"name": "x", "size": "1"})", "").name, "x");
}

TEST(GcsAnswer, NewestCheckpoint) {
  EXPECT_EQ(newest_in("model_checkpoint_path: \"ckpt-39\"", ""), "ckpt-39");
  EXPECT_EQ(newest_in("x: 1\nmodel_checkpoint_path: \"/home/me/run/ckpt-2\"\n", ""), "ckpt-2");
  for (const char* text :
       {"", "model_checkpoint_path:", "model_checkpoint_path: \"", "model_checkpoint_path: \"\"",
        "model_checkpoint_path: \"..\"", "model_checkpoint_path: \"a/\"",
        "all_model_checkpoint_paths: \"ckpt-1\""})
    EXPECT_NE(error_of([&] { newest_in(text, "x"); }), "") << text;
}

TEST(FileNames, AreSafeOnThisMachine) {
  EXPECT_EQ(file_name_of("https://h/a/b.pth", ""), "b.pth");
  EXPECT_EQ(file_name_of("https://h/a/b%20c.pth?x#y", ""), "b_c.pth");
  EXPECT_EQ(file_name_of("https://h/a/", ""), "download");
  EXPECT_EQ(file_name_of("https://h", ""), "download");
  EXPECT_EQ(file_name_of("https://h/..%2f..%2fetc%2fpasswd", ""), "passwd");
  EXPECT_EQ(file_name_of("https://h/..", ""), "download");
  EXPECT_EQ(file_name_of("https://h/.bashrc", ""), "bashrc");
  EXPECT_EQ(file_name_of("https://h/x", "attachment; filename=model.bin"), "model.bin");
  EXPECT_EQ(file_name_of("https://h/x", "attachment; filename=\"/etc/passwd\""), "passwd");
  EXPECT_EQ(file_name_of("https://h/x", "attachment; filename=\"..\\\\..\\\\evil.exe\""),
            "evil.exe");
  EXPECT_EQ(file_name_of("https://h/x", "attachment; filename*=UTF-8''a%2Fb%0A.pth"), "b_.pth");
  EXPECT_EQ(file_name_of("https://h/x", "attachment; filename=\""), "download");
  EXPECT_EQ(file_name_of("https://h/x", "filename=" + std::string(5000, 'a')),
            std::string(120, 'a'));
}

}  // namespace
}  // namespace nestvit::testing
