#include "ModelBuilder.h"

#include <functional>
#include <google/protobuf/stubs/logging.h>

using namespace lathe;
using namespace lathe::test;

/// A model small enough to try every bit of, with a step of each kind.
static Model everyStep() {
  Model m;
  m.exe->clear_objects();
  m.exe->add_objects()->set_code("code");
  uint32_t k = m.kernel("k", 4, 64);
  uint32_t in = m.input("in", DType::I64, {2, 4});
  uint32_t out = m.output("out", DType::I64, {2, 4});
  m.weight("w", DType::F32, {3, 2}, "layer.{}.w");
  uint32_t made = m.buffer(exec::PERSISTENT, 32);
  uint32_t flag = m.arena(1);
  uint32_t scratch = m.arena(64, exec::LOAD_ARENA);
  uint32_t number = m.constant(7);
  m.launch(m.loadSteps(), k, {2, number}, {made, scratch});
  exec::Loop *loop = m.steps()->Add()->mutable_loop();
  loop->set_id(5);
  loop->set_trip_count(2);
  loop->set_reverse(true);
  exec::Launch *launch = m.launch(loop->mutable_body_steps(), k, {}, {});
  *launch->add_inputs() = m.windowOf(in, 0, 32);
  *launch->add_outputs() = m.windowOf(out, 0, 32);
  for (exec::BufferRef *ref :
       {launch->mutable_inputs(0), launch->mutable_outputs(0)}) {
    ref->add_terms()->set_loop(5);
    ref->mutable_terms(0)->set_stride(32);
  }
  exec::If *branch = m.steps()->Add()->mutable_if_step();
  m.ref(branch->mutable_condition(), flag);
  m.copy(branch->mutable_then_steps(), in, out);
  exec::While *loop2 = m.steps()->Add()->mutable_while_step();
  m.launch(loop2->mutable_condition_steps(), k, {in}, {flag});
  m.ref(loop2->mutable_condition(), flag);
  exec::Check *check = m.steps()->Add()->mutable_check();
  m.ref(check->mutable_values(), in);
  check->set_element(exec::I64);
  check->set_high(9);
  check->set_message("index");
  return m;
}

TEST(Executable, RoundTripsThroughAFile) {
  TempFolder folder;
  Model m = everyStep();
  ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
  ASSERT_EQ(message(writeExecutable(folder / "m.lathe", *m.exe)), "");
  auto read = must(readExecutable(folder / "m.lathe"));
  EXPECT_EQ(read->SerializeAsString(), m.exe->SerializeAsString());
  EXPECT_TRUE(looksLikeExecutable(slurp(folder / "m.lathe")));
  EXPECT_FALSE(looksLikeExecutable("LATHE"));
  EXPECT_ERROR(readExecutable(folder / "none"), "cannot open");
  EXPECT_ERROR(writeExecutable("/dev/full", *m.exe), "no space left");
}

TEST(Executable, TypesMatchTheSchema) {
  for (DType type : kAllDTypes)
    EXPECT_EQ(must(fromElementType(toElementType(type))), type);
  EXPECT_EQ(toElementType(DType::U8), exec::U8);
  EXPECT_EQ(toElementType(DType::BF16), exec::BF16);
  EXPECT_EQ(toElementType(DType::I1), exec::I1);
  EXPECT_ERROR(fromElementType(exec::ELEMENT_TYPE_INVALID), "unknown");
}

TEST(Executable, EveryTruncationAndBitFlipIsFound) {
  std::string good = must(serializeExecutable(*everyStep().exe));
  for (size_t size = 0; size < good.size(); ++size) {
    std::vector<char> part(good.begin(), good.begin() + size);
    EXPECT_ERROR(parseExecutable(llvm::StringRef(part.data(), size), "m"),
                 "cannot load 'm'");
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= 1 << bit % 8;
    EXPECT_ERROR(parseExecutable(bad, "m"), "cannot load 'm'");
  }
}

// The same with a digest that fits, as a hostile file would have: the message
// then has to be refused, or be harmless.
TEST(Executable, HostileMessagesDoNotCrashTheVerifier) {
  std::string good = everyStep().exe->SerializeAsString();
  google::protobuf::LogSilencer silence;
  size_t refused = 0, taken = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= 1 << bit % 8;
    exec::Executable executable;
    if (!executable.ParseFromString(bad)) {
      ++refused;
      continue;
    }
    std::string text = message(verifyExecutable(executable));
    text.empty() ? ++taken : ++refused;
    if (!text.empty())
      expectSentence(text);
  }
  EXPECT_GT(refused, taken);
}

