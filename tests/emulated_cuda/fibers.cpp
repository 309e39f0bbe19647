#include "tests/emulated_cuda/fibers.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the callee's registers on this stack, its top in *save, and goes on with another stack.
extern "C" void emulated_switch(void** save, void* load);
asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulated_switch, .-emulated_switch
.section .note.GNU-stack,"",@progbits
.text
)");

namespace emulated {
namespace {

constexpr size_t stack_bytes = 256 << 10;
constexpr size_t widest_value = 32;  // of a warp operation

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Fiber {
  std::byte* stack = nullptr;
  void* top = nullptr;
  void* sanitizer_stack = nullptr;
  enum class State { ready, at_barrier, in_warp, done } state = State::ready;
  std::vector<std::vector<Copy>> groups;  // closed, in order; the last one is open
};

// Lanes that meet. Two sets of slots: a lane may be one meeting ahead of its slowest neighbour.
struct Warp {
  const char* name = nullptr;
  unsigned lanes = 0, arrived = 0;
  unsigned long meetings = 0;
  alignas(32) std::byte slots[2][32 * widest_value];
};

class Block {
 public:
  Block() = default;
  ~Block() {
    for (Fiber& fiber : fibers_)
      if (fiber.stack) munmap(fiber.stack, stack_bytes);
  }
  void run(unsigned threads, unsigned long seed, size_t shared_bytes,
           const std::function<void()>& thread);
  void barrier();
  const void* together(const char* name, unsigned lanes, const void* mine, size_t bytes);
  std::byte* shared() { return shared_.get(); }
  unsigned current() const { return current_; }
  Fiber& fiber() { return fibers_[current_]; }

 private:
  void prepare(Fiber& fiber);
  void resume(unsigned index);
  void leave();  // back to the scheduler
  [[noreturn]] void stuck() const;
  static void enter();

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::unique_ptr<std::byte, decltype(&std::free)> shared_{nullptr, std::free};
  const std::function<void()>* thread_ = nullptr;
  unsigned threads_ = 0, current_ = 0, waiting_ = 0, done_ = 0;
  void* scheduler_ = nullptr;
  void* scheduler_sanitizer_ = nullptr;
  const void* host_stack_ = nullptr;
  size_t host_stack_bytes_ = 0;
};

thread_local Block block;

[[noreturn]] void stop(const char* why) {
  std::fprintf(stderr, "emulated CUDA: %s (block %u,%u,%u)\n", why, blockIdx.x, blockIdx.y,
               blockIdx.z);
  std::abort();
}

emulated_coordinates coordinates_of(unsigned index) {
  return {index % blockDim.x, index / blockDim.x % blockDim.y, index / blockDim.x / blockDim.y};
}

void Block::enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.host_stack_, &block.host_stack_bytes_);
#endif
  (*block.thread_)();
  block.fiber().state = Fiber::State::done;
  ++block.done_;
  block.leave();
  std::abort();  // nobody resumes what is done
}

void Block::prepare(Fiber& fiber) {
  if (!fiber.stack) {
    void* memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) stop("no memory for the stack of a thread");
    fiber.stack = static_cast<std::byte*>(memory);
  }
  // As if enter() had been called: six registers below its address, and the alignment of a call.
  auto* top = reinterpret_cast<void**>(fiber.stack + stack_bytes) - 2;
  *top = reinterpret_cast<void*>(&Block::enter);
  fiber.top = top - 6;
  fiber.state = Fiber::State::ready;
  fiber.groups.assign(1, {});
}

void Block::resume(unsigned index) {
  current_ = index;
  threadIdx = coordinates_of(index);
  Fiber& fiber = fibers_[index];
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_sanitizer_, fiber.stack, stack_bytes);
#endif
  emulated_switch(&scheduler_, fiber.top);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_sanitizer_, nullptr, nullptr);
#endif
}

