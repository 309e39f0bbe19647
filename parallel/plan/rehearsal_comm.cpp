#include "parallel/plan/rehearsal_comm.h"

#include <utility>

namespace katman {
namespace {

class RehearsalComm : public Comm {
 public:
  RehearsalComm(int rank, int size, std::string name, double* sent_bytes)
      : rank_(rank), size_(size), name_(std::move(name)), sent_bytes_(sent_bytes) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }
  std::unique_ptr<Comm> split(int, int, const std::string& name) override {
    fail("{}: a rehearsal has its groups already, and {} is not one of them", name_, name);
  }

  Work all_reduce(const Tensor& t) override { return sent(2 * share() * bytes(t)); }
  Work all_gather(const Tensor&, const Tensor& all) override { return sent(share() * bytes(all)); }
  Work reduce_scatter(const Tensor& all, const Tensor&) override {
    return sent(share() * bytes(all));
  }
  Work send(const Tensor& t, int) override { return sent(bytes(t)); }
  Work recv(const Tensor&, int) override { return {}; }
  void barrier() override {}

 private:
  static double bytes(const Tensor& t) { return static_cast<double>(t.bytes()); }
  double share() const { return (size_ - 1.0) / size_; }
  Work sent(double bytes) {
    if (sent_bytes_) *sent_bytes_ += bytes;
    return {};
  }

  int rank_, size_;
  std::string name_;
  double* sent_bytes_;
};

}  // namespace

std::unique_ptr<Comm> rehearsal_world(const Mesh& mesh, int rank) {
  return std::make_unique<RehearsalComm>(rank, mesh.size(), "world of a rehearsal", nullptr);
}

Groups rehearsal_groups(const Mesh& mesh, int rank, Traffic& traffic) {
  const Place place = mesh.place(rank);
  const auto group = [](int rank, int size, const char* name, double& bytes) {
    return std::make_unique<RehearsalComm>(rank, size, name, &bytes);
  };
  Groups groups(mesh, place);
  groups.tp = group(place.tp, mesh.tp, "tp of a rehearsal", traffic.tp_bytes);
  groups.dp = group(place.dp, mesh.dp, "dp of a rehearsal", traffic.dp_bytes);
  groups.pp = group(place.pp, mesh.pp, "pp of a rehearsal", traffic.pp_bytes);
  const bool first = place.pp == 0, last = place.pp == mesh.pp - 1, both = mesh.pp > 1;
  groups.embedding = group(last && both ? 1 : 0, (first || last) && both ? 2 : 1,
                           "embedding of a rehearsal", traffic.pp_bytes);
  return groups;
}

}  // namespace katman
