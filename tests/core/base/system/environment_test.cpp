// Every environment variable that anything here reads is in the table, and the table is in the
// docs.
#include "base/system/environment.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <regex>
#include <set>

#include "base/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = NESTVIT_SOURCE_DIR;

// Calls visit(path from the root, text) for each file with one of `extensions` below `folder`.
template <class Visit>
void for_each_file(const std::string& folder, const std::set<std::string>& extensions,
                   const Visit& visit) {
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
    if (!entry.is_regular_file() || !extensions.contains(entry.path().extension().string()))
      continue;
    visit(fs::relative(entry.path(), kRoot).string(), read_text(entry.path()));
    ++files;
  }
  EXPECT_GT(files, 0) << folder;
}

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
    found.insert((*it)[1].str());
  return found;
}

TEST(Environment, SetEmptyAndUnset) {
  setenv("NESTVIT_PAGE", "a b", 1);
  EXPECT_EQ(environment_variable("NESTVIT_PAGE"), "a b");
  setenv("NESTVIT_PAGE", "", 1);
  EXPECT_EQ(environment_variable("NESTVIT_PAGE"), std::nullopt);
  unsetenv("NESTVIT_PAGE");
  EXPECT_EQ(environment_variable("NESTVIT_PAGE"), std::nullopt);
}

TEST(Environment, UnlistedNamesAreOurOwnBug) {
  setenv("NESTVIT_UNLISTED", "1", 1);
  EXPECT_THROW(environment_variable("NESTVIT_UNLISTED"), std::logic_error);
  EXPECT_THROW(environment_variable(""), std::logic_error);
}

TEST(Environment, TheDocsHoldTheTable) {
  EXPECT_EQ(read_text(kRoot / "docs" / "environment-variables.md"), environment_help())
      << "write it anew: nestvit --help-environment > docs/environment-variables.md";
}

TEST(Environment, OnlyTheTableReadsTheEnvironment) {
  for_each_file("src", {".cpp", ".h"}, [](const std::string& file, const std::string& text) {
    if (file == "src/core/base/system/environment.cpp") return;
    EXPECT_EQ(text.find("getenv"), std::string::npos) << file;
  });
}

TEST(Environment, EveryVariableIsInTheTableOnce) {
  const std::vector<std::string> names = environment_names();
  const std::set<std::string> known(names.begin(), names.end());
  EXPECT_EQ(known.size(), names.size());
  const auto expect_known = [&](const std::string& file, const std::set<std::string>& found) {
    for (const std::string& name : found) EXPECT_TRUE(known.contains(name)) << name << " " << file;
  };
  for (const char* folder : {"src", "tests"})
    for_each_file(folder, {".cpp", ".h"}, [&](const std::string& file, const std::string& text) {
      if (file == "tests/core/base/system/environment_test.cpp") return;
      expect_known(file, matches(text, R"re((?:getenv|environment_variable)\("(\w+)"\))re"));
    });
  for (const char* folder : {"bench", "tools"})
    for_each_file(folder, {".py"}, [&](const std::string& file, const std::string& text) {
      expect_known(file, matches(text, R"re(environ(?:\[|\.get\()['"](\w+)['"])re"));
    });
  for_each_file("scripts", {""}, [&](const std::string& file, const std::string& text) {
    expect_known(file, matches(text, R"re(\$\{([A-Z_]+):?[-])re"));
  });
}

}  // namespace
}  // namespace nestvit