void Block::leave() {
  Fiber& mine = fiber();
#if defined(__SANITIZE_ADDRESS__)
  const bool done = mine.state == Fiber::State::done;
  __sanitizer_start_switch_fiber(done ? nullptr : &mine.sanitizer_stack, host_stack_,
                                 host_stack_bytes_);
#endif
  emulated_switch(&mine.top, scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(mine.sanitizer_stack, &host_stack_, &host_stack_bytes_);
#endif
}

void Block::run(unsigned threads, unsigned long seed, size_t shared_bytes,
                const std::function<void()>& thread) {
  threads_ = threads;
  thread_ = &thread;
  waiting_ = done_ = 0;
  if (fibers_.size() < threads) fibers_.resize(threads);
  for (unsigned i = 0; i < threads; ++i) prepare(fibers_[i]);
  warps_.assign((threads + 31) / 32, {});
  shared_.reset(static_cast<std::byte*>(std::aligned_alloc(128, (shared_bytes + 127) / 128 * 128)));
  std::memset(shared_.get(), 0xff, shared_bytes);
  std::vector<unsigned> order(threads);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::minstd_rand(static_cast<unsigned>(seed)));
  while (done_ < threads) {
    bool moved = false;
    for (const unsigned i : order) {
      if (fibers_[i].state != Fiber::State::ready) continue;
      resume(i);
      moved = true;
    }
    if (!moved) stuck();
  }
}

void Block::stuck() const {
  unsigned at_barrier = 0, in_warp = 0;
  const char* name = "";
  for (unsigned i = 0; i < threads_; ++i) {
    at_barrier += fibers_[i].state == Fiber::State::at_barrier;
    if (fibers_[i].state == Fiber::State::in_warp) {
      ++in_warp;
      name = warps_[i / 32].name;
    }
  }
  std::fprintf(
      stderr,
      "emulated CUDA: of %u threads %u wait at a barrier, %u in a warp operation (%s), and "
      "%u have returned: they wait for ever\n",
      threads_, at_barrier, in_warp, name, done_);
  stop("deadlock");
}

void Block::barrier() {
  if (++waiting_ == threads_) {
    waiting_ = 0;
    for (unsigned i = 0; i < threads_; ++i)
      if (fibers_[i].state == Fiber::State::at_barrier) fibers_[i].state = Fiber::State::ready;
    return;
  }
  fiber().state = Fiber::State::at_barrier;
  leave();
}

const void* Block::together(const char* name, unsigned lanes, const void* mine, size_t bytes) {
  const unsigned warp_begin = current_ / 32 * 32, lane = current_ % 32;
  Warp& warp = warps_[current_ / 32];
  if (threads_ - warp_begin < 32) lanes &= (1u << (threads_ - warp_begin)) - 1;
  if (!(lanes >> lane & 1)) stop("a lane calls a warp operation that does not name it");
  if (bytes > widest_value) stop("a warp operation on a value that is too wide");
  if (warp.arrived == 0) {
    warp.name = name;
    warp.lanes = lanes;
  } else if (warp.lanes != lanes || std::strcmp(warp.name, name) != 0) {
    std::fprintf(stderr, "emulated CUDA: %s meets %s\n", name, warp.name);
    stop("lanes of a warp meet in different operations");
  }
  std::byte* const slots = warp.slots[warp.meetings % 2];
  if (bytes) std::memcpy(slots + lane * bytes, mine, bytes);
  warp.arrived |= 1u << lane;
  if (warp.arrived == lanes) {
    warp.arrived = 0;
    ++warp.meetings;
    for (unsigned i = 0; i < 32; ++i)
      if (lanes >> i & 1 && fibers_[warp_begin + i].state == Fiber::State::in_warp)
        fibers_[warp_begin + i].state = Fiber::State::ready;
  } else {
    fiber().state = Fiber::State::in_warp;
    leave();
  }
  return slots;
}

}  // namespace

void run_block(unsigned threads, unsigned long seed, size_t shared_bytes,
               const std::function<void()>& thread) {
  block.run(threads, seed, shared_bytes, thread);
}

unsigned lane() { return block.current() % 32; }
std::byte* shared_memory() { return block.shared(); }
void barrier() { block.barrier(); }
const void* together(const char* name, unsigned lanes, const void* mine, size_t bytes) {
  return block.together(name, lanes, mine, bytes);
}

void copy_later(void* to, const void* from, size_t bytes) {
  block.fiber().groups.back().push_back({to, from, bytes});
}
void close_group() { block.fiber().groups.emplace_back(); }
void wait_groups(int pending) {
  auto& groups = block.fiber().groups;
  const size_t open = groups.size() - 1;
  const size_t finished = open > static_cast<size_t>(pending) ? open - pending : 0;
  for (size_t g = 0; g < finished; ++g)
    for (const Copy& copy : groups[g]) std::memcpy(copy.to, copy.from, copy.bytes);
  groups.erase(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(finished));
}

}  // namespace emulated
