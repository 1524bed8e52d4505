// The pickle machine without its ability to run anything: a stack, marks and a memo of references
// to values.
#include "weights/torch/pickle.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/file.h"

namespace nestvit {
namespace {

// A training checkpoint with averaged weights and an optimizer has about 90 values per parameter:
// this is over twenty times what the largest NesT has. Beyond it, 72 bytes of memory for each byte
// of a file are not worth spending.
constexpr size_t kMostValues = size_t{1} << 20;
constexpr const char* kResave =
    "save only the weights where the file was made: torch.save(model.state_dict(), "
    "\"weights.pth\")";
constexpr const char* kDamaged = "the file is damaged, or not a checkpoint";

// A name from the file for the terminal: without control characters, and cut when long.
std::string shown(std::string_view text) {
  std::string clean;
  for (char c : text.substr(0, 80))
    clean += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return text.size() > 80 ? clean + "..." : clean;
}

}  // namespace

class Unpickler {
 public:
  Unpickler(std::span<const std::byte> bytes, PickleGlobals globals, const std::string& origin)
      : bytes_(bytes), reader_(bytes, origin), globals_(globals), origin_(origin) {}
  Pickle run();

 private:
  using Kind = PickleKind;
  using Ref = PickleRef;

  [[noreturn]] void fail(const std::string& what, const char* hint = kDamaged) const {
    throw Error(fmt::format("{}: {} (at byte {})", origin_, what, reader_.position()), hint);
  }
  PickleValue& value(Ref ref) { return pickle_.values_[ref]; }
  Ref make(Kind kind);
  void push(Ref ref);
  void push_int(int64_t number) {
    const Ref ref = make(Kind::kInt);
    value(ref).integer = number;
    push(ref);
  }
  void push_bool(bool truth) {
    const Ref ref = make(Kind::kBool);
    value(ref).integer = truth;
    push(ref);
  }
  void push_text(Kind kind, uint64_t size);
  void push_long(uint64_t size);
  void push_items(Kind kind, std::vector<Ref> items);
  Ref pop();
  Ref top() const;
  size_t fence() const { return marks_.empty() ? 0 : marks_.back(); }
  std::vector<Ref> pop_items(size_t count);
  std::vector<Ref> pop_to_mark();
  std::string_view line();
  void global(std::string_view module, std::string_view name);
  void call();
  void extend(std::vector<Ref> items, bool pairs);
  void build();
  void memoize(uint64_t index);
  void recall(uint64_t index);

  bool constant(uint8_t opcode);
  bool number(uint8_t opcode);
  bool text(uint8_t opcode);
  bool container(uint8_t opcode);
  bool object(uint8_t opcode);
  bool stack(uint8_t opcode);

