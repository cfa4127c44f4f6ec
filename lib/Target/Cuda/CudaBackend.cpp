//===- CudaBackend.cpp - A module of kernels to an Executable of CUDA text ===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cuda/CudaBackend.h"

#include "SimWrapper.h"

#include "lathe/Support/DiskCache.h"
#include "lathe/Support/Error.h"
#include "lathe/Target/ScheduleChoices.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace mlir;

namespace lathe::cuda {

namespace {

struct NamedSchedule {
  StringRef name;
  ScheduleFn write;
  /// Obeys lathe.tile.
  bool hasTiles = false;
};

} // namespace

llvm::Expected<GpuFeatures> GpuFeatures::forArchitecture(StringRef name) {
  StringRef digits = name;
  GpuFeatures features;
  bool isFormed = digits.consume_front("sm_") &&
                  !digits.consumeInteger(10, features.architecture) &&
                  (digits.empty() || digits == "a" || digits == "f");
  if (!isFormed)
    return makeError(
        "expected an architecture such as sm_80 or sm_90a, got {0}",
        quote(name));
  if (features.architecture < 80)
    return makeError("architecture {0} is too old, expected sm_80 or newer",
                     quote(name));
  features.hasWarpGroupMma = features.architecture == 90 && digits == "a";
  return features;
}

/// In the order they are tried; the last takes whatever lowers to linalg.
static ArrayRef<NamedSchedule> getSchedules() {
  static const NamedSchedule schedules[] = {
      {"attention", scheduleAttention},
      {"attention", scheduleAttentionBackward},
      {"contraction", scheduleContraction, /*hasTiles=*/true},
      {"convolution", scheduleConvolution, /*hasTiles=*/true},
      {"steps", scheduleSteps},
      {"scan", scheduleScan},
      {"loops", scheduleLoops},
  };
  return schedules;
}

/// A name for C++ and for files: what the kernel computes, and a part of its
/// digest that tells kernels of one name apart.
static std::string makeSymbol(KernelOp kernel, StringRef text) {
  std::string name;
  for (char c : kernel.getName().take_front(48))
    name += llvm::isAlnum(c) ? c : '_';
  if (name.empty() || llvm::isDigit(name.front()))
    name = "k" + name;
  return name + "_" + sha256Hex(text).substr(0, 6);
}

static FailureOr<KernelText> writeText(KernelOp kernel, StringRef symbol,
                                       const GpuFeatures &features,
                                       std::string &scheduleName) {
  FailureOr<std::optional<TileChoice>> tile = getTileChoice(kernel);
  if (failed(tile))
    return failure();
  std::string reasons;
  for (const NamedSchedule &schedule : getSchedules()) {
    std::string whyNot;
    FailureOr<KernelText> text =
        schedule.write(kernel, symbol, features, whyNot);
    if (succeeded(text)) {
      if (*tile && !schedule.hasTiles) {
        InFlightDiagnostic diagnostic = kernel.emitError("kernel '")
                                        << kernel.getName()
                                        << "' cannot have the tile "
                                        << formatTile(**tile);
        diagnostic.attachNote() << "refused:" << reasons;
        return diagnostic;
      }
      scheduleName =
          text->schedule.empty() ? schedule.name.str() : text->schedule;
      return text;
    }
    reasons += ("\n  " + schedule.name + ": " + whyNot).str();
  }
  return refuseKernel(kernel, "CUDA", reasons);
}

static void setGrids(const KernelText &text, exec::Kernel &info) {
  info.set_scratch_bytes(text.scratchBytes);
  for (const GridLaunch &from : text.grids) {
    exec::Grid *grid = info.add_grids();
    grid->set_symbol(from.symbol);
    grid->set_grid_x(from.grid[0]);
    grid->set_grid_y(from.grid[1]);
    grid->set_grid_z(from.grid[2]);
    grid->set_block_x(from.block[0]);
    grid->set_block_y(from.block[1]);
    grid->set_block_z(from.block[2]);
    grid->set_dynamic_shared_bytes(from.dynamicSharedBytes);
    grid->set_cluster_x(from.cluster);
    for (const GridTensorMap &tensor : from.tensorMaps) {
      exec::TensorMap *map = grid->add_tensor_maps();
      map->set_argument(tensor.argument);
      map->set_element(tensor.elementType.isBF16() ? exec::BF16 : exec::F16);
      map->mutable_dims()->Assign(tensor.dims.begin(), tensor.dims.end());
      map->mutable_strides()->Assign(tensor.strides.begin(),
                                     tensor.strides.end());
      map->mutable_box()->Assign(tensor.box.begin(), tensor.box.end());
      map->set_swizzle(tensor.swizzle);
      map->set_offset(tensor.offset);
    }
  }
}

/// The first line of `made` that says how the kernel is launched and that
/// `edited` has otherwise, or nothing: sizes, tile, threads of a block.
static std::optional<StringRef> findOtherLaunch(StringRef made,
                                                StringRef edited) {
  SmallVector<StringRef> lines;
  edited.split(lines, '\n');
  for (StringRef line : llvm::split(made, '\n')) {
    if (line.starts_with("extern \"C\" __global__"))
      line = line.take_until([](char c) { return c == ',' || c == ')'; });
    else if (!line.starts_with("using "))
      continue;
    if (llvm::none_of(lines, [&](StringRef other) {
          return other.consume_front(line) &&
                 (other.empty() || !llvm::isDigit(other.front()));
        }))
      return line;
  }
  return std::nullopt;
}

/// A text that the user edited, where there is one.
static LogicalResult readEdited(KernelOp kernel, StringRef folder,
                                StringRef symbol, std::string &text) {
  if (folder.empty())
    return success();
  SmallString<256> path(folder);
  llvm::sys::path::append(path, symbol + ".cu");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer) {
    if (buffer.getError() == std::errc::no_such_file_or_directory)
      return success();
    return kernel.emitError("cannot read ")
           << path << ": " << buffer.getError().message();
  }
  StringRef edited = (*buffer)->getBuffer();
  if (std::optional<StringRef> line = findOtherLaunch(text, edited))
    return kernel.emitError("the kernel is launched for '")
           << *line << "', which " << path
           << " lacks; write the text with the same --arch, and choose tiles "
              "with --tile";
  text = edited.str();
  return success();
}

