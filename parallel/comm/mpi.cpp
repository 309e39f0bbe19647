#include "parallel/comm/mpi.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <numeric>

#include "core/sum.h"
#include "parallel/comm/mpi_engine.h"
#include "parallel/comm/slices.h"

namespace katman {
namespace {

// The rounds of every collective, for one rank of a group. A value, so that an operation in flight
// depends on nothing that may be gone.
struct Team {
  int rank = 0, size = 1;

  template <class Use>
  void for_peers(Use use) const {
    for (int step = 1; step < size; ++step) use((rank + step) % size);
  }
  Tensor slice(const Tensor& t, int of) const {
    const int64_t begin = t.elements() * of / size, end = t.elements() * (of + 1) / size;
    return t.flat().slice(begin, end - begin);
  }
  // The part of the scratch that holds what `from` sent me.
  Tensor received(const MpiOperation& op, int from) const {
    const int64_t part = op.scratch.elements() / size;
    return op.scratch.slice(part * from, part);
  }

  void send_all_to_all(MpiOperation& op) const {
    for_peers([&](int peer) {
      op.send(peer, op.in.raw(), op.in.bytes());
      op.recv(peer, received(op, peer).raw(), op.in.bytes());
    });
  }
  void send_slices_to_owners(MpiOperation& op) const {
    for_peers([&](int peer) {
      const Tensor theirs = slice(op.in, peer), mine = received(op, peer);
      op.send(peer, theirs.raw(), theirs.bytes());
      op.recv(peer, mine.raw(), mine.bytes());
    });
  }
  void send_my_slice_to_all(MpiOperation& op) const {
    const Tensor mine = slice(op.out, rank);
    for_peers([&](int peer) {
      const Tensor theirs = slice(op.out, peer);
      op.send(peer, mine.raw(), mine.bytes());
      op.recv(peer, theirs.raw(), theirs.bytes());
    });
  }
  void send_nothing_to_all(MpiOperation& op) const {
    for_peers([&](int peer) {
      op.send(peer, nullptr, 0);
      op.recv(peer, nullptr, 0);
    });
  }
  // out = the sum of what all ranks have sent, `mine` being my part of it.
  void sum(const MpiOperation& op, const Tensor& mine, const Tensor& out) const {
    std::vector<const std::byte*> parts;
    for (int from = 0; from < size; ++from)
      parts.push_back(from == rank ? mine.raw() : received(op, from).raw());
    sum_parts(parts, mine.dtype(), mine.elements(), out.raw());
  }
};

class MpiComm : public Comm {
 public:
  using Kind = MpiHeader::Kind;

  MpiComm(MpiEngine& engine, std::vector<int> members, int rank, int64_t group, std::string name)
      : engine_(engine),
        members_(std::move(members)),
        team_{rank, static_cast<int>(members_.size())},
        group_(group),
        next_group_(group + 1),
        name_(std::move(name)) {}

  int rank() const override { return team_.rank; }
  int size() const override { return team_.size; }
  const std::string& name() const override { return name_; }

  Work all_reduce(const Tensor& t) override {
    require_summable(t.dtype(), name_ + ": all_reduce");
    constexpr int64_t small_bytes = 16 << 10;
    const bool small = t.bytes() <= small_bytes;
    const int64_t part = small ? t.elements() : team_.slice(t, rank()).elements();
    return start(Kind::all_reduce, t, t, part * size(), small ? at_once() : by_slices());
  }

  Work all_gather(const Tensor& mine, const Tensor& all) override {
    require_slices(*this, mine, all, "all_gather");
    return start(Kind::all_gather, mine, all, 0, {[team = team_](MpiOperation& op) {
                   const Tensor place = team.slice(op.out, team.rank);
                   if (place.bytes() > 0)
                     std::memmove(place.raw(), op.in.raw(), static_cast<size_t>(place.bytes()));
                   team.send_my_slice_to_all(op);
                 }});
  }

  Work reduce_scatter(const Tensor& all, const Tensor& mine) override {
    require_summable(all.dtype(), name_ + ": reduce_scatter");
    require_slices(*this, mine, all, "reduce_scatter");
    return start(
        Kind::reduce_scatter, all, mine, all.elements(),
        {[team = team_](MpiOperation& op) { team.send_slices_to_owners(op); },
         [team = team_](MpiOperation& op) { team.sum(op, team.slice(op.in, team.rank), op.out); }});
  }

  void barrier() override {
    start(Kind::barrier, {}, {}, 0,
          {[team = team_](MpiOperation& op) { team.send_nothing_to_all(op); }})
        .wait();
  }

  Work send(const Tensor& t, int to) override {
    const int64_t number = next_transfer(sent_, to, "send to");
    return begin(Kind::transfer, t, t, 0,
                 {[to](MpiOperation& op) { op.send(to, op.in.raw(), op.in.bytes()); }},
                 {members_, 2 * group_ + 1, number}, fmt::format("send to rank {}", to));
  }
  Work recv(const Tensor& t, int from) override {
    const int64_t number = next_transfer(received_, from, "recv from");
    return begin(Kind::transfer, t, t, 0,
                 {[from](MpiOperation& op) { op.recv(from, op.out.raw(), op.out.bytes()); }},
                 {members_, 2 * group_ + 1, number}, fmt::format("recv from rank {}", from));
  }

