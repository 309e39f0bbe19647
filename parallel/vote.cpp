#include "parallel/vote.h"

#include <array>
#include <cmath>

namespace katman {
namespace {

enum Slot { loss_slot, norm_slot, low_slot, high_slot, stop_slot, save_slot, pause_slot, slots };

// Counts travel as two digits of this base, so that their sums stay exact in f32.
constexpr int64_t base = 1 << 12;

}  // namespace

bool Verdict::bad() const { return !std::isfinite(loss_sum) || !std::isfinite(squared_norm); }
double Verdict::loss() const { return tokens ? loss_sum / static_cast<double>(tokens) : 0; }
double Verdict::grad_norm() const {
  return tokens ? std::sqrt(squared_norm) / static_cast<double>(tokens) : 0;
}

Vote::Vote(Backend& backend, Comm& world)
    : backend_(backend), world_(world), ballot_(backend.zeros({slots}, DType::f32)) {}

void Vote::clear() { backend_.fill_zero(ballot_); }

Verdict Vote::collect(int64_t tokens, Wishes mine) {
  std::array<float, slots> numbers{};
  numbers[low_slot] = static_cast<float>(tokens % base);
  numbers[high_slot] = static_cast<float>(tokens / base);
  numbers[stop_slot] = mine.stop;
  numbers[save_slot] = mine.save;
  numbers[pause_slot] = mine.pause;
  backend_.upload(&numbers[low_slot], ballot_.slice(low_slot, slots - low_slot));
  world_.all_reduce(ballot_).wait();
  backend_.download(ballot_, numbers.data());
  Verdict verdict;
  verdict.loss_sum = numbers[loss_slot];
  verdict.squared_norm = numbers[norm_slot];
  verdict.tokens =
      static_cast<int64_t>(numbers[high_slot]) * base + static_cast<int64_t>(numbers[low_slot]);
  verdict.agreed = {numbers[stop_slot] > 0, numbers[save_slot] > 0, numbers[pause_slot] > 0};
  return verdict;
}

}  // namespace katman
