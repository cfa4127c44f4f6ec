//===- Logs.h - Figures over time, for people and programs -*- C++ -* -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_LOGS_H
#define LATHE_TRAIN_LOGS_H

#include "lathe/Train/Loop.h"

namespace lathe::train {

/// An event file for TensorBoard in `folder`, a new one for each run: figures
/// of steps under "train/NAME", of evaluations under "validation/NAME". Format:
/// TFRecord, https://www.tensorflow.org/tutorials/load_data/tfrecord, of the
/// messages in Event.proto.
std::unique_ptr<Listener> makeEventFile(std::string folder);

/// A line of JSON for every record, appended to the file at `path`:
///   {"step": 10, "epoch": 1, "loss": 0.5, "learning_rate": 0.001, "time": 3.2}
///   {"step": 10, "validation": {"loss": 0.6, "accuracy": 0.8}, "time": 3.4}
/// `time` is in seconds since the beginning of the run. When a training is
/// resumed, the lines of steps that are done again are taken out.
std::unique_ptr<Listener> makeJsonLog(std::string path);

/// Of RFC 3720, B.4: reflected polynomial 0x82F63B78, begun and ended with
/// inverted bits.
uint32_t crc32c(llvm::StringRef bytes);
/// One TFRecord: length, its masked CRC, the bytes, theirs.
std::string tfRecord(llvm::StringRef bytes);

} // namespace lathe::train

#endif // LATHE_TRAIN_LOGS_H
