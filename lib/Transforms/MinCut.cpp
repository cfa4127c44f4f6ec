//===- MinCut.cpp - The cheapest way to part two sides of a graph ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MinCut.h"

#include <algorithm>
#include <deque>

namespace lathe {

static constexpr unsigned kUnreached = ~0u;

void MinCut::addEdge(unsigned from, unsigned to, int64_t capacity) {
  edgesOf[from].push_back(edges.size());
  edges.push_back({to, capacity});
  edgesOf[to].push_back(edges.size());
  edges.push_back({from, 0});
}

/// Distances from the source along edges that are not full.
bool MinCut::findLevels() {
  level.assign(edgesOf.size(), kUnreached);
  level[kSource] = 0;
  std::deque<unsigned> queue = {kSource};
  while (!queue.empty()) {
    unsigned node = queue.front();
    queue.pop_front();
    for (unsigned index : edgesOf[node])
      if (edges[index].left > 0 && level[edges[index].to] == kUnreached) {
        level[edges[index].to] = level[node] + 1;
        queue.push_back(edges[index].to);
      }
  }
  return level[kSink] != kUnreached;
}

/// Sends what it can along one path of rising levels; 0 where none is left.
/// Without recursion: models can be thousands of ops deep.
int64_t MinCut::push() {
  llvm::SmallVector<unsigned> path;
  unsigned node = kSource;
  while (node != kSink) {
    bool advanced = false;
    for (; next[node] < edgesOf[node].size(); ++next[node]) {
      const Edge &edge = edges[edgesOf[node][next[node]]];
      if (edge.left > 0 && level[edge.to] == level[node] + 1) {
        path.push_back(edgesOf[node][next[node]]);
        node = edge.to;
        advanced = true;
        break;
      }
    }
    if (advanced)
      continue;
    if (path.empty())
      return 0;
    node = edges[path.pop_back_val() ^ 1].to;
    ++next[node];
  }
  int64_t flow = kInfinite;
  for (unsigned index : path)
    flow = std::min(flow, edges[index].left);
  for (unsigned index : path) {
    edges[index].left -= flow;
    edges[index ^ 1].left += flow;
  }
  return flow;
}

llvm::BitVector MinCut::solve() {
  while (findLevels()) {
    next.assign(edgesOf.size(), 0);
    while (push())
      ;
  }
  // Backwards from the sink: what can still send something there.
  llvm::BitVector side(edgesOf.size());
  side.set(kSink);
  llvm::SmallVector<unsigned> worklist = {kSink};
  while (!worklist.empty())
    for (unsigned index : edgesOf[worklist.pop_back_val()]) {
      unsigned from = edges[index].to;
      if (edges[index ^ 1].left > 0 && !side.test(from)) {
        side.set(from);
        worklist.push_back(from);
      }
    }
  return side;
}

} // namespace lathe