TEST(Executable, NestingAndSizesOfHostileFilesAreBounded) {
  // Steps nested deeper than any stack.
  Model m = everyStep();
  std::string inner;
  for (int i = 0; i < 20000; ++i) {
    // step { if_step { then_steps: ... } }: fields 3 and 2.
    auto wrap = [](int field, const std::string &body) {
      std::string text(1, static_cast<char>(field << 3 | 2));
      for (size_t n = body.size(); true; n >>= 7) {
        text += static_cast<char>(n > 127 ? (n & 127) | 128 : n);
        if (n <= 127)
          break;
      }
      return text + body;
    };
    inner = wrap(3, wrap(2, inner));
    if (inner.size() > 100000)
      break;
  }
  google::protobuf::LogSilencer silence;
  exec::Step step;
  EXPECT_FALSE(step.ParseFromString(inner));
}

TEST(Executable, EveryRuleOfTheVerifierIsKept) {
  struct Case {
    const char *message;
    std::function<void(exec::Executable &, exec::Program &)> change;
  };
  auto firstLaunch = [](exec::Program &p) {
    return p.mutable_steps(0)
        ->mutable_loop()
        ->mutable_body_steps(0)
        ->mutable_launch();
  };
  using E = exec::Executable;
  using P = exec::Program;
  const Case cases[] = {
      {"format version 99", [](E &e, P &) { e.set_format_version(99); }},
      {"names object 4 of 1",
       [](E &e, P &) { e.mutable_kernels(0)->set_object(4); }},
      {"has no symbol",
       [](E &e, P &) { e.mutable_kernels(0)->clear_symbol(); }},
      {"has -1 work items",
       [](E &e, P &) { e.mutable_kernels(0)->set_work_items(-1); }},
      {"scratch bytes",
       [](E &e, P &) { e.mutable_kernels(0)->set_scratch_bytes(UINT64_MAX); }},
      {"element type 0 is unknown",
       [](E &, P &p) { p.mutable_inputs(0)->mutable_type()->clear_element(); }},
      {"negative extent",
       [](E &, P &p) {
         p.mutable_outputs(0)->mutable_type()->set_shape(0, -2);
       }},
      {"stacked but has rank 0",
       [](E &, P &p) { p.mutable_weights(0)->mutable_type()->clear_shape(); }},
      {"stacked 1099511627776 deep",
       [](E &, P &p) {
         p.mutable_weights(0)->mutable_type()->set_shape(0, int64_t(1) << 40);
       }},
      {"'w' takes 24 bytes, but 5 are in 'f'",
       [](E &, P &p) {
         p.mutable_weights(0)->set_file("f");
         p.mutable_weights(0)->set_file_bytes(5);
       }},
      {"larger than any memory",
       [](E &, P &p) { p.set_arena_bytes(uint64_t(1) << 60); }},
      {"bytes of data are larger than any memory",
       [](E &e, P &) { e.set_data_bytes(uint64_t(1) << 60); }},
      {"parameter 'w': 24 bytes at offset 64 of the data, which has 80",
       [](E &e, P &p) {
         e.set_data_bytes(80);
         p.mutable_weights(0)->mutable_embedded()->set_offset(64);
       }},
      {"parameter 'w': 24 bytes at offset 8 of the data, which has 80",
       [](E &e, P &p) {
         e.set_data_bytes(80);
         p.mutable_weights(0)->mutable_embedded()->set_offset(8);
       }},
      {"load steps beside prepared weights",
       [](E &, P &p) { p.add_prepared()->set_buffer(3); }},
      {"for buffer 99, expected a persistent one",
       [](E &, P &p) {
         p.clear_load_steps();
         p.add_prepared()->set_buffer(99);
       }},
      {"for buffer 0, expected a persistent one",
       [](E &, P &p) {
         p.clear_load_steps();
         p.add_prepared()->set_buffer(0);
       }},
      {"prepared weights: 32 bytes at offset 0 of the data, which has 16",
       [](E &e, P &p) {
         e.set_data_bytes(16);
         p.clear_load_steps();
         p.add_prepared()->set_buffer(3);
       }},
      {"names input 3 of 1",
       [](E &, P &p) { p.mutable_buffers(0)->set_index(3); }},
      {"has 63 bytes, but input 0 has 64",
       [](E &, P &p) { p.mutable_buffers(0)->set_bytes(63); }},
      {"is of no known kind",
       [](E &, P &p) { p.mutable_buffers(0)->clear_kind(); }},
      {"is of no known kind",
       [](E &, P &p) {
         p.mutable_buffers(0)->set_kind(static_cast<exec::BufferKind>(77));
       }},
      {"larger than any memory",
       [](E &, P &p) { p.mutable_buffers(3)->set_bytes(UINT64_MAX); }},
      {"exceeds the arena",
       [](E &, P &p) { p.mutable_buffers(4)->set_offset(64); }},
      {"exceeds the arena",
       [](E &, P &p) { p.mutable_buffers(4)->set_offset(UINT64_MAX); }},
      {"exceeds the load arena",
       [](E &, P &p) { p.mutable_buffers(5)->set_bytes(65); }},
      {"exceeds the constants",
       [](E &, P &p) { p.mutable_buffers(6)->set_offset(1); }},
      {"launches kernel 9 of 1",
       [&](E &, P &p) { firstLaunch(p)->set_kernel(9); }},
      {"names buffer 99 of",
       [&](E &, P &p) { firstLaunch(p)->mutable_inputs(0)->set_buffer(99); }},
      {"leaves buffer 0",
       [&](E &, P &p) { firstLaunch(p)->mutable_inputs(0)->set_offset(1); }},
      {"leaves buffer 0",
       [&](E &, P &p) {
         firstLaunch(p)->mutable_inputs(0)->set_bytes(UINT64_MAX);
       }},
      {"leaves buffer 1",
       [&](E &, P &p) {
         firstLaunch(p)->mutable_outputs(0)->mutable_terms(0)->set_stride(-32);
       }},
      {"leaves the address space",
       [&](E &, P &p) {
         firstLaunch(p)->mutable_outputs(0)->mutable_terms(0)->set_stride(
             INT64_MAX);
       }},
      {"names loop 6, which is not around it",
       [&](E &, P &p) {
         firstLaunch(p)->mutable_inputs(0)->mutable_terms(0)->set_loop(6);
       }},
      {"leaves buffer",
       [](E &, P &p) {
         p.mutable_steps(0)->mutable_loop()->set_trip_count(3);
       }},
      {"runs -1 times",
       [](E &, P &p) {
         p.mutable_steps(0)->mutable_loop()->set_trip_count(-1);
       }},
      {"two loops have the id 5",
       [](E &, P &p) { *p.add_steps() = exec::Step(p.steps(0)); }},
      {"read-only",
       [&](E &, P &p) { firstLaunch(p)->mutable_outputs(0)->set_buffer(0); }},
      {"does not exist after load",
       [&](E &, P &p) {
         exec::BufferRef *ref = firstLaunch(p)->mutable_inputs(0);
         ref->set_buffer(5);
         ref->clear_terms();
       }},
      {"does not exist at load",
       [](E &, P &p) {
         p.mutable_load_steps(0)
             ->mutable_launch()
             ->mutable_outputs(0)
             ->set_buffer(1);
       }},
      {"a condition has 2 bytes",
       [](E &, P &p) {
         p.mutable_steps(1)->mutable_if_step()->mutable_condition()->set_bytes(
             2);
       }},
      {"a copy takes 64 bytes to 63",
       [](E &, P &p) {
         p.mutable_steps(1)
             ->mutable_if_step()
             ->mutable_then_steps(0)
             ->mutable_copy()
             ->mutable_to()
             ->set_bytes(63);
       }},
      {"neither i64 nor i32",
       [](E &, P &p) {
         p.mutable_steps(3)->mutable_check()->set_element(exec::F32);
       }},
      {"no whole number of elements",
       [](E &, P &p) {
         p.mutable_steps(3)->mutable_check()->mutable_values()->set_bytes(12);
       }},
      {"a step is of no known kind", [](E &, P &p) { p.add_steps(); }},
      {"code for 'avx2': it has 0 kernels, expected",
       [](E &e, P &) { e.add_more_code()->set_isa("avx2"); }},
      {"names object 7 of",
       [](E &e, P &) {
         exec::CpuCode &code = *e.add_more_code();
         *code.mutable_kernels() = e.kernels();
         *code.mutable_objects() = e.objects();
         code.mutable_kernels(0)->set_object(7);
       }},
      {"the target is 'cuda', expected 'cpu'",
       [](E &e, P &) {
         e.set_target("cuda");
         e.add_more_code();
         e.clear_programs();
         e.clear_kernels();
       }},
  };
  for (const Case &one : cases) {
    Model m = everyStep();
    one.change(*m.exe, *m.program);
    EXPECT_ERROR(verifyExecutable(*m.exe), one.message);
  }
}

