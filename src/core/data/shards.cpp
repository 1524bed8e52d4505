// Threads and advice to the system for the files of a dataset.
#include "data/shards.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace nestvit {

void each_shard(size_t count, const std::function<void(size_t)>& work) {
  std::vector<std::exception_ptr> failures(count);
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  const auto loop = [&] {
    for (size_t i; (i = next++) < count && !failed;) try {
        work(i);
      } catch (...) {
        failures[i] = std::current_exception();
        failed = true;
      }
  };
  constexpr size_t kThreads = 16;
  {
    std::vector<std::jthread> threads;
    for (size_t t = 1; t < std::min(kThreads, count); ++t) threads.emplace_back(loop);
    loop();
  }
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

void in_jumps(std::span<const std::byte> file, const std::function<void()>& pass) {
  const auto advise = [&](int advice) {
    if (!file.empty()) ::madvise(const_cast<std::byte*>(file.data()), file.size(), advice);
  };
  advise(MADV_RANDOM);
  pass();
  advise(MADV_NORMAL);
  advise(MADV_DONTNEED);  // what was in memory anyway does not stay mapped
}

}  // namespace nestvit