  std::unique_ptr<Comm> split(int color, int key, const std::string& name) override {
    // A new group's number is larger than any that one of its members has seen, so that no two
    // ranks share two groups of one number.
    const Tensor all = engine_.scratch(DType::i32, 3 * size());
    const Tensor mine = team_.slice(all, rank());
    const std::array<int, 3> answer = {color, key, static_cast<int>(next_group_)};
    std::ranges::copy(answer, mine.data<int32_t>());
    all_gather(mine, all).wait();
    const int32_t* answers = all.data<int32_t>();
    for (int rank = 0; rank < size(); ++rank)
      next_group_ = std::max<int64_t>(next_group_, answers[3 * rank + 2]);
    require(2 * next_group_ + 1 < MpiChannel::most_groups, "{} was split too often", name_);
    std::vector<int> order(members_.size());
    std::iota(order.begin(), order.end(), 0);
    std::erase_if(order, [&](int rank) { return answers[3 * rank] != color; });
    std::ranges::stable_sort(order, {}, [&](int rank) { return answers[3 * rank + 1]; });
    std::vector<int> members;
    for (int rank : order) members.push_back(members_[static_cast<size_t>(rank)]);
    const auto place = std::ranges::find(order, rank()) - order.begin();
    return std::make_unique<MpiComm>(engine_, std::move(members), static_cast<int>(place),
                                     next_group_++, name);
  }

 private:
  using Rounds = std::vector<MpiOperation::Round>;

  class Waiting : public Work::State {
   public:
    Waiting(MpiEngine& engine, std::shared_ptr<MpiOperation> operation)
        : engine_(engine), operation_(std::move(operation)) {}
    void wait() override { engine_.wait(*operation_); }

   private:
    MpiEngine& engine_;
    std::shared_ptr<MpiOperation> operation_;
  };

  Rounds at_once() const {
    return {[team = team_](MpiOperation& op) { team.send_all_to_all(op); },
            [team = team_](MpiOperation& op) { team.sum(op, op.in, op.out); }};
  }
  Rounds by_slices() const {
    return {[team = team_](MpiOperation& op) { team.send_slices_to_owners(op); },
            [team = team_](MpiOperation& op) {
              const Tensor mine = team.slice(op.out, team.rank);
              team.sum(op, mine, mine);
              team.send_my_slice_to_all(op);
            }};
  }

  // A collective; `scratch` elements are for what arrives.
  Work start(Kind kind, const Tensor& in, const Tensor& out, int64_t scratch, Rounds rounds) {
    return begin(kind, in, out, scratch, std::move(rounds), {members_, 2 * group_, number_++},
                 katman::name_of(kind));
  }
  Work begin(Kind kind, const Tensor& in, const Tensor& out, int64_t scratch, Rounds rounds,
             MpiChannel channel, const std::string& verb) {
    const int64_t elements = !in ? 0 : std::max(in.elements(), out.elements());
    const MpiHeader header{kind, static_cast<int32_t>(in.dtype()), elements};
    auto operation = std::make_shared<MpiOperation>(
        fmt::format("{}: {} number {}", name_, verb, channel.number), header, std::move(channel));
    operation->in = in;
    operation->out = out;
    operation->scratch = engine_.scratch(in.dtype(), scratch);
    operation->rounds = std::move(rounds);
    engine_.start(operation);
    return Work(std::make_unique<Waiting>(engine_, std::move(operation)));
  }

  int64_t next_transfer(std::map<int, int64_t>& numbers, int peer, const char* verb) {
    require(peer >= 0 && peer < size() && peer != rank(), "{}: there is no {} rank {}", name_, verb,
            peer);
    return numbers[peer]++;
  }

  MpiEngine& engine_;
  std::vector<int> members_;  // [rank], in the world
  Team team_;
  int64_t group_, next_group_;
  std::string name_;
  int64_t number_ = 0;                      // of the next collective
  std::map<int, int64_t> sent_, received_;  // [peer], transfers
};

}  // namespace

bool MpiSession::launched() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMIX_RANK") || std::getenv("PMI_RANK");
}

MpiSession::MpiSession(std::chrono::milliseconds deadline)
    : exceptions_(std::uncaught_exceptions()) {
  int provided = 0, found = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "starting MPI");
  require(provided >= MPI_THREAD_SERIALIZED,
          "this MPI cannot be used from two threads in turn; use one built with thread support");
  int* most_tag = nullptr;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &most_tag, &found);
  const int needed = MpiChannel{{}, MpiChannel::most_groups, 0}.tag(0, false);
  require(found && *most_tag >= needed, "this MPI has {} message tags, and {} are needed",
          found ? *most_tag : 0, needed);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  engine_ = std::make_unique<MpiEngine>(deadline);
}

MpiSession::~MpiSession() {
  engine_.reset();
  if (std::uncaught_exceptions() == exceptions_) MPI_Finalize();
}

std::unique_ptr<Comm> MpiSession::world() {
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  std::vector<int> members(static_cast<size_t>(size));
  std::iota(members.begin(), members.end(), 0);
  return std::make_unique<MpiComm>(*engine_, std::move(members), rank, 0,
                                   fmt::format("world of rank {}", rank));
}

}  // namespace katman
