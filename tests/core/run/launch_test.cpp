// Which process this is, by the variables of each launcher and by half of them.
#include "run/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <map>

namespace nestvit {
namespace {

Launch launch_with(const std::map<std::string, std::string>& variables) {
  return read_launch([&](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  });
}

TEST(Launch, AloneWithoutALauncher) {
  const Launch launch = launch_with({});
  EXPECT_EQ(launch.size, 1);
  EXPECT_EQ(launch.rank, 0);
}

TEST(Launch, Torchrun) {
  const Launch launch = launch_with({{"RANK", "5"},
                                     {"WORLD_SIZE", "8"},
                                     {"LOCAL_RANK", "1"},
                                     {"LOCAL_WORLD_SIZE", "4"},
                                     {"MASTER_ADDR", "node0"},
                                     {"MASTER_PORT", "12345"},
                                     {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                     {"TORCHELASTIC_RESTART_COUNT", "2"}});
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 4);
  EXPECT_EQ(launch.host, "node0");
  EXPECT_EQ(launch.port, 12345);
  EXPECT_TRUE(launch.meeting_point_held);
  EXPECT_FALSE(launch.bound);
  EXPECT_EQ(launch.restarts, 2);
}

TEST(Launch, Srun) {
  const Launch launch = launch_with({{"SLURM_PROCID", "3"},
                                     {"SLURM_STEP_NUM_TASKS", "4"},
                                     {"SLURM_LOCALID", "1"},
                                     {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                                     {"SLURM_STEP_NODELIST", "gpu[07-08]"},
                                     {"SLURM_JOB_ID", "4711"}});
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 2);
  EXPECT_EQ(launch.host, "gpu07");
  EXPECT_EQ(launch.port, 24711);
  EXPECT_TRUE(launch.bound);
}

TEST(Launch, SrunThatSpeaksPmiToo) {
  const Launch launch = launch_with({{"PMI_RANK", "3"},
                                     {"PMI_SIZE", "4"},
                                     {"SLURM_PROCID", "3"},
                                     {"SLURM_STEP_NUM_TASKS", "4"},
                                     {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                                     {"SLURM_STEP_NODELIST", "a,b"}});
  EXPECT_EQ(launch.host, "a");
  EXPECT_EQ(launch.local_size, 2);
}

// Neither a shell of salloc nor a batch script was started by srun.
TEST(Launch, AnAllocationIsNoJob) {
  EXPECT_EQ(launch_with({{"SLURM_NTASKS", "8"}, {"SLURM_JOB_ID", "1"}}).size, 1);
  EXPECT_EQ(launch_with({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}).size, 1);
}

TEST(Launch, OpenMpi) {
  const std::map<std::string, std::string> variables = {{"OMPI_COMM_WORLD_RANK", "1"},
                                                        {"OMPI_COMM_WORLD_SIZE", "4"},
                                                        {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
  const Launch launch = launch_with(variables);
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.host, "127.0.0.1");
  auto two_hosts = variables;
  two_hosts["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  EXPECT_THROW(launch_with(two_hosts), UsageError);
  two_hosts["MASTER_ADDR"] = "10.0.0.1";
  EXPECT_EQ(launch_with(two_hosts).host, "10.0.0.1");
  // mpirun's daemons were started by srun, and their variables are not this job's.
  two_hosts["SLURM_PROCID"] = "0";
  two_hosts["SLURM_STEP_NUM_TASKS"] = "1";
  two_hosts["SLURM_STEP_NODELIST"] = "elsewhere";
  two_hosts.erase("SLURM_PROCID");
  EXPECT_EQ(launch_with(two_hosts).host, "10.0.0.1");
}

TEST(Launch, PmiBeforeOpenMpiAndAfterTorchrun) {
  std::map<std::string, std::string> variables = {{"PMI_RANK", "1"},
                                                  {"PMI_SIZE", "2"},
                                                  {"OMPI_COMM_WORLD_RANK", "0"},
                                                  {"OMPI_COMM_WORLD_SIZE", "3"}};
  EXPECT_EQ(launch_with(variables).size, 2);
  variables["RANK"] = "3";
  variables["WORLD_SIZE"] = "4";
  EXPECT_EQ(launch_with(variables).size, 4);
}

TEST(Launch, RefusesWhatMakesNoSense) {
  EXPECT_THROW(launch_with({{"WORLD_SIZE", "4"}}), UsageError);
  EXPECT_THROW(launch_with({{"RANK", "4"}, {"WORLD_SIZE", "4"}}), UsageError);
  EXPECT_THROW(launch_with({{"RANK", "-1"}, {"WORLD_SIZE", "4"}}), UsageError);
  EXPECT_THROW(launch_with({{"RANK", "x"}, {"WORLD_SIZE", "4"}}), UsageError);
  EXPECT_THROW(launch_with({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "70000"}}),
               UsageError);
  EXPECT_EQ(launch_with({{"WORLD_SIZE", "1"}}).size, 1);
  EXPECT_EQ(launch_with({{"RANK", "3"}}).size, 1) << "a variable of something else";
}

TEST(Launch, FirstHost) {
  EXPECT_EQ(first_host("a"), "a");
  EXPECT_EQ(first_host("a,b"), "a");
  EXPECT_EQ(first_host("node[003-007,9]"), "node003");
  EXPECT_EQ(first_host("node[3,5],other"), "node3");
  EXPECT_EQ(first_host("rack1-n[12-14]-ib,x"), "rack1-n12-ib");
  EXPECT_THROW(first_host("node[3"), UsageError);
  EXPECT_THROW(first_host("node[]"), UsageError);
}

}  // namespace
}  // namespace nestvit
