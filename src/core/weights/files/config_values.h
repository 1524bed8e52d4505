// The values of config.json's keys: read only where they are of the type that belongs there.
// Include this only where config.json is read: the JSON library is large.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nestvit::config_values {

// Throws Error: "KEY" is got, expected what.
[[noreturn]] void wrong(const std::string& key, const nlohmann::json& got,
                        const std::string& expected);

// The value of a key, or nothing when it is absent or null, or `object` is no object.
const nlohmann::json* find(const nlohmann::json& object, const std::string& key);

// The value; they throw as wrong().
int whole(const nlohmann::json& value, const std::string& key);  // from 0 to a million
double number(const nlohmann::json& value, const std::string& key);
std::string word(const nlohmann::json& value, const std::string& key);

// The value of the key, if there is one.
void read(const nlohmann::json& object, const std::string& key, int& target);
void read(const nlohmann::json& object, const std::string& key, double& target);
void read(const nlohmann::json& object, const std::string& key, std::vector<double>& target);

}  // namespace nestvit::config_values
