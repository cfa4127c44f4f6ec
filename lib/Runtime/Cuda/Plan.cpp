//===- Plan.cpp - The steps of a program, for a device --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Plan.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace llvm;

namespace lathe::cuda {

bool Node::isFixed() const {
  return kind == Segment && all_of(ops, [](const Op &op) {
           return all_of(op.windows,
                         [](const Window &w) { return w.terms.empty(); });
         });
}

namespace {
class Planner {
public:
  Planner(const exec::Program &program, Plan &plan, uint64_t maxIterations,
          uint64_t maxUnrolled)
      : program(program), plan(plan), maxIterations(maxIterations),
        left(maxUnrolled) {}

  void add(const Plan::Steps &steps, std::vector<Node> &nodes) {
    for (const exec::Step &step : steps)
      add(step, nodes);
  }

private:
  void add(const exec::Step &step, std::vector<Node> &nodes);
  void addLoop(const exec::Loop &loop, std::vector<Node> &nodes);
  void addCheck(const exec::Check &check, std::vector<Node> &nodes);
  Window window(const exec::BufferRef &ref) const;
  /// Ops that the steps make unrolled; more than `left` where they cannot be.
  uint64_t count(const Plan::Steps &steps) const;

  static Node &control(Node::Kind kind, std::vector<Node> &nodes) {
    nodes.emplace_back();
    nodes.back().kind = kind;
    return nodes.back();
  }
  static std::vector<Op> &segment(std::vector<Node> &nodes) {
    if (nodes.empty() || nodes.back().kind != Node::Segment)
      control(Node::Segment, nodes);
    return nodes.back().ops;
  }

