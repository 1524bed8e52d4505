// Whether a sanitizer is compiled in: g++ and clang say so by macros of their own.
#pragma once

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NESTVIT_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NESTVIT_SANITIZED
#endif
