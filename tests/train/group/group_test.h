// Groups whose members are threads of this process.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "train/group/group.h"
#include "train/group/rendezvous.h"

namespace nestvit::train {

class GroupTest : public ::testing::Test {
 protected:
  static constexpr GroupOptions kShort{std::chrono::seconds(5), std::chrono::seconds(2)};

  Launch member(int rank, int size) const {
    Launch launch;
    launch.rank = rank;
    launch.size = launch.local_size = size;
    launch.port = place_.port();
    launch.meeting_point_held = true;
    return launch;
  }
  // Runs `work` as each of `size` members; returns what they threw.
  std::vector<std::string> run(int size, const std::function<void(Group&)>& work) const {
    std::vector<std::string> errors(size);
    std::vector<std::thread> members;
    for (int rank = 0; rank < size; ++rank)
      members.emplace_back([&, rank] {
        try {
          Group group(member(rank, size), kShort);
          work(group);
        } catch (const std::exception& e) {
          errors[rank] = e.what();
        }
      });
    for (std::thread& thread : members) thread.join();
    return errors;
  }

  MeetingPoint place_;
};

}  // namespace nestvit::train
