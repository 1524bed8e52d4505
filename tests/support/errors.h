// Errors as tests look at them: message and hint in one text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <string>
#include <vector>

namespace nestvit::testing {

// "message | hint" of the E that `act` throws. Fails the test when it throws none.
template <class E = Error, class Act>
std::string error_of(Act&& act) {
  try {
    act();
  } catch (const E& error) {
    return std::string(error.what()) + " | " + error.hint();
  }
  ADD_FAILURE() << "no error";
  return "";
}

// `act` must throw an E whose message and hint hold every one of `parts`.
template <class E = Error, class Act>
void expect_error(Act&& act, const std::vector<std::string>& parts) {
  SCOPED_TRACE("expected an error about " + ::testing::PrintToString(parts));
  const std::string text = error_of<E>(act);
  for (const std::string& part : parts) EXPECT_THAT(text, ::testing::HasSubstr(part));
}

}  // namespace nestvit::testing
