// Random programs for tests that run one on two devices.
#ifndef LATHE_TEST_UNIT_RUNTIME_RANDOMPROGRAM_H
#define LATHE_TEST_UNIT_RUNTIME_RANDOMPROGRAM_H

#include "ModelBuilder.h"

#include <random>

namespace lathe::test {

/// Programs of everything there is, nested: f32 buffers of 8, two flags.
class RandomProgram {
public:
  explicit RandomProgram(unsigned seed) : random(seed) {
    kernels = {m.kernel("add", 2), m.kernel("twice", 2)};
    less = m.kernel("less", 1);
    increment = m.kernel("increment", 1);
    limit = m.constant(int64_t(seed % 4));
    zero = m.constant(int64_t(0));
    readable = {m.input("a", DType::F32, {8}), m.input("b", DType::F32, {8}),
                m.constant(std::string(32, '\0'))};
    flags = {m.input("p", DType::I1, {}), m.input("q", DType::I1, {})};
    for (const char *name : {"x", "y"})
      writable.push_back(m.output(name, DType::F32, {8}));
    for (int i = 0; i < 3; ++i)
      writable.push_back(m.arena(32));
    // Nothing is read before it is written.
    for (uint32_t buffer : writable)
      m.copy(m.steps(), readable[pick(2)], buffer);
    readable.insert(readable.end(), writable.begin(), writable.end());
    fill(m.steps(), 0);
  }
  Model m;

private:
  unsigned pick(unsigned count) { return random() % count; }

  /// Two values, at a place that may move with the loops around.
  exec::BufferRef window(uint32_t buffer, uint64_t bytes = 8) {
    exec::BufferRef ref = m.windowOf(buffer, 0, bytes);
    int64_t room = 32 - bytes, low = 0, high = 0;
    for (auto [id, trips] : loops) {
      if (pick(2) || trips < 2)
        continue;
      int64_t stride = (int64_t(pick(3)) - 1) * 4;
      int64_t reach = stride * (trips - 1);
      if (high + std::max<int64_t>(reach, 0) - low -
              std::min<int64_t>(reach, 0) >
          room)
        continue;
      (reach < 0 ? low : high) += reach;
      ref.add_terms()->set_loop(id);
      ref.mutable_terms(ref.terms_size() - 1)->set_stride(stride);
    }
    ref.set_offset(-low + 4 * pick((room - (high - low)) / 4 + 1));
    return ref;
  }

  void fill(Model::Steps *list, int depth) {
    for (unsigned i = 0, e = 1 + pick(5); i < e; ++i)
      add(list, depth);
  }
  void add(Model::Steps *list, int depth) {
    switch (pick(depth < 3 ? 9 : 5)) {
    case 0:
    case 1:
    case 2: {
      unsigned kind = pick(2);
      exec::Launch *launch = list->Add()->mutable_launch();
      launch->set_kernel(kernels[kind]);
      for (unsigned n = 0; n < 2 - kind; ++n)
        *launch->add_inputs() = window(readable[pick(readable.size())]);
      *launch->add_outputs() = window(writable[pick(writable.size())]);
      break;
    }
    case 3:
    case 4: {
      uint64_t bytes = 4 + 4 * pick(7);
      exec::Copy *copy = list->Add()->mutable_copy();
      *copy->mutable_from() = window(readable[pick(readable.size())], bytes);
      *copy->mutable_to() = window(writable[pick(writable.size())], bytes);
      break;
    }
    case 5:
    case 6: {
      exec::Loop *loop = list->Add()->mutable_loop();
      loop->set_id(++lastLoop);
      // Some are too long to be unrolled with what is in them.
      loop->set_trip_count(pick(20) ? pick(5) : 3000);
      loop->set_reverse(pick(2));
      loops.push_back({loop->id(), loop->trip_count()});
      fill(loop->mutable_body_steps(), loop->trip_count() > 5 ? 3 : depth + 1);
      loops.pop_back();
      break;
    }
    case 7: {
      exec::If *branch = list->Add()->mutable_if_step();
      m.ref(branch->mutable_condition(), flags[pick(2)]);
      fill(branch->mutable_then_steps(), depth + 1);
      if (pick(2))
        fill(branch->mutable_else_steps(), depth + 1);
      break;
    }
    case 8: {
      uint32_t state = m.arena(8), flag = m.arena(1);
      m.copy(list, zero, state);
      exec::While *loop = list->Add()->mutable_while_step();
      m.launch(loop->mutable_condition_steps(), less, {state, limit}, {flag});
      m.ref(loop->mutable_condition(), flag);
      fill(loop->mutable_body_steps(), depth + 1);
      m.launch(loop->mutable_body_steps(), increment, {state}, {state});
      break;
    }
    }
  }

  std::mt19937 random;
  std::vector<uint32_t> kernels, flags, readable, writable;
  uint32_t less, increment, limit, zero, lastLoop = 0;
  std::vector<std::pair<uint32_t, int64_t>> loops;
};

} // namespace lathe::test

#endif // LATHE_TEST_UNIT_RUNTIME_RANDOMPROGRAM_H
