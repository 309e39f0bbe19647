#include "tests/parallel/comm/fake_nccl.h"

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/support/far_memory.h"
#include "tests/support/far_queue.h"

namespace katman::testing {
namespace {

struct Message {
  const std::byte* data;
  size_t bytes;
  bool taken = false;
};

// Where the ranks of one communicator meet.
struct Meeting {
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0, connected = 0;
  bool aborted = false;
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Message>>> mail;  // [from, to]

  template <class Condition>
  bool wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    changed.wait(lock, [&] { return aborted || condition(); });
    return !aborted;
  }
  std::shared_ptr<Message> put(int from, int to, const std::byte* data, size_t bytes) {
    const std::lock_guard lock(mutex);
    auto message = std::make_shared<Message>(Message{data, bytes});
    mail[{from, to}].push_back(message);
    changed.notify_all();
    return message;
  }
  void take(int from, int to, std::byte* data, size_t bytes) {
    std::unique_lock lock(mutex);
    auto& waiting = mail[{from, to}];
    if (!wait(lock, [&] { return !waiting.empty(); })) return;
    const auto message = waiting.front();
    waiting.pop_front();
    require(message->bytes == bytes, "NCCL would hang: {} bytes are sent, {} received",
            message->bytes, bytes);
    std::memcpy(data, message->data, bytes);
    message->taken = true;
    changed.notify_all();
  }
  void until_taken(const Message& message) {
    std::unique_lock lock(mutex);
    wait(lock, [&] { return message.taken; });
  }
};

struct FakeComm {
  std::shared_ptr<Meeting> meeting;
  int rank = 0, ranks = 1;
  bool connected = false;
};
FakeComm& fake(ncclComm_t comm) { return *reinterpret_cast<FakeComm*>(comm); }

struct Half {
  bool sending;
  FakeComm comm;
  int peer;
  std::byte* data;
  size_t bytes;
};

// All at once, as in a group: nothing waits before everything has been offered.
void transfer(const std::vector<Half>& halves) {
  std::vector<std::pair<std::shared_ptr<Message>, Meeting*>> offered;
  for (const Half& half : halves)
    if (half.sending)
      offered.emplace_back(half.comm.meeting->put(half.comm.rank, half.peer, half.data, half.bytes),
                           half.comm.meeting.get());
  for (const Half& half : halves)
    if (!half.sending) half.comm.meeting->take(half.peer, half.comm.rank, half.data, half.bytes);
  for (const auto& [message, meeting] : offered) meeting->until_taken(*message);
}

void enqueue(FarQueue* stream, std::vector<Half> halves) {
  stream->enqueue([halves = std::move(halves)] { transfer(halves); });
}

// A group under way on this thread.
thread_local int depth = 0;
thread_local FarQueue* group_stream = nullptr;
thread_local FakeComm* group_comm = nullptr;
thread_local std::vector<Half> group;

// The first transfer of a communicator makes its connections: the call itself waits for the others.
ncclResult_t connect(FakeComm& comm) {
  if (std::exchange(comm.connected, true)) return ncclSuccess;
  const auto meeting = comm.meeting;  // an abort takes the communicator away
  const int ranks = comm.ranks;
  std::unique_lock lock(meeting->mutex);
  ++meeting->connected;
  meeting->changed.notify_all();
  const bool all = meeting->wait(lock, [&] { return meeting->connected == ranks; });
  return all ? ncclSuccess : ncclInternalError;
}

ncclResult_t group_start() {
  ++depth;
  return ncclSuccess;
}
ncclResult_t group_end() {
  if (--depth > 0 || !group_stream) return ncclSuccess;
  FarQueue* const stream = std::exchange(group_stream, nullptr);
  auto halves = std::exchange(group, {});
  if (const auto result = connect(*group_comm); result != ncclSuccess) return result;
  enqueue(stream, std::move(halves));
  return ncclSuccess;
}

ncclResult_t add(const Half& half, ncclComm_t comm, cudaStream_t stream) {
  group_start();
  group.push_back(half);
  group_stream = reinterpret_cast<FarQueue*>(stream);
  group_comm = &fake(comm);
  return group_end();
}

size_t size_of(ncclDataType_t type) { return type == ncclUint8 ? 1 : type == ncclBfloat16 ? 2 : 4; }

Half half_of(bool sending, const void* data, size_t count, ncclDataType_t type, int peer,
             ncclComm_t comm) {
  return {sending, fake(comm), peer,
          FarMemory::of_process().near(static_cast<const std::byte*>(data)), count * size_of(type)};
}

ncclResult_t send(const void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                  cudaStream_t stream) {
  return add(half_of(true, data, count, type, peer, comm), comm, stream);
}
ncclResult_t recv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                  cudaStream_t stream) {
  return add(half_of(false, data, count, type, peer, comm), comm, stream);
}
ncclResult_t all_gather(const void* mine, void* all, size_t count, ncclDataType_t type,
                        ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * size_of(type);
  group_start();
  for (int peer = 0; peer < fake(comm).ranks; ++peer) {
    send(mine, count, type, peer, comm, stream);
    recv(static_cast<std::byte*>(all) + static_cast<size_t>(peer) * bytes, count, type, peer, comm,
         stream);
  }
  return group_end();
}

ncclResult_t get_unique_id(ncclUniqueId* id) {
  static std::atomic<uint64_t> next = 1;
  const uint64_t number = next++;
  *id = {};
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t init_rank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<Meeting>> meetings;
  std::shared_ptr<Meeting> meeting;
  {
    const std::lock_guard lock(mutex);
    auto& found = meetings[std::string(id.internal, sizeof id.internal)];
    if (!found) found = std::make_shared<Meeting>();
    meeting = found;
  }
  std::unique_lock lock(meeting->mutex);
  ++meeting->arrived;
  meeting->changed.notify_all();
  meeting->wait(lock, [&] { return meeting->arrived == ranks; });
  *comm = reinterpret_cast<ncclComm_t>(new FakeComm{meeting, rank, ranks});
  return ncclSuccess;
}

ncclResult_t destroy(ncclComm_t comm) {
  delete &fake(comm);
  return ncclSuccess;
}
ncclResult_t abort(ncclComm_t comm) {
  {
    Meeting& meeting = *fake(comm).meeting;
    const std::lock_guard lock(meeting.mutex);
    meeting.aborted = true;
    meeting.changed.notify_all();
  }
  return destroy(comm);
}
ncclResult_t async_error(ncclComm_t comm, ncclResult_t* error) {
  Meeting& meeting = *fake(comm).meeting;
  const std::lock_guard lock(meeting.mutex);
  *error = meeting.aborted ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}
ncclResult_t get_version(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
const char* error_string(ncclResult_t) { return "an error of the fake"; }

}  // namespace

NcclApi fake_nccl() {
  NcclApi api;
  api.get_version = get_version;
  api.error_string = error_string;
  api.get_unique_id = get_unique_id;
  api.init_rank = init_rank;
  api.destroy = destroy;
  api.abort = abort;
  api.async_error = async_error;
  api.group_start = group_start;
  api.group_end = group_end;
  api.send = send;
  api.recv = recv;
  api.all_gather = all_gather;
  return api;
}

}  // namespace katman::testing