  const exec::Program &program;
  Plan &plan;
  uint64_t maxIterations, left;
  DenseMap<uint32_t, int64_t> unrolled; // loop id -> present iteration
  DenseMap<uint32_t, unsigned> slots;   // loop id -> slot
  unsigned depth = 0;                   // of If, While and Loop nodes
};
} // namespace

Window Planner::window(const exec::BufferRef &ref) const {
  Window result{ref.buffer(), ref.offset(), ref.bytes(), {}};
  for (const exec::LoopTerm &term : ref.terms()) {
    auto fixed = unrolled.find(term.loop());
    if (fixed != unrolled.end())
      result.offset += fixed->second * term.stride();
    else
      result.terms.push_back({slots.lookup(term.loop()), term.stride()});
  }
  return result;
}

uint64_t Planner::count(const Plan::Steps &steps) const {
  const uint64_t tooMany = left + 1;
  uint64_t sum = 0;
  for (const exec::Step &step : steps) {
    switch (step.kind_case()) {
    case exec::Step::kLaunch:
    case exec::Step::kCopy:
      ++sum;
      break;
    case exec::Step::kLoop: {
      uint64_t trips = step.loop().trip_count();
      uint64_t body = count(step.loop().body_steps());
      if (trips > maxIterations || body > left || (body && trips > left / body))
        return tooMany;
      sum += body * trips;
      break;
    }
    default:
      return tooMany;
    }
    if (sum > left)
      return tooMany;
  }
  return sum;
}

void Planner::addLoop(const exec::Loop &loop, std::vector<Node> &nodes) {
  uint64_t trips = loop.trip_count();
  uint64_t body = count(loop.body_steps());
  if (trips <= maxIterations && body <= left &&
      (body == 0 || trips <= left / body)) {
    if (body == 0)
      return;
    for (uint64_t i = 0; i < trips; ++i) {
      unrolled[loop.id()] = loop.reverse() ? trips - 1 - i : i;
      add(loop.body_steps(), nodes);
    }
    unrolled.erase(loop.id());
    return;
  }
  ++depth;
  unsigned slot = slots.try_emplace(loop.id(), plan.loopSlots).first->second;
  plan.loopSlots = std::max(plan.loopSlots, slot + 1);
  Node node;
  node.kind = Node::Loop;
  node.slot = slot;
  node.tripCount = loop.trip_count();
  node.reverse = loop.reverse();
  node.bodies.resize(1);
  add(loop.body_steps(), node.bodies[0]);
  nodes.push_back(std::move(node));
  --depth;
}

// Inputs and constants do not change while a program runs, so their checks can
// come first: most models check their indices, and most indices are inputs.
void Planner::addCheck(const exec::Check &check, std::vector<Node> &nodes) {
  Window values = window(check.values());
  exec::BufferKind kind = program.buffers(values.buffer).kind();
  if (depth == 0 && values.terms.empty() &&
      (kind == exec::INPUT || kind == exec::CONSTANT)) {
    plan.hostChecks.push_back({std::move(values), &check});
    return;
  }
  Node &node = control(Node::Check, nodes);
  node.window = std::move(values);
  node.check = &check;
  ++plan.checks;
}

void Planner::add(const exec::Step &step, std::vector<Node> &nodes) {
  switch (step.kind_case()) {
  case exec::Step::kLaunch: {
    Op op{Op::Launch, step.launch().kernel(), 0, {}};
    for (const exec::BufferRef &ref : step.launch().inputs())
      op.windows.push_back(window(ref));
    for (const exec::BufferRef &ref : step.launch().outputs())
      op.windows.push_back(window(ref));
    segment(nodes).push_back(std::move(op));
    left -= left > 0;
    return;
  }
  case exec::Step::kCopy: {
    Op op{Op::Copy, 0, 0, {}};
    op.windows.push_back(window(step.copy().from()));
    op.windows.push_back(window(step.copy().to()));
    segment(nodes).push_back(std::move(op));
    left -= left > 0;
    return;
  }
  case exec::Step::kIfStep: {
    ++depth;
    Node node;
    node.kind = Node::If;
    node.window = window(step.if_step().condition());
    node.bodies.resize(2);
    add(step.if_step().then_steps(), node.bodies[0]);
    add(step.if_step().else_steps(), node.bodies[1]);
    nodes.push_back(std::move(node));
    ++plan.ifs;
    --depth;
    return;
  }
  case exec::Step::kWhileStep: {
    ++depth;
    Node node;
    node.kind = Node::While;
    node.window = window(step.while_step().condition());
    node.bodies.resize(2);
    add(step.while_step().condition_steps(), node.bodies[0]);
    add(step.while_step().body_steps(), node.bodies[1]);
    nodes.push_back(std::move(node));
    ++plan.whiles;
    --depth;
    return;
  }
  case exec::Step::kLoop:
    return addLoop(step.loop(), nodes);
  case exec::Step::kCheck:
    return addCheck(step.check(), nodes);
  case exec::Step::KIND_NOT_SET:
    break;
  }
  llvm_unreachable("verifyExecutable refuses such steps");
}

Plan Plan::make(const exec::Program &program, const Steps &steps,
                uint64_t maxIterations, uint64_t maxUnrolled) {
  Plan plan;
  Planner(program, plan, maxIterations, maxUnrolled).add(steps, plan.nodes);
  return plan;
}

void Plan::addTransfers(const exec::Program &program) {
  auto ensure = [&](bool front) -> std::vector<Op> & {
    Node empty;
    empty.kind = Node::Segment;
    if (front && (nodes.empty() || nodes.front().kind != Node::Segment))
      nodes.insert(nodes.begin(), std::move(empty));
    else if (!front && (nodes.empty() || nodes.back().kind != Node::Segment))
      nodes.push_back(std::move(empty));
    return front ? nodes.front().ops : nodes.back().ops;
  };
  std::vector<Op> uploads, downloads;
  // Several buffers may stand for one tensor.
  DenseSet<uint32_t> inputs, outputs;
  for (int i = 0; i < program.buffers_size(); ++i) {
    const exec::Buffer &buffer = program.buffers(i);
    if (buffer.bytes() == 0)
      continue;
    Window whole{static_cast<uint32_t>(i), 0, buffer.bytes(), {}};
    if (buffer.kind() == exec::INPUT && inputs.insert(buffer.index()).second)
      uploads.push_back({Op::Upload, 0, buffer.index(), {whole}});
    if (buffer.kind() == exec::OUTPUT && outputs.insert(buffer.index()).second)
      downloads.push_back({Op::Download, 0, buffer.index(), {whole}});
  }
  if (!uploads.empty()) {
    std::vector<Op> &first = ensure(true);
    first.insert(first.begin(), uploads.begin(), uploads.end());
  }
  if (!downloads.empty()) {
    std::vector<Op> &last = ensure(false);
    last.insert(last.end(), downloads.begin(), downloads.end());
  }
}

} // namespace lathe::cuda
