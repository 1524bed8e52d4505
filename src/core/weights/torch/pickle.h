// Python pickles as data: what a program of the pickle machine would build, as a tree of values.
// Nothing is looked up and nothing is called; a global is a name, and a call is a record of the
// name and its arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nestvit {

enum class PickleKind {
  kNone,
  kBool,
  kInt,
  kBigInt,  // more than 64 bits; its digits are in `text`
  kFloat,
  kText,
  kBytes,
  kTuple,
  kList,
  kSet,
  kDict,
  kGlobal,  // `text`: "collections.OrderedDict"
  kObject,  // what calling the global `text` with `args` would give; `items` as of a dict or list,
            // `state`
  kPersistent,  // a reference to something outside: items[0] says what
};

// Position in Pickle's arena: values may be shared, even hold themselves.
using PickleRef = uint32_t;
constexpr PickleRef kNoPickle = UINT32_MAX;

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  int64_t integer = 0;  // kInt, kBool
  double real = 0;
  std::string_view text;
  std::vector<PickleRef> items;  // a dict's: key, value, key, value, ...; later ones win
  PickleRef args = kNoPickle, state = kNoPickle;
};

// Owns the values; their texts lie in the pickle's bytes. Readers walk a known number of levels, so
// cycles are harmless.
class Pickle {
 public:
  const PickleValue& root() const { return values_[root_]; }
  PickleRef root_ref() const { return root_; }
  const PickleValue& at(PickleRef ref) const { return values_.at(ref); }
  size_t size() const { return values_.size(); }

 private:
  friend class Unpickler;
  std::vector<PickleValue> values_;
  PickleRef root_ = 0;
};

// The name under which a global is known here (static storage), or "" to refuse it.
using PickleGlobals = std::string_view (*)(std::string_view module, std::string_view name);

// Protocols 2 to 5. Throws Error: an opcode that data does not need, a global that is refused
// (named in the error), damage, more than a million values.
Pickle read_pickle(std::span<const std::byte> bytes, PickleGlobals globals,
                   const std::string& origin);

}  // namespace nestvit
