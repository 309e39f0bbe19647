// Messages between MPI processes, and the thread that keeps them moving.
#pragma once

#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/pool.h"
#include "core/tensor.h"

namespace katman {

// What a sender thinks its message is part of; goes ahead of everything.
struct MpiHeader {
  enum class Kind : int32_t { all_reduce, all_gather, reduce_scatter, barrier, transfer };
  Kind kind;
  int32_t type;  // DType
  int64_t elements;

  bool operator==(const MpiHeader&) const = default;
  std::string describe() const;  // "all_reduce of F32 [4]"
};
const char* name_of(MpiHeader::Kind kind);

// Throws Error with MPI's own words unless `code` is success.
void check_mpi(int code, const std::string& what);

// Which messages belong together: those of one operation of one group, told apart by their tags.
struct MpiChannel {
  std::vector<int> members;  // [rank], in the world
  int64_t group = 0;         // no two ranks share two groups of one number
  int64_t number = 0;        // of the operation in its group; of the transfer between two ranks

  static constexpr int64_t most_groups = 1 << 17;
  // Below 2^31: group, number modulo 1024, round, and header or data.
  int tag(int round, bool header) const {
    return static_cast<int>(((group * 1024 + number % 1024) * 4 + round) * 2 + header);
  }
};

// One collective or transfer in flight: rounds of messages, with work between them. Used under the
// engine's lock.
class MpiOperation {
 public:
  using Round = std::function<void(MpiOperation&)>;  // works, then posts messages

  MpiOperation(std::string what, MpiHeader header, MpiChannel channel)
      : what(std::move(what)),
        header_(header),
        channel_(std::move(channel)),
        their_headers_(channel_.members.size()) {}

  const std::string what;  // "dp of rank 3: all_reduce number 17", for messages
  std::vector<Round> rounds;
  Tensor in, out, scratch;  // kept alive

  // For rounds.
  void send(int peer, const std::byte* data, int64_t bytes);
  void recv(int peer, std::byte* data, int64_t bytes);

  void begin();
  // Moves on as far as messages have come. Throws when a peer's header differs.
  void advance();
  bool done() const { return done_; }
  std::string missing() const;  // "rank 1, 2 of 4"
  // Gives up: nothing may write into buffers that are about to go.
  void abandon();

 private:
  struct Message {
    int peer;
    bool incoming, header;
    MPI_Request request;
  };
  void post(int peer, const std::byte* out, std::byte* in, int64_t bytes, bool header);
  bool all_arrived();
  void check_header(int peer) const;
  void finish();

  MpiHeader header_;
  MpiChannel channel_;
  std::vector<MpiHeader> their_headers_;  // [rank]
  std::list<Message> messages_;           // of this round
  int round_ = 0;
  bool done_ = false;
};

// Moves all operations of the process along, under one lock: from its own thread while the rank
// computes, and from the rank's thread while that waits.
class MpiEngine {
 public:
  explicit MpiEngine(std::chrono::milliseconds deadline);

  void start(const std::shared_ptr<MpiOperation>& operation);
  // Throws what went wrong, or who is missing after the deadline.
  void wait(MpiOperation& operation);
  // Host memory for what arrives.
  Tensor scratch(DType type, int64_t elements);

 private:
  bool progress(MpiOperation& operation);
  [[noreturn]] void give_up(MpiOperation& operation);
  void advance_all();
  void help(std::stop_token stop);

  const std::chrono::milliseconds deadline_;
  Pool pool_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<std::shared_ptr<MpiOperation>> active_;
  std::map<const MpiOperation*, std::string> failures_;
  std::jthread helper_;  // last: it uses all of the above
};

}  // namespace katman
