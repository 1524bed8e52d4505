// Looking into a page: words in it, and the values of attributes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace nestvit::testing {

inline size_t count(const std::string& text, const std::string& word) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) ++found;
  return found;
}

// The values of all attributes NAME="value".
inline std::vector<std::string> attributes(const std::string& html, const std::string& name) {
  std::vector<std::string> values;
  const std::string start = name + "=\"";
  for (size_t at = html.find(start); at != std::string::npos; at = html.find(start, at + 1)) {
    const size_t begin = at + start.size();
    values.push_back(html.substr(begin, html.find('"', begin) - begin));
  }
  return values;
}

}  // namespace nestvit::testing
