//===- Checkpoint.cpp - Training that can be taken up again ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Checkpoint.h"

#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Json.h"
#include "lathe/Support/KeyPattern.h"
#include "lathe/Support/Safetensors.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;
using json = nlohmann::ordered_json;

namespace lathe::train {

static constexpr int kVersion = 1;
static constexpr const char *kModelFile = "model.safetensors",
                            *kOptimizerFile = "optimizer.safetensors",
                            *kJsonFile = "checkpoint.json";

static std::string join(StringRef folder, const Twine &name) {
  SmallString<256> path(folder);
  sys::path::append(path, name);
  return path.str().str();
}

static json toJson(const TrainingState &training) {
  json scalars = json::object();
  for (const auto &[name, value] : training.scalars)
    scalars[name] = value;
  json result = {{"step", training.step},
                 {"seed", training.seed},
                 {"epoch", training.position.epoch},
                 {"example", training.position.example},
                 {"data", training.data},
                 {"evaluations_since_best", training.evaluationsSinceBest},
                 {"scalars", scalars}};
  if (training.evaluatedAt)
    result["evaluated_at"] = *training.evaluatedAt;
  if (training.bestStep) {
    result["best_step"] = *training.bestStep;
    result["best"] = training.best;
  }
  return result;
}

/// Throws nlohmann's exceptions.
static TrainingState fromJson(const json &value) {
  TrainingState training;
  training.step = value.at("step");
  training.seed = value.at("seed");
  training.position.epoch = value.at("epoch");
  training.position.example = value.at("example");
  training.data = value.at("data");
  training.evaluationsSinceBest = value.at("evaluations_since_best");
  for (const auto &[name, scalar] : value.at("scalars").items())
    training.scalars.emplace_back(
        name, scalar.is_number() ? scalar.get<double>() : std::nan(""));
  if (value.contains("evaluated_at"))
    training.evaluatedAt = value["evaluated_at"].get<uint64_t>();
  if (value.contains("best_step")) {
    training.bestStep = value["best_step"].get<uint64_t>();
    training.best = value.at("best");
  }
  return training;
}

/// The tensors of a file that make up a state: names, and one's shape.
static std::vector<std::string> keysOf(const StateSpec &spec, Shape &shape) {
  shape = spec.shape;
  if (spec.key.empty() || shape.empty())
    return {spec.key.empty() ? spec.name : spec.key};
  KeyPattern pattern(spec.key);
  if (pattern.isStacked())
    shape.erase(shape.begin());
  return pattern.keys(spec.shape[0]);
}

namespace {
/// Tensors of the program's state, and views of them for a file.
struct Snapshot {
  std::vector<Tensor> tensors;
  std::vector<NamedView> model, optimizer;