  std::span<const std::byte> bytes_;
  BoundedReader reader_;
  PickleGlobals globals_;
  const std::string& origin_;
  Pickle pickle_;
  std::vector<Ref> stack_, memo_;
  std::vector<size_t> marks_;  // heights of the stack
};

PickleRef Unpickler::make(Kind kind) {
  if (pickle_.values_.size() >= kMostValues)
    fail(fmt::format("it holds more than {} values", kMostValues), kResave);
  pickle_.values_.emplace_back().kind = kind;
  return static_cast<Ref>(pickle_.values_.size() - 1);
}

void Unpickler::push(Ref ref) {
  if (stack_.size() >= kMostValues) fail("its stack grows without end");
  stack_.push_back(ref);
}

void Unpickler::push_text(Kind kind, uint64_t size) {
  const auto bytes = reader_.take(size);
  const Ref ref = make(kind);
  value(ref).text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  push(ref);
}

// Little-endian two's complement of any length; none at all is zero.
void Unpickler::push_long(uint64_t size) {
  if (size > 8) return push_text(Kind::kBigInt, size);
  uint64_t bits = 0;
  int shift = 0;
  bool negative = false;
  for (std::byte b : reader_.take(size)) {
    bits |= static_cast<uint64_t>(b) << shift;
    negative = (b & std::byte{0x80}) != std::byte{0};
    shift += 8;
  }
  if (negative && shift < 64) bits |= ~uint64_t{0} << shift;
  push_int(static_cast<int64_t>(bits));
}

void Unpickler::push_items(Kind kind, std::vector<Ref> items) {
  const Ref ref = make(kind);
  value(ref).items = std::move(items);
  push(ref);
}

PickleRef Unpickler::pop() {
  const Ref ref = top();
  stack_.pop_back();
  return ref;
}

PickleRef Unpickler::top() const {
  if (stack_.size() <= fence()) fail("it takes a value from an empty stack");
  return stack_.back();
}

std::vector<PickleRef> Unpickler::pop_items(size_t count) {
  if (stack_.size() - fence() < count) fail("it takes a value from an empty stack");
  const auto from = stack_.end() - static_cast<std::ptrdiff_t>(count);
  std::vector<Ref> items(from, stack_.end());
  stack_.erase(from, stack_.end());
  return items;
}

std::vector<PickleRef> Unpickler::pop_to_mark() {
  if (marks_.empty()) fail("it needs a mark that is not there");
  auto items = pop_items(stack_.size() - marks_.back());
  marks_.pop_back();
  return items;
}

std::string_view Unpickler::line() {
  const auto rest = bytes_.subspan(reader_.position());
  const auto end = std::ranges::find(rest, std::byte{'\n'});
  if (end == rest.end()) fail("it ends within a name");
  const auto taken = reader_.take(static_cast<uint64_t>(end - rest.begin()) + 1);
  return {reinterpret_cast<const char*>(taken.data()), taken.size() - 1};
}

void Unpickler::global(std::string_view module, std::string_view name) {
  const std::string_view known = globals_(module, name);
  if (known.empty())
    fail(fmt::format("it wants to use {}.{}, which no state_dict needs; nothing was run",
                     shown(module), shown(name)),
         kResave);
  const Ref ref = make(Kind::kGlobal);
  value(ref).text = known;
  push(ref);
}

// REDUCE and NEWOBJ: recorded, not called.
void Unpickler::call() {
  const Ref args = pop(), callee = pop();
  if (value(callee).kind != Kind::kGlobal)
    fail("it calls something that is not a named function", kResave);
  if (value(args).kind != Kind::kTuple) fail("it calls without a tuple of arguments");
  const Ref ref = make(Kind::kObject);
  value(ref).text = value(callee).text;
  value(ref).args = args;
  push(ref);
}

// Appends to what is on top of the stack.
void Unpickler::extend(std::vector<Ref> items, bool pairs) {
  PickleValue& target = value(top());
  const bool fits = target.kind == Kind::kObject || (target.kind == Kind::kDict) == pairs;
  if (!fits || (target.kind != Kind::kObject && target.kind != Kind::kDict &&
                target.kind != Kind::kList && target.kind != Kind::kSet))
    fail("it adds entries to a value that cannot hold them");
  if (pairs && items.size() % 2 != 0) fail("it gives a dict a key without a value");
  target.items.insert(target.items.end(), items.begin(), items.end());
}

void Unpickler::build() {
  const Ref state = pop();
  PickleValue& target = value(top());
  if (target.kind != Kind::kObject) fail("it sets the state of a value that has none");
  target.state = state;
}

// Python numbers its memo consecutively and stores at most once per opcode, so no index exceeds the
// position.
void Unpickler::memoize(uint64_t index) {
  if (index > reader_.position()) fail(fmt::format("its memo would have {} entries", index));
  if (index >= memo_.size()) memo_.resize(index + 1, kNoPickle);
  memo_[index] = top();
}

void Unpickler::recall(uint64_t index) {
  if (index >= memo_.size() || memo_[index] == kNoPickle)
    fail(fmt::format("its memo has no entry {}", index));
  push(memo_[index]);
}

bool Unpickler::constant(uint8_t opcode) {
  switch (opcode) {
    case 'N':  // NONE
      push(make(Kind::kNone));
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push_bool(opcode == 0x88);
      return true;
  }
  return false;
}

bool Unpickler::number(uint8_t opcode) {
  switch (opcode) {
    case 'K':  // BININT1
      push_int(reader_.little<uint8_t>());
      return true;
    case 'M':  // BININT2
      push_int(reader_.little<uint16_t>());
      return true;
    case 'J':  // BININT
      push_int(static_cast<int32_t>(reader_.little<uint32_t>()));
      return true;
    case 0x8a:  // LONG1
      push_long(reader_.little<uint8_t>());
      return true;
    case 0x8b:  // LONG4; a negative length is refused as too long
      push_long(reader_.little<uint32_t>());
      return true;
    case 'G': {  // BINFLOAT
      const auto real = std::bit_cast<double>(reader_.big<uint64_t>());
      const Ref ref = make(Kind::kFloat);
      value(ref).real = real;
      push(ref);
      return true;
    }
  }
  return false;
}

bool Unpickler::text(uint8_t opcode) {
  switch (opcode) {
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING, a text of Python 2
      push_text(Kind::kText, reader_.little<uint8_t>());
      return true;
    case 'X':  // BINUNICODE
    case 'T':  // BINSTRING
      push_text(Kind::kText, reader_.little<uint32_t>());
      return true;
    case 0x8d:  // BINUNICODE8
      push_text(Kind::kText, reader_.little<uint64_t>());
      return true;
    case 'C':  // SHORT_BINBYTES
      push_text(Kind::kBytes, reader_.little<uint8_t>());
      return true;
    case 'B':  // BINBYTES
      push_text(Kind::kBytes, reader_.little<uint32_t>());
      return true;
    case 0x8e:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      push_text(Kind::kBytes, reader_.little<uint64_t>());
      return true;
  }
  return false;
}

bool Unpickler::container(uint8_t opcode) {
  switch (opcode) {
    case '}':  // EMPTY_DICT
      push(make(Kind::kDict));
      return true;
    case ']':  // EMPTY_LIST
      push(make(Kind::kList));
      return true;
    case ')':  // EMPTY_TUPLE
      push(make(Kind::kTuple));
      return true;
    case 0x8f:  // EMPTY_SET
      push(make(Kind::kSet));
      return true;
    case 't':  // TUPLE
      push_items(Kind::kTuple, pop_to_mark());
      return true;
    case 0x91:  // FROZENSET
      push_items(Kind::kSet, pop_to_mark());
      return true;
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      push_items(Kind::kTuple, pop_items(size_t{opcode} - 0x84));
      return true;
    case 'a':  // APPEND
      extend(pop_items(1), false);
      return true;
    case 'e':   // APPENDS
    case 0x90:  // ADDITEMS
      extend(pop_to_mark(), false);
      return true;
    case 's':  // SETITEM
      extend(pop_items(2), true);
      return true;
    case 'u':  // SETITEMS
      extend(pop_to_mark(), true);
      return true;
  }
  return false;
}

bool Unpickler::object(uint8_t opcode) {
  switch (opcode) {
    case 'c': {  // GLOBAL
      const auto module = line();
      global(module, line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const Ref name = pop(), module = pop();
      if (value(name).kind != Kind::kText || value(module).kind != Kind::kText)
        fail("it names a global by something that is not text");
      global(value(module).text, value(name).text);
      return true;
    }
    case 'R':   // REDUCE
    case 0x81:  // NEWOBJ
      call();
      return true;
    case 'b':  // BUILD
      build();
      return true;
    case 'Q':  // BINPERSID
      push_items(Kind::kPersistent, pop_items(1));
      return true;
  }
  return false;
}

bool Unpickler::stack(uint8_t opcode) {
  switch (opcode) {
    case '(':  // MARK
      if (marks_.size() >= kMostValues) fail("its stack grows without end");
      marks_.push_back(stack_.size());
      return true;
    case '0':  // POP, of a mark too
      if (!marks_.empty() && marks_.back() == stack_.size())
        marks_.pop_back();
      else
        pop();
      return true;
    case '1':  // POP_MARK
      pop_to_mark();
      return true;
    case '2':  // DUP
      push(top());
      return true;
    case 'q':  // BINPUT
      memoize(reader_.little<uint8_t>());
      return true;
    case 'r':  // LONG_BINPUT
      memoize(reader_.little<uint32_t>());
      return true;
    case 0x94:  // MEMOIZE
      memoize(memo_.size());
      return true;
    case 'h':  // BINGET
      recall(reader_.little<uint8_t>());
      return true;
    case 'j':  // LONG_BINGET
      recall(reader_.little<uint32_t>());
      return true;
    case 0x95:  // FRAME: a hint how much to read at once
      if (reader_.little<uint64_t>() > reader_.remaining()) fail("a frame ends behind the end");
      return true;
  }
  return false;
}

Pickle Unpickler::run() {
  if (reader_.little<uint8_t>() != 0x80)
    fail("it does not begin as a pickle of protocol 2 or later");
  const int protocol = reader_.little<uint8_t>();
  if (protocol < 2 || protocol > 5) fail(fmt::format("it is a pickle of protocol {}", protocol));
  for (;;) {
    const auto opcode = reader_.little<uint8_t>();
    if (opcode == '.') break;  // STOP
    if (!constant(opcode) && !number(opcode) && !text(opcode) && !container(opcode) &&
        !object(opcode) && !stack(opcode))
      fail(fmt::format("it uses the pickle opcode 0x{:02x}, which no state_dict needs", opcode),
           kResave);
  }
  pickle_.root_ = pop();
  return std::move(pickle_);
}

Pickle read_pickle(std::span<const std::byte> bytes, PickleGlobals globals,
                   const std::string& origin) {
  return Unpickler(bytes, globals, origin).run();
}

}  // namespace nestvit
