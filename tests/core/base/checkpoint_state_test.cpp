// The text file `checkpoint`: what TensorFlow and clu write, and what is not one.
#include "base/checkpoint_state.h"

#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(CheckpointState, NamesTheNewest) {
  EXPECT_EQ(newest_checkpoint("model_checkpoint_path: \"ckpt-39\"\n"
                              "all_model_checkpoint_paths: \"ckpt-38\"\n"
                              "all_model_checkpoint_paths: \"ckpt-39\"\n"),
            "ckpt-39");
  EXPECT_EQ(newest_checkpoint("all_model_checkpoint_paths: \"ckpt-1\"\n"
                              "model_checkpoint_path: \"/home/me/run/ckpt-2\""),
            "/home/me/run/ckpt-2");
}

TEST(CheckpointState, ReadsProtobufsText) {
  EXPECT_EQ(newest_checkpoint("\t model_checkpoint_path :\"a b\"\r\n"), "a b");
  EXPECT_EQ(newest_checkpoint(R"(model_checkpoint_path: "a\"b\\c")"), "a\"b\\c");
}

TEST(CheckpointState, OtherTextsNameNone) {
  for (const char* text :
       {"", "\n\n", "model_checkpoint_path",
        "model_checkpoint_path:", "model_checkpoint_path: ckpt-1", "model_checkpoint_path: \"",
        "model_checkpoint_path: \"\"", "model_checkpoint_path: \"ckpt-1",
        "model_checkpoint_path: \"ckpt-1\\", "all_model_checkpoint_paths: \"ckpt-1\"",
        "model_checkpoint_path_2: \"ckpt-1\"", "model_checkpoint_path:\n\"ckpt-1\""})
    EXPECT_EQ(newest_checkpoint(text), std::nullopt) << text;
}

// An empty name does not hide the one behind it.
TEST(CheckpointState, TheFirstNameThatIsOneCounts) {
  EXPECT_EQ(newest_checkpoint("model_checkpoint_path: \"\"\nmodel_checkpoint_path: \"a\"\n"
                              "model_checkpoint_path: \"b\"\n"),
            "a");
}

}  // namespace
}  // namespace nestvit