TEST(Executable, StepsNestedTooDeepAreRefused) {
  Model m = everyStep();
  google::protobuf::RepeatedPtrField<exec::Step> *list = m.steps();
  for (int i = 0; i < 70; ++i) {
    exec::If *branch = list->Add()->mutable_if_step();
    m.ref(branch->mutable_condition(), 4);
    list = branch->mutable_then_steps();
  }
  EXPECT_ERROR(verifyExecutable(*m.exe), "nested more than 64 deep");
}

TEST(Executable, EveryRuleOfStatesIsKept) {
  struct Case {
    const char *message;
    std::function<void(exec::Executable &, exec::Program &)> change;
  };
  using E = exec::Executable;
  using P = exec::Program;
  auto windowAtLoad = [](P &p, bool write) {
    exec::Copy *copy = p.add_load_steps()->mutable_copy();
    for (exec::BufferRef *ref : {copy->mutable_from(), copy->mutable_to()}) {
      ref->set_buffer(p.buffers_size());
      ref->set_bytes(8);
    }
    (write ? copy->mutable_to() : copy->mutable_from())->set_buffer(0);
    exec::Buffer *persistent = p.add_buffers();
    persistent->set_kind(exec::PERSISTENT);
    persistent->set_bytes(8);
  };
  const Case cases[] = {
      {"names state 1 of 1",
       [](E &, P &p) { p.mutable_buffers(0)->set_index(1); }},
      {"names state 4294967295 of 1",
       [](E &, P &p) { p.mutable_buffers(0)->set_index(UINT32_MAX); }},
      {"names state 0 of 0", [](E &, P &p) { p.clear_states(); }},
      {"has 7 bytes, but state 0 has 8",
       [](E &, P &p) { p.mutable_buffers(0)->set_bytes(7); }},
      {"has 8 bytes, but state 0 has 80",
       [](E &, P &p) { p.mutable_states(0)->mutable_type()->add_shape(10); }},
      {"negative extent",
       [](E &, P &p) { p.mutable_states(0)->mutable_type()->add_shape(-10); }},
      {"element type 0 is unknown",
       [](E &, P &p) { p.mutable_states(0)->mutable_type()->clear_element(); }},
      {"'train.step' is stacked but has rank 0",
       [](E &, P &p) { p.mutable_states(0)->set_key("a.{}"); }},
      {"'train.step' takes 8 bytes, but 5 are in 'f'",
       [](E &, P &p) {
         p.mutable_states(0)->set_file("f");
         p.mutable_states(0)->set_file_bytes(5);
       }},
      {"two states have the name 'train.step'",
       [](E &, P &p) { *p.add_states() = exec::Weight(p.states(0)); }},
      {"two programs describe the state 'train.step' differently",
       [](E &e, P &) {
         e.mutable_programs(1)
             ->mutable_states(0)
             ->mutable_initializer()
             ->set_kind("ones");
       }},
      {"does not exist at load", [&](E &, P &p) { windowAtLoad(p, false); }},
      {"does not exist at load", [&](E &, P &p) { windowAtLoad(p, true); }},
      {"leaves buffer 0",
       [](E &, P &p) {
         p.mutable_steps(0)->mutable_launch()->mutable_outputs(0)->set_offset(
             1);
       }},
  };
  ASSERT_EQ(message(verifyExecutable(*countingModel().exe)), "");
  for (const Case &one : cases) {
    Model m = countingModel();
    one.change(*m.exe, *m.exe->mutable_programs(0));
    EXPECT_ERROR(verifyExecutable(*m.exe), one.message);
  }
}
