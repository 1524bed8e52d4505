// The part of nestvit train that needs no libtorch: its help, and the page of recipe keys.
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;

class TrainHelpCli : public CliTest {};

TEST_F(TrainHelpCli, KeysAreThePageInTheDocs) {
  const Outcome outcome = nestvit("train --help-keys");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const fs::path page = fs::path(NESTVIT_SOURCE_DIR) / "docs" / "recipe-keys.md";
  EXPECT_TRUE(outcome.out == read_text(page))
      << "after a change of the keys: build/release/bin/nestvit train --help-keys > "
      << "docs/recipe-keys.md";
}

TEST_F(TrainHelpCli, AFlagsHelpIsItsKeys) {
  const std::string help = nestvit("train --help").out;
  EXPECT_THAT(help, HasSubstr("usage: nestvit train"));
  EXPECT_THAT(help, HasSubstr("  -b, --batch-size N\n      Images per batch. Key "
                              "per_device_batch_size."));
  EXPECT_THAT(help, HasSubstr("  --opt adamw|adam|sgd\n"));
  const std::string keys = nestvit("train --help-keys").out;
  EXPECT_THAT(keys, HasSubstr("- `per_device_batch_size` (integer; default 192; `-b, "
                              "--batch-size`): images per batch\n"));
  EXPECT_THAT(keys, HasSubstr("- `optim` (adamw, adam, sgd; default adamw; `--opt`): "));
  EXPECT_THAT(keys, HasSubstr("- `nest.embedding_dim` (integer; default the variant's): "));
}

TEST_F(TrainHelpCli, WrongFlagsAreRefusedBeforeTheOtherProgramStarts) {
  expect_failure(nestvit("train photos --epohcs 3"), 2, {"did you mean --epochs?"});
}

}  // namespace
}  // namespace nestvit::testing
