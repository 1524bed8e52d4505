// NESTVIT_CHECK, for our own bugs. Mistakes of users are a nestvit::Error (nestvit/error.h).
#pragma once

#include <stdexcept>

#define NESTVIT_STRING_(x) #x
#define NESTVIT_STRING(x) NESTVIT_STRING_(x)
#define NESTVIT_CHECK(condition)                                         \
  do {                                                                   \
    if (!(condition))                                                    \
      throw std::logic_error("internal error: " #condition " (" __FILE__ \
                             ":" NESTVIT_STRING(__LINE__) ")");          \
  } while (false)