  static Expected<Snapshot> of(TrainProgram &program, bool modelOnly) {
    Snapshot result;
    ArrayRef<StateSpec> states = program.states();
    result.tensors.reserve(states.size());
    for (size_t i = 0; i < states.size(); ++i) {
      if (modelOnly && !states[i].ofModel)
        continue;
      auto tensor = program.state(i);
      if (!tensor)
        return tensor.takeError();
      Shape shape;
      char *data = static_cast<char *>(tensor->data());
      for (std::string &key : keysOf(states[i], shape)) {
        TensorView view(states[i].dtype, shape, data);
        data += view.numBytes();
        (states[i].ofModel ? result.model : result.optimizer)
            .push_back({std::move(key), view});
      }
      result.tensors.push_back(std::move(*tensor));
    }
    return result;
  }
};

/// A folder that is removed with all it holds, unless it was renamed.
struct TemporaryFolder {
  std::string path;
  ~TemporaryFolder() {
    if (!path.empty())
      (void)sys::fs::remove_directories(path);
  }
};
} // namespace

static Error flushFolder(StringRef path) {
  int fd = ::open(path.str().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return makeErrnoError("cannot open " + quote(path), errno);
  // Some file systems cannot.
  (void)::fsync(fd);
  ::close(fd);
  return Error::success();
}

std::string CheckpointFolder::pathOf(uint64_t step) const {
  return join(path, "step-" + Twine(step));
}

std::vector<uint64_t> CheckpointFolder::steps() const {
  std::vector<uint64_t> result;
  std::error_code ec;
  for (sys::fs::directory_iterator it(path, ec), end; it != end && !ec;
       it.increment(ec)) {
    StringRef name = sys::path::filename(it->path());
    uint64_t step;
    if (name.consume_front("step-") && !name.getAsInteger(10, step))
      result.push_back(step);
  }
  std::sort(result.rbegin(), result.rend());
  return result;
}

Error CheckpointFolder::prepare(bool resume) const {
  if (std::error_code error = sys::fs::create_directories(path))
    return makeErrnoError("cannot make the folder " + quote(path),
                          error.value());
  // Under the name of a left-over: that is what it is if the process dies here.
  std::string name = join(path, ".step-test");
  if (::mkdir(name.c_str(), 0777) && errno != EEXIST)
    return makeErrnoError("cannot write into the folder " + quote(path), errno);
  ::rmdir(name.c_str());
  if (!resume && !steps().empty())
    return makeError("the folder {0} holds checkpoints of an earlier training: "
                     "resume it, or choose another folder",
                     quote(path));
  if (!resume && sys::fs::exists(join(path, "best.safetensors")))
    return makeError("the folder {0} holds best.safetensors of an earlier "
                     "training, which a better state of this one would "
                     "overwrite: move it, or choose another folder",
                     quote(path));
  return Error::success();
}

/// Left behind by a process that was killed.
static void removeLeftOvers(StringRef folder) {
  std::vector<std::string> found;
  std::error_code ec;
  for (sys::fs::directory_iterator it(folder, ec), end; it != end && !ec;
       it.increment(ec))
    if (sys::path::filename(it->path()).starts_with(".step-"))
      found.push_back(it->path());
  for (const std::string &path : found)
    (void)sys::fs::remove_directories(path);
}

Error CheckpointFolder::save(TrainProgram &program,
                             const TrainingState &training,
                             ArrayRef<ExtraFile> extra) {
  auto snapshot = Snapshot::of(program, /*modelOnly=*/false);
  if (!snapshot)
    return snapshot.takeError();
  if (std::error_code error = sys::fs::create_directories(path))
    return makeErrnoError("cannot make the folder " + quote(path),
                          error.value());
  removeLeftOvers(path);
  TemporaryFolder temporary;
  std::string name = join(path, ".step-" + Twine(training.step));
  if (std::error_code error = sys::fs::create_directory(name))
    return makeErrnoError("cannot make the folder " + quote(name),
                          error.value());
  temporary.path = name;

  json tensors = json::object();
  for (const auto &[file, views] :
       {std::pair(kModelFile, &snapshot->model),
        std::pair(kOptimizerFile, &snapshot->optimizer)}) {
    if (Error error = writeSafetensors(join(name, file), *views))
      return error;
    for (const NamedView &view : *views)
      appendKey(
          tensors, view.name,
          {{"file", file}, {"sha256", sha256Hex(view.tensor.rawBytes())}});
  }
  for (const ExtraFile &file : extra)
    if (Error error = writeFileAtomically(join(name, file.name), {file.text}))
      return error;
  json content = {
      {"version", kVersion}, {"state", toJson(training)}, {"tensors", tensors}};
  json whole = {{"sha256", sha256Hex(content.dump())}, {"content", content}};
  if (Error error =
          writeFileAtomically(join(name, kJsonFile), {whole.dump(1), "\n"}))
    return error;
  if (Error error = flushFolder(name))
    return error;

  // Where this step was saved before, the two change places, and the old one
  // is removed as a temporary folder.
  std::string final = pathOf(training.step);
  unsigned exchange = sys::fs::exists(final) ? RENAME_EXCHANGE : 0;
  if (::renameat2(AT_FDCWD, name.c_str(), AT_FDCWD, final.c_str(), exchange))
    return makeErrnoError("cannot rename " + quote(name), errno);
  if (!exchange)
    temporary.path.clear();
  if (Error error = flushFolder(path))
    return error;

  std::vector<uint64_t> present = steps();
  unsigned older = 0;
  for (uint64_t step : present)
    if (step > training.step || (step < training.step && ++older > 1))
      (void)sys::fs::remove_directories(pathOf(step));
  return Error::success();
}

/// Everything by which the files differ from the program's state.
static std::vector<std::string>
compareState(ArrayRef<StateSpec> states,
             ArrayRef<std::shared_ptr<Safetensors>> files) {
  std::vector<std::string> wrong;
  StringSet<> known;
  for (const StateSpec &spec : states) {
    Shape shape;
    for (const std::string &key : keysOf(spec, shape)) {
      known.insert(key);
      const Safetensors::Entry *entry = files[spec.ofModel ? 0 : 1]->find(key);
      std::string wanted = quote(key) + " " + formatType(spec.dtype, shape);
      if (!entry)
        wrong.push_back(wanted + " is not in the checkpoint");
      else if (entry->dtype != spec.dtype || entry->shape != shape)
        wrong.push_back(wanted + " is " +
                        formatType(entry->dtype, entry->shape) +
                        " in the checkpoint");
    }
  }
  for (const std::shared_ptr<Safetensors> &file : files)
    for (const Safetensors::Entry &entry : file->entries())
      if (!known.contains(entry.name))
        wrong.push_back(quote(entry.name) + " is not in the model");
  return wrong;
}

/// The whole of a state out of a file that compareState has found to fit.
static Expected<Tensor> readState(const StateSpec &spec,
                                  const Safetensors &file) {
  auto tensor = Tensor::create(spec.dtype, spec.shape);
  if (!tensor)
    return tensor;
  Shape shape;
  char *out = static_cast<char *>(tensor->data());
  for (const std::string &key : keysOf(spec, shape)) {
    StringRef bytes = file.view(*file.find(key)).rawBytes();
    std::memcpy(out, bytes.data(), bytes.size());
    out += bytes.size();
  }
  return tensor;
}

Expected<TrainingState> CheckpointFolder::loadStep(TrainProgram &program,
                                                   uint64_t step,
                                                   bool &otherModel) {
  std::string folder = pathOf(step);
  auto text = MappedFile::open(join(folder, kJsonFile));
  if (!text)
    return text.takeError();
  TrainingState training;
  auto whole = parseJson((*text)->bytes());
  if (!whole)
    return prefixError("checkpoint.json is damaged", whole.takeError());
  StringMap<std::string> digests;
  try {
    const json &content = whole->at("content");
    if (whole->at("sha256") != sha256Hex(content.dump()))
      return makeError("the checksum of checkpoint.json does not hold");
    if (content.at("version") != kVersion)
      return makeError("it is of version {0}, expected {1}",
                       content.at("version").dump(), kVersion);
    training = fromJson(content.at("state"));
    for (const auto &[name, tensor] : content.at("tensors").items())
      digests[name] = tensor.at("sha256");
  } catch (const json::exception &) {
    return makeError("checkpoint.json is damaged");
  }
  std::vector<std::shared_ptr<Safetensors>> files;
  for (const char *name : {kModelFile, kOptimizerFile}) {
    auto file = Safetensors::open(join(folder, name));
    if (!file)
      return file.takeError();
    for (const Safetensors::Entry &entry : (*file)->entries()) {
      auto digest = digests.find(entry.name);
      if (digest == digests.end() ||
          digest->second != sha256Hex((*file)->view(entry).rawBytes()))
        return makeError("the checksum of {0} does not hold",
                         quote(entry.name));
    }
    files.push_back(std::move(*file));
  }
  if (digests.size() != files[0]->entries().size() + files[1]->entries().size())
    return makeError("tensors are missing from it");

  ArrayRef<StateSpec> states = program.states();
  std::vector<std::string> wrong = compareState(states, files);
  if (!wrong.empty()) {
    otherModel = true;
    std::string list;
    for (size_t i = 0; i < wrong.size() && i < 20; ++i)
      list += "\n  " + wrong[i];
    if (wrong.size() > 20)
      list += "\n  and " + std::to_string(wrong.size() - 20) + " more";
    return makeError("it is of another model or optimizer: {0} tensors do not "
                     "fit{1}",
                     wrong.size(), list);
  }
  for (size_t i = 0; i < states.size(); ++i) {
    auto value = readState(states[i], *files[states[i].ofModel ? 0 : 1]);
    if (!value)
      return value.takeError();
    if (Error error = program.setState(i, *value))
      return error;
  }
  return training;
}

Expected<std::optional<TrainingState>>
CheckpointFolder::load(TrainProgram &program,
                       const std::function<void(const std::string &)> &note) {
  std::vector<uint64_t> present = steps();
  for (size_t i = 0; i < present.size(); ++i) {
    bool otherModel = false;
    auto training = loadStep(program, present[i], otherModel);
    if (training)
      return std::optional<TrainingState>(std::move(*training));
    std::string prefix =
        "cannot resume from the checkpoint " + quote(pathOf(present[i]));
    if (otherModel || i + 1 == present.size())
      return prefixError(prefix, training.takeError());
    note(toString(prefixError(prefix, training.takeError())) +
         "; the one before it is used");
  }
  return std::nullopt;
}

Error writeModel(StringRef path, TrainProgram &program,
                 const std::map<std::string, std::string> &metadata) {
  auto snapshot = Snapshot::of(program, /*modelOnly=*/true);
  if (!snapshot)
    return snapshot.takeError();
  return writeSafetensors(path, snapshot->model, metadata);
}

} // namespace lathe::train
