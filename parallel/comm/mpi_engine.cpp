#include "parallel/comm/mpi_engine.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace katman {

const char* name_of(MpiHeader::Kind kind) {
  constexpr std::array<const char*, 5> names = {"all_reduce", "all_gather", "reduce_scatter",
                                                "barrier", "transfer"};
  return names[static_cast<size_t>(kind)];
}

std::string MpiHeader::describe() const {
  return fmt::format("{} of {} [{}]", katman::name_of(kind),
                     katman::name_of(static_cast<DType>(type)), elements);
}

void check_mpi(int code, const std::string& what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail("{}: MPI says: {}", what, std::string_view(text, static_cast<size_t>(length)));
}

void MpiOperation::send(int peer, const std::byte* data, int64_t bytes) {
  const auto* header = reinterpret_cast<const std::byte*>(&header_);
  if (round_ == 0) post(peer, header, nullptr, sizeof header_, true);
  post(peer, data, nullptr, bytes, false);
}

void MpiOperation::recv(int peer, std::byte* data, int64_t bytes) {
  auto* header = reinterpret_cast<std::byte*>(&their_headers_[static_cast<size_t>(peer)]);
  if (round_ == 0) post(peer, nullptr, header, sizeof header_, true);
  post(peer, nullptr, data, bytes, false);
}

// MPI counts in int: large messages travel as several.
void MpiOperation::post(int peer, const std::byte* out, std::byte* in, int64_t bytes, bool header) {
  constexpr int64_t most = 1 << 30;
  const int to = channel_.members[static_cast<size_t>(peer)], tag = channel_.tag(round_, header);
  for (int64_t begin = 0; begin < bytes; begin += most) {
    const int count = static_cast<int>(std::min(most, bytes - begin));
    Message& message = messages_.emplace_back(Message{peer, in != nullptr, header, nullptr});
    check_mpi(
        in ? MPI_Irecv(in + begin, count, MPI_BYTE, to, tag, MPI_COMM_WORLD, &message.request)
           : MPI_Isend(out + begin, count, MPI_BYTE, to, tag, MPI_COMM_WORLD, &message.request),
        what);
  }
}

void MpiOperation::begin() {
  if (!rounds.empty()) rounds[0](*this);
  advance();
}

void MpiOperation::advance() {
  while (!done_ && all_arrived()) {
    messages_.clear();
    ++round_;
    if (static_cast<size_t>(round_) < rounds.size())
      rounds[static_cast<size_t>(round_)](*this);
    else
      finish();
  }
}

// Headers first, so that a disagreement is found even where it keeps data from ever coming.
bool MpiOperation::all_arrived() {
  bool all = true;
  for (const bool header : {true, false})
    for (Message& message : messages_) {
      if (message.header != header || message.request == MPI_REQUEST_NULL) continue;
      int arrived = 0;
      check_mpi(MPI_Test(&message.request, &arrived, MPI_STATUS_IGNORE), what);
      all = all && arrived;
      if (arrived && header && message.incoming) check_header(message.peer);
    }
  return all;
}

void MpiOperation::check_header(int peer) const {
  const MpiHeader& theirs = their_headers_[static_cast<size_t>(peer)];
  if (theirs != header_)
    fail("{}: this rank calls {} while rank {} calls {}", what, header_.describe(), peer,
         theirs.describe());
}

std::string MpiOperation::missing() const {
  std::vector<int> ranks;
  for (const Message& message : messages_)
    if (message.request != MPI_REQUEST_NULL) ranks.push_back(message.peer);
  std::ranges::sort(ranks);
  const auto repeated = std::ranges::unique(ranks);
  ranks.erase(repeated.begin(), repeated.end());
  return fmt::format("rank {} of {}", fmt::join(ranks, ", "), channel_.members.size());
}

void MpiOperation::abandon() {
  for (Message& message : messages_) {
    if (message.request == MPI_REQUEST_NULL) continue;
    if (message.incoming) MPI_Cancel(&message.request);
    MPI_Request_free(&message.request);
  }
  finish();
}

void MpiOperation::finish() {
  done_ = true;
  messages_.clear();
  rounds.clear();
  in = out = scratch = Tensor();
}

MpiEngine::MpiEngine(std::chrono::milliseconds deadline)
    : deadline_(deadline),
      pool_(
          [](int64_t bytes) {
            return static_cast<std::byte*>(std::aligned_alloc(256, static_cast<size_t>(bytes)));
          },
          [](std::byte* block) { std::free(block); }),
      helper_([this](std::stop_token stop) { help(stop); }) {}

Tensor MpiEngine::scratch(DType type, int64_t elements) {
  return Tensor(pool_.take(elements * bytes_of(type)), 0, {elements}, type);
}

void MpiEngine::start(const std::shared_ptr<MpiOperation>& operation) {
  const std::lock_guard lock(mutex_);
  operation->begin();
  if (operation->done()) return;
  active_.push_back(operation);
  changed_.notify_one();
}

void MpiEngine::wait(MpiOperation& operation) {
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t turn = 0; !progress(operation); ++turn) {
    // Spin while an answer is likely to be near, then leave the core to others.
    constexpr int64_t patience = 2000;
    if (turn < patience)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (std::chrono::steady_clock::now() - begin > deadline_) give_up(operation);
  }
}

bool MpiEngine::progress(MpiOperation& operation) {
  const std::lock_guard lock(mutex_);
  if (!operation.done()) advance_all();
  const auto failed = failures_.find(&operation);
  if (failed != failures_.end()) throw Error(failed->second);
  return operation.done();
}

void MpiEngine::give_up(MpiOperation& operation) {
  const std::lock_guard lock(mutex_);
  const std::string missing = operation.missing();
  operation.abandon();
  fail("{} waited {} ms for {}", operation.what, deadline_.count(), missing);
}

void MpiEngine::advance_all() {
  for (auto it = active_.begin(); it != active_.end();) {
    MpiOperation& operation = **it;
    try {
      operation.advance();
    } catch (const Error& error) {
      failures_[&operation] = error.what();
      operation.abandon();
    }
    it = operation.done() ? active_.erase(it) : std::next(it);
  }
}

void MpiEngine::help(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !active_.empty(); })) {
    advance_all();
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    lock.lock();
  }
}

}  // namespace katman