/// Says of files in `folder` that they are for no kernel in `symbols`.
static void noteUnusedFiles(func::FuncOp entry, StringRef folder,
                            const llvm::StringSet<> &symbols) {
  std::error_code error;
  size_t unused = 0;
  std::string first;
  for (llvm::sys::fs::directory_iterator it(folder, error), end;
       it != end && !error; it.increment(error)) {
    StringRef path = it->path();
    if (llvm::sys::path::extension(path) != ".cu" ||
        symbols.contains(llvm::sys::path::stem(path)))
      continue;
    ++unused;
    StringRef name = llvm::sys::path::filename(path);
    if (first.empty() || name < first)
      first = name.str();
  }
  if (unused)
    entry.emitRemark("'") << folder << "' has " << unused
                          << (unused == 1 ? " kernel" : " kernels")
                          << " that this program has not, such as '" << first
                          << "'";
}

/// Makes the code of `text`, and notes what its grids take.
static llvm::Error makeObject(const BackendOptions &options, StringRef name,
                              StringRef text, exec::Kernel &info,
                              exec::Object &object) {
  llvm::Expected<KernelCode> code = options.makeCode(name, text);
  if (!code)
    return code.takeError();
  object.set_code(std::move(code->bytes));
  object.set_source(text.str());
  for (const std::string &warning : code->warnings)
    object.add_warnings(warning);
  for (exec::Grid &grid : *info.mutable_grids()) {
    KernelCode::Resources taken = code->resources.lookup(grid.symbol());
    grid.set_registers(taken.registers);
    grid.set_static_shared_bytes(taken.sharedBytes);
    grid.set_spill_bytes(taken.spillBytes);
  }
  return llvm::Error::success();
}

LogicalResult compileForCuda(func::FuncOp entry, const BackendOptions &options,
                             exec::Executable &executable,
                             BackendStatistics *statistics) {
  std::string target = options.simulate ? "cuda-sim" : "cuda";
  std::string identity = target + "\n" + options.arch + "\n" +
                         std::to_string(options.features.architecture) + "\n" +
                         options.codeIdentity;
  llvm::StringSet<> symbols;
  auto lower = [&](KernelOp kernel, StringRef meaning,
                   exec::Kernel &info) -> FailureOr<MakeObjectFn> {
    std::string symbol = makeSymbol(kernel, meaning);
    symbols.insert(symbol);
    std::string scheduleName;
    FailureOr<KernelText> text =
        writeText(kernel, symbol, options.features, scheduleName);
    if (failed(text) ||
        failed(readEdited(kernel, options.sourceFolder, symbol, text->text)))
      return failure();
    info.set_schedule(scheduleName);
    info.set_symbol(symbol);
    setGrids(*text, info);
    if (options.simulate) {
      SimWrapper wrapper = makeSimWrapper(kernel, *text);
      info.set_symbol(wrapper.symbol);
      info.set_work_items(wrapper.workItems);
      text->text += wrapper.text;
    }
    return MakeObjectFn([&options, name = symbol + ".cu",
                         source = std::move(text->text)](exec::Kernel &info,
                                                         exec::Object &object) {
      return makeObject(options, name, source, info, object);
    });
  };
  KernelCompileOptions compile = options;
  // Edited texts must be seen, whatever the cache holds.
  if (!options.sourceFolder.empty())
    compile.cache = nullptr;
  if (failed(compileKernels(entry, compile, identity, lower, executable,
                            statistics)))
    return failure();
  if (!options.sourceFolder.empty())
    noteUnusedFiles(entry, options.sourceFolder, symbols);
  executable.set_target(target);
  executable.set_arch(options.arch);
  // The Runtime may have to compile for another architecture.
  if (!options.simulate && executable.headers().empty())
    for (const DeviceHeader &from : getDeviceHeaders()) {
      exec::Header *header = executable.add_headers();
      header->set_name(from.name.str());
      header->set_text(from.text.str());
    }
  return success();
}

FailureOr<std::vector<NamedText>> getKernelTexts(ModuleOp module,
                                                 const GpuFeatures &features,
                                                 StringRef sourceFolder) {
  std::vector<NamedText> texts;
  auto add = [&](KernelOp kernel, StringRef meaning) -> LogicalResult {
    NamedText named;
    named.name = makeSymbol(kernel, meaning);
    FailureOr<KernelText> text =
        writeText(kernel, named.name, features, named.schedule);
    if (failed(text) ||
        failed(readEdited(kernel, sourceFolder, named.name, text->text)))
      return failure();
    named.kernel = std::move(*text);
    texts.push_back(std::move(named));
    return success();
  };
  if (failed(forEachDistinctKernel(module, add)))
    return failure();
  return texts;
}

} // namespace lathe::cuda
