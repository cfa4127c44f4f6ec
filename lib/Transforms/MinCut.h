//===- MinCut.h - The cheapest way to part two sides of a graph -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_MINCUT_H
#define LATHE_TRANSFORMS_MINCUT_H

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <limits>
#include <vector>

namespace lathe {

/// A directed graph whose edges have capacities. Node 0 is the source, node 1
/// the sink.
class MinCut {
public:
  static constexpr int64_t kInfinite = std::numeric_limits<int64_t>::max() / 4;
  static constexpr unsigned kSource = 0, kSink = 1;

  MinCut() : edgesOf(2) {}
  unsigned addNode() {
    edgesOf.emplace_back();
    return edgesOf.size() - 1;
  }
  void addEdge(unsigned from, unsigned to, int64_t capacity);

  /// The nodes on the sink's side of a cut of least capacity: of several such
  /// cuts the one next to the sink. Dinic's algorithm ("Algorithm for solution
  /// of a problem of maximum flow in networks with power estimation", 1970).
  llvm::BitVector solve();

private:
  struct Edge {
    unsigned to;
    int64_t left; ///< capacity that is not used; of the reverse edge, flow
  };
  bool findLevels();
  int64_t push();

  std::vector<Edge> edges; // edge i and its reverse, i ^ 1
  std::vector<llvm::SmallVector<unsigned, 4>> edgesOf;
  std::vector<unsigned> level, next;
};

} // namespace lathe

#endif // LATHE_TRANSFORMS_MINCUT_H
