// The text of a list of images as rows: fields, and which columns hold path, label and part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace nestvit {

struct ListRow {
  std::string path;
  std::string label;
  std::string part;  // what the column of parts holds; "" where there is none
  int64_t line = 0;  // from 1, of the file
  size_t end = 0;    // where it ends, in bytes
};

// The columns that are read, as the first row calls them; all empty where it names none.
struct ListColumns {
  std::string path, label;
  std::string part;               // "": no column of parts
  bool part_is_flag = false;      // as fastai's "is_valid": true or false
  std::vector<std::string> rest;  // not read
};

// RFC 4180 with leave for blanks: fields in double quotes may hold delimiters, line breaks and
// doubled quotes; blanks around fields are dropped, and so are those around a label in quotes. Rows
// of empty fields are left out.
//
// A first row in which no field names an image can name the columns (column_rule). Without names a
// row has exactly two fields, and a first row is left out if its path is the only one that does not
// name an image. Throws Error naming the line.
void each_row(std::string_view text, char delimiter, const std::string& origin,
              const std::function<void(const ListRow&, const ListColumns&)>& visit);
std::vector<ListRow> parse_list(std::string_view text, char delimiter, const std::string& origin);

// How the columns are found by their names, for people.
std::string column_rule();

// Tab for .tsv; else the one of comma, tab and semicolon with which the first row names columns, or
// else that it holds.
char list_delimiter(const std::filesystem::path& path, std::string_view text);

}  // namespace nestvit
