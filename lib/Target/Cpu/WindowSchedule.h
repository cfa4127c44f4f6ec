//===- WindowSchedule.h - Depthwise convolution and pooling -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_WINDOWSCHEDULE_H
#define LATHE_LIB_TARGET_CPU_WINDOWSCHEDULE_H

#include "lathe/Target/Cpu/Schedule.h"
#include "lathe/Target/KernelViews.h"

namespace lathe::cpu {

/// Whether `op` slides a window over channels-last images without mixing
/// channels: depthwise `conv`, `max_pool`, `avg_pool`.
bool isWindowOp(Operation *op);

/// The part of scheduleConvolution for them: channels along vector lanes, a
/// work item is one row of output for some vectors of channels.
FailureOr<LoweredKernel> scheduleWindow(KernelOp kernel, KernelViews &views,
                                        ModuleOp module, StringRef symbol,
                                        const CpuFeatures &features,
                                        std::string &whyNot);

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_WINDOWSCHEDULE_H
