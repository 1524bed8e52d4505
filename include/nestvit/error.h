// The one exception type that nestvit throws for what a user can cause: files, configuration,
// arguments.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace nestvit {

// what(): what went wrong, got and expected. hint(): what to do about it (may be empty).
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, std::string hint = "")
      : std::runtime_error(what), hint_(std::move(hint)) {}
  const std::string& hint() const { return hint_; }

 private:
  std::string hint_;
};

// A wrong command line or configuration: programs exit with 2 instead of 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace nestvit
