// What cards say: the question, the path, units.
#pragma once

#include <string>

#include "explain/explanation.h"

namespace nestvit {

// 0 to 3: "top left", "top right", "bottom left", "bottom right".
std::string quadrant_name(int quadrant);

// "61 %", "−8 %".
std::string share_words(double share);

// 'Why "cat"?', 'Why "cat" rather than "dog"?'
std::string question_words(const ExplanationRecord& why);

// "Path: 1 top left (61 %) → 2 bottom right (48 %)"; a step that nothing decides says so.
std::string path_words(const Tree& tree);

// "gradcat · input · conservative · ascent"
std::string method_words(const ExplanationRecord& why);

// Of a heat map's values: "share of the logit".
std::string unit_words(const ExplanationRecord& why);

}  // namespace nestvit
