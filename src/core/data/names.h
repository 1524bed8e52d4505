// Names of classes as people write them: blanks around them, and letters in one case or the other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nestvit {

// Without the blanks at both ends: those of Unicode (the no-break space of web pages, the wide one
// of CJK texts), and marks of no width.
std::string_view trimmed(std::string_view text);

// Says which of `names` differ only in case, a few of them: people rarely mean two classes. "":
// none.
std::string lookalikes(const std::vector<std::string>& names);

}  // namespace nestvit
