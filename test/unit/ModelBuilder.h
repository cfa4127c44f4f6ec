// Executables by hand, for tests of Executable and Runtime.
#ifndef LATHE_TEST_UNIT_MODELBUILDER_H
#define LATHE_TEST_UNIT_MODELBUILDER_H

#include "TestHelpers.h"
#include "lathe/Executable/Executable.h"

namespace lathe::test {

struct Model {
  std::shared_ptr<exec::Executable> exe = std::make_shared<exec::Executable>();
  exec::Program *program;

  explicit Model(const char *object = "kernels.o") {
    exe->set_format_version(kFormatVersion);
    exe->set_target("cpu");
    exe->add_objects()->set_code(objectFile(object));
    program = exe->add_programs();
    program->set_entry("main");
  }

  uint32_t kernel(const char *symbol, int64_t items, uint64_t scratch = 0) {
    exec::Kernel *kernel = exe->add_kernels();
    kernel->set_name(std::string("kernel ") + symbol);
    kernel->set_symbol(symbol);
    kernel->set_work_items(items);
    kernel->set_scratch_bytes(scratch);
    return exe->kernels_size() - 1;
  }

  uint32_t buffer(exec::BufferKind kind, uint64_t bytes, uint32_t index = 0,
                  uint64_t offset = 0) {
    exec::Buffer *buffer = program->add_buffers();
    buffer->set_kind(kind);
    buffer->set_bytes(bytes);
    buffer->set_index(index);
    buffer->set_offset(offset);
    return program->buffers_size() - 1;
  }
  uint32_t input(const char *name, DType type, llvm::ArrayRef<int64_t> shape) {
    exec::Signature *entry = program->add_inputs();
    entry->set_name(name);
    setTensorType(entry->mutable_type(), type, shape);
    return buffer(exec::INPUT, must(checkedBytes(shape, type)),
                  program->inputs_size() - 1);
  }
  uint32_t output(const char *name, DType type, llvm::ArrayRef<int64_t> shape) {
    exec::Signature *entry = program->add_outputs();
    entry->set_name(name);
    setTensorType(entry->mutable_type(), type, shape);
    return buffer(exec::OUTPUT, must(checkedBytes(shape, type)),
                  program->outputs_size() - 1);
  }
  uint32_t weight(const char *name, DType type, llvm::ArrayRef<int64_t> shape,
                  const char *key = "") {
    exec::Weight *entry = program->add_weights();
    entry->set_name(name);
    entry->set_key(key);
    setTensorType(entry->mutable_type(), type, shape);
    return buffer(exec::WEIGHT, must(checkedBytes(shape, type)),
                  program->weights_size() - 1);
  }
  uint32_t state(const char *name, DType type, llvm::ArrayRef<int64_t> shape,
                 const char *init = "zeros") {
    exec::Weight *entry = program->add_states();
    entry->set_name(name);
    entry->mutable_initializer()->set_kind(init);
    setTensorType(entry->mutable_type(), type, shape);
    return buffer(exec::STATE, must(checkedBytes(shape, type)),
                  program->states_size() - 1);
  }
  uint32_t arena(uint64_t bytes, exec::BufferKind kind = exec::ARENA) {
    uint64_t at = kind == exec::ARENA ? program->arena_bytes()
                                      : program->load_arena_bytes();
    uint64_t end = at + (bytes + 63) / 64 * 64;
    if (kind == exec::ARENA)
      program->set_arena_bytes(end);
    else
      program->set_load_arena_bytes(end);
    return buffer(kind, bytes, 0, at);
  }
  uint32_t constant(llvm::StringRef bytes) {
    std::string &all = *exe->mutable_constants();
    all.resize((all.size() + 63) / 64 * 64);
    uint32_t number = buffer(exec::CONSTANT, bytes.size(), 0, all.size());
    all += bytes.str();
    return number;
  }
  uint32_t constant(int64_t value) {
    return constant(llvm::StringRef(reinterpret_cast<char *>(&value), 8));
  }

  /// The whole buffer.
  void ref(exec::BufferRef *to, uint32_t number) {
    to->set_buffer(number);
    to->set_bytes(program->buffers(number).bytes());
  }
  exec::BufferRef windowOf(uint32_t number, uint64_t offset, uint64_t bytes) {
    exec::BufferRef ref;
    ref.set_buffer(number);
    ref.set_offset(offset);
    ref.set_bytes(bytes);
    return ref;
  }

  using Steps = google::protobuf::RepeatedPtrField<exec::Step>;
  Steps *steps() { return program->mutable_steps(); }
  Steps *loadSteps() { return program->mutable_load_steps(); }
  exec::Launch *launch(Steps *list, uint32_t kernel,
                       std::initializer_list<uint32_t> inputs,
                       std::initializer_list<uint32_t> outputs) {
    exec::Launch *step = list->Add()->mutable_launch();
    step->set_kernel(kernel);
    for (uint32_t number : inputs)
      ref(step->add_inputs(), number);
    for (uint32_t number : outputs)
      ref(step->add_outputs(), number);
    return step;
  }
  void copy(Steps *list, uint32_t from, uint32_t to) {
    exec::Copy *step = list->Add()->mutable_copy();
    ref(step->mutable_from(), from);
    ref(step->mutable_to(), to);
  }
};

/// sum = a + twice(b), of n f32 values, with everything a file may hold.
inline Model addModel(int64_t n = 8) {
  Model m;
  uint32_t add = m.kernel("add", n), twice = m.kernel("twice", n);
  uint32_t a = m.input("a", DType::F32, {n}), b = m.input("b", DType::F32, {n});
  uint32_t sum = m.output("sum", DType::F32, {n});
  uint32_t middle = m.arena(n * 4);
  m.launch(m.steps(), twice, {b}, {middle});
  m.launch(m.steps(), add, {a, middle}, {sum});
  return m;
}

/// Counts an i64 from its input up to `limit`.
inline Model counting(int64_t limit) {
  Model m;
  uint32_t less = m.kernel("less", 1), increment = m.kernel("increment", 1);
  uint32_t in = m.input("n", DType::I64, {});
  uint32_t out = m.output("n", DType::I64, {});
  uint32_t state = m.arena(8), flag = m.arena(1), bound = m.constant(limit);
  m.copy(m.steps(), in, state);
  exec::While *loop = m.steps()->Add()->mutable_while_step();
  m.launch(loop->mutable_condition_steps(), less, {state, bound}, {flag});
  m.ref(loop->mutable_condition(), flag);
  m.launch(loop->mutable_body_steps(), increment, {state}, {state});
  m.copy(m.steps(), state, out);
  return m;
}

/// Two programs: the first counts a state of its model up and gives the new
/// value out, the second reads it.
inline Model countingModel() {
  Model m;
  uint32_t increment = m.kernel("increment", 1);
  uint32_t step = m.state("train.step", DType::I64, {});
  m.launch(m.steps(), increment, {step}, {step});
  m.copy(m.steps(), step, m.output("step", DType::I64, {}));
  m.program = m.exe->add_programs();
  m.program->set_entry("read");
  step = m.state("train.step", DType::I64, {});
  m.copy(m.steps(), step, m.output("step", DType::I64, {}));
  m.program = m.exe->mutable_programs(0);
  return m;
}

} // namespace lathe::test

#endif // LATHE_TEST_UNIT_MODELBUILDER_H
