//===- ModelData.cpp - Examples for a model's entry -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelData.h"

#include "InputData.h"
#include "RecipeFile.h"
#include "lathe/Executable/Executable.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <set>

namespace lathe {

using llvm::Error;
using llvm::Expected;

void ModelDataOptions::add(CLI::App &verb) {
  verb.add_option("--data", data,
                  "Examples: NAME=FILE for an input (repeatable), an .npz or "
                  ".safetensors FILE with arrays of the inputs' names, or a "
                  "folder with a file NAME.npy per input or the files that "
                  "the recipe names. Formats: npy, npz, safetensors, IDX (also "
                  "gzip), .bin (tokens), .txt (a token per byte); the leading "
                  "dim of arrays counts the examples")
      ->default_str("what the recipe names");
  verb.add_option("--recipe", recipe,
                  "Where the data is and how it is read, from a .json or .yaml "
                  "file that lathe train takes, too; 'none' for none")
      ->default_str("the one beside the model");
  verb.add_option("--samples", samples, "Examples, at most; drawn by --seed")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 40))
      ->capture_default_str();
  verb.add_option("--batch", batch,
                  "Examples that are run at once, where the model leaves it "
                  "open")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 24))
      ->capture_default_str();
  addDataForms(verb);
}

bool isGenerator(StringRef text) {
  StringRef kind = text.split('=').second.split(':').first;
  return kind == "random" || kind == "zeros" || kind == "ones" ||
         kind == "iota";
}

std::vector<InputDeclaration> listLabels(const Model &entry) {
  const std::vector<InputDeclaration> &own = entry.inputs();
  auto isOwn = [&](StringRef name) {
    return llvm::any_of(own, [&](auto &one) { return one.name == name; });
  };
  std::vector<InputDeclaration> labels;
  if (!entry.module().lookupSymbol<func::FuncOp>("loss")) {
    if (!own.empty() && !own[0].shape.empty() && !isOwn("label"))
      labels.push_back(
          {"label", DType::I64, {own[0].shape[0]}, {own[0].dimNames[0]}});
    return labels;
  }
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(entry.module()->clone()));
  std::unique_ptr<Model> loss = Model::fromModule(std::move(copy), "loss");
  if (loss)
    for (const InputDeclaration &input : loss->inputs())
      if (!isOwn(input.name) && !isFloat(input.dtype) && !input.shape.empty() &&
          input.name != train::kRandomKey)
        labels.push_back(input);
  return labels;
}

namespace {
/// Puts the options, files and shapes of one ModelData together.
class Opener {
public:
  Opener(ModelDataOptions &options, const ModelOptions &model,
         const Model &entry, CLI::App &verb,
         std::vector<InputDeclaration> labels)
      : options(options), model(model), verb(verb), inputs(entry.inputs()),
        ownInputs(inputs.size()) {
    llvm::append_range(inputs, labels);
  }
  Error takeRecipe();
  Error chooseTexts();
  Error chooseShapes();
  Error makeDataset();

  ModelDataOptions &options;
  const ModelOptions &model;
  CLI::App &verb;
  /// The model's own, then labels.
  std::vector<InputDeclaration> inputs;
  size_t ownInputs;
  std::vector<std::string> recipeData, recipeEval, texts;
  std::map<std::string, std::string> generators; ///< by input
  OpenFiles files;
  std::vector<SmallVector<int64_t>> shapes;
  std::vector<TensorSpec> specs; ///< of the inputs with data
  std::shared_ptr<train::Dataset> dataset;
  int64_t batch = 0;

private:
  ArrayRef<InputDeclaration> modelInputs() const {
    return ArrayRef(inputs).take_front(ownInputs);
  }
  bool isInput(StringRef name) const {
    return llvm::any_of(inputs, [&](auto &one) { return one.name == name; });
  }
  Error refuseName(StringRef name) const {
    return makeError(unknownInput(name, modelInputs().vec()));
  }
  Expected<std::string> findInFolder(StringRef folder, StringRef name) const;
  /// The file alone that was given for `input`, if it is an array.
  const TensorView *findArray(const InputDeclaration &input) const;
};
} // namespace

/// Of a recipe for training, what says how data is read; of that, what is said
/// of the inputs of this entry. Labels are for @loss.
Error Opener::takeRecipe() {
  bool isBeside = options.recipe.empty();
  if (isBeside) {
    SmallString<256> beside(model.file);
    llvm::sys::path::replace_extension(beside, "yaml");
    if (!llvm::sys::fs::exists(beside))
      return Error::success();
    options.recipe = beside.str().str();
  } else if (options.recipe == "none") {
    return Error::success();
  }
  auto recipe = readRecipe(options.recipe);
  if (!recipe)
    return recipe.takeError();
  Recipe forms{recipe->path, {}};
  for (Recipe::Entry &entry : recipe->entries) {
    llvm::erase_if(entry.values, [&](StringRef value) {
      return value.contains('=') && !isInput(value.split('=').first);
    });
    if (entry.key == "data")
      recipeData = entry.values;
    else if (entry.key == "eval")
      recipeEval = entry.values;
    else if (StringRef key = entry.key;
             !entry.values.empty() &&
             (key == "normalize" || key == "shift" || key == "limit" ||
              key == "pad" || key == "tokens" || key == "vocabulary"))
      forms.entries.push_back(entry);
  }
  if (isBeside && (options.data.empty() || !forms.entries.empty()))
    llvm::errs() << "lathe: note: the recipe " << quote(options.recipe)
                 << " says how data is read (--recipe none: without it)\n";
  return applyRecipe(verb, forms, {});
}

/// NAME.npy and the like, or the file of that name that the recipe has for the
/// input.
Expected<std::string> Opener::findInFolder(StringRef folder,
                                           StringRef name) const {
  auto inFolder = [&](const llvm::Twine &file) {
    SmallString<256> path(folder);
    llvm::sys::path::append(path, file);
    return llvm::sys::fs::is_regular_file(path) ? path.str().str() : "";
  };
  for (const char *extension :
       {".npy", ".npz", ".safetensors", ".bin", ".txt", ".gz", ".idx"})
    if (std::string path = inFolder(name + extension); !path.empty())
      return path;
  std::string named;
  for (StringRef text : recipeData)
    if (auto [input, file] = text.split('='); input == name) {
      named = llvm::sys::path::filename(file).str();
      if (std::string path = inFolder(named); !path.empty())
        return path;
    }
  return makeError("the folder {0} holds no data for the input {1}: expected "
                   "{2}.npy{3} in it, or --data NAME=FILE",
                   quote(folder), quote(name), name,
                   named.empty() ? "" : " or " + quote(named));
}

Error Opener::chooseTexts() {
  std::set<std::string> given;
  for (StringRef text : model.inputs) {
    auto [name, value] = text.split('=');
    if (isGenerator(text)) {
      if (!isInput(name))
        return refuseName(name);
      generators[name.str()] = value.str();
    } else {
      options.data.push_back(text.str());
    }
  }
  std::vector<std::string> folders;
  for (const std::string &text : options.data)
    if (!StringRef(text).contains('=') && llvm::sys::fs::is_directory(text))
      folders.push_back(text);
    else
      texts.push_back(text);
  if (options.data.empty())
    texts = recipeData;
  for (const std::string &text : texts)
    if (auto [name, file] = StringRef(text).split('='); !file.empty()) {
      if (!isInput(name))
        return refuseName(name);
      given.insert(name.str());
    }
  for (const std::string &folder : folders)
    for (auto [i, input] : llvm::enumerate(inputs))
      if (!generators.count(input.name) && given.insert(input.name).second) {
        auto path = findInFolder(folder, input.name);
        if (path) {
          texts.push_back(input.name + "=" + *path);
          continue;
        }
        if (i < ownInputs)
          return path.takeError();
        llvm::consumeError(path.takeError());
        given.erase(input.name);
      }
  std::string missing;
  for (const InputDeclaration &input : modelInputs())
    missing += (missing.empty() ? "" : ", ") + quote(input.name) + " of type " +
               dtypeName(input.dtype).str();
  if (texts.empty() && generators.size() < ownInputs)
    return makeError("there is no --data; the model takes {0}", missing);
  return Error::success();
}

const TensorView *Opener::findArray(const InputDeclaration &input) const {
  auto find = [&](const train::DataFile &file,
                  bool isNamed) -> const TensorView * {
    if (file.tokens)
      return nullptr;
    if (isNamed && file.arrays.size() == 1)
      return &file.arrays[0].tensor;
    for (const NamedView &array : file.arrays)
      if (array.name == input.name)
        return &array.tensor;
    return nullptr;
  };
  if (auto it = files.named.find(input.name); it != files.named.end())
    return find(*it->second, true);
  for (const auto &file : files.unnamed)
    if (const TensorView *array = find(*file, false))
      return array;
  return nullptr;
}

/// Open sizes are those of the data, the batch is what the user says.
Error Opener::chooseShapes() {
  std::vector<std::string> names;
  for (const InputDeclaration &input : modelInputs())
    if (!generators.count(input.name))
      names.push_back(input.name);
  train::Vocabulary vocabulary;
  auto opened = openDataFiles(texts, "--data", options, names, vocabulary);
  if (!opened)
    return opened.takeError();
  files = std::move(*opened);
  inputs.erase(std::remove_if(inputs.begin() + ownInputs, inputs.end(),
                              [&](auto &label) { return !findArray(label); }),
               inputs.end());

  ModelOptions sizes = model;
  std::set<std::string> named;
  for (StringRef text : model.dims)
    named.insert(text.split('=').first.str());
  auto setDim = [&](const std::string &name, int64_t size) {
    if (!name.empty() && named.insert(name).second)
      sizes.dims.push_back(name + "=" + std::to_string(size));
  };
  for (const InputDeclaration &input : inputs)
    if (!input.shape.empty() && input.shape[0] < 0)
      setDim(input.dimNames[0], options.batch);
  for (const InputDeclaration &input : inputs) {
    const TensorView *array = findArray(input);
    if (array && array->shape().size() == input.shape.size())
      for (size_t i = 1; i < input.shape.size(); ++i)
        if (input.shape[i] < 0)
          setDim(input.dimNames[i], array->shape()[i]);
  }
  std::vector<std::string> notes;
  auto resolved = resolveShapes(inputs, sizes, {}, notes);
  if (!resolved)
    return resolved.takeError();
  shapes = std::move(*resolved);
  for (const std::string &note : notes)
    if (!StringRef(note).contains("open size dim "))
      llvm::errs() << "lathe: note: " << note << "\n";
  for (auto [input, shape] : llvm::zip_equal(inputs, shapes)) {
    const TensorView *array = findArray(input);
    for (size_t i = 0; i < shape.size(); ++i)
      if (input.shape[i] < 0 && input.dimNames[i].empty())
        shape[i] = i == 0 ? options.batch
                   : array && array->shape().size() == shape.size()
                       ? array->shape()[i]
                       : shape[i];
    if (llvm::is_contained(shape, 0))
      return makeError("the batch is empty: the input {0} has a size of 0 "
                       "(--batch and --dim set the open ones)",
                       quote(input.name));
  }
  return Error::success();
}

Error Opener::makeDataset() {
  specs.clear();
  for (auto [input, shape] : llvm::zip_equal(inputs, shapes))
    if (!generators.count(input.name) && input.name != train::kRandomKey)
      specs.push_back({input.name, input.dtype, Shape(shape)});
  if (specs.empty())
    return Error::success();
  for (const TensorSpec &spec : specs)
    if (spec.shape.empty())
      return makeError(
          "the input {0} has no dim for examples: expected --input "
          "{1}=zeros or another generator for it",
          quote(spec.name), spec.name);
  auto fields = options.parseFields();
  if (!fields)
    return fields.takeError();
  auto made =
      train::Dataset::create(specs, files.named, files.unnamed, *fields);
  if (!made)
    return made.takeError();
  dataset = std::move(*made);
  batch = specs[0].shape[0];
  return Error::success();
}

Expected<ModelData> ModelData::open(ModelDataOptions &options,
                                    const ModelOptions &model,
                                    const Model &entry, CLI::App &verb,
                                    std::vector<InputDeclaration> labels) {
  Opener opener(options, model, entry, verb, std::move(labels));
  if (Error error = opener.takeRecipe())
    return std::move(error);
  if (options.eval.empty())
    options.eval = opener.recipeEval;
  if (Error error = opener.chooseTexts())
    return std::move(error);
  if (Error error = opener.chooseShapes())
    return std::move(error);
  if (Error error = opener.makeDataset())
    return std::move(error);
  int64_t available = opener.dataset ? opener.dataset->size() : 0;
  if (!opener.dataset)
    model.noteUnused({"--samples"},
                     "where all inputs are made up: one batch is (--batch)");
  int64_t wanted = std::min(options.samples, available);
  if (opener.dataset && wanted < opener.batch) {
    // A batch no larger than the data, where the model leaves it open.
    options.batch = std::max<int64_t>(wanted, 1);
    if (Error error = opener.chooseShapes())
      return std::move(error);
    if (Error error = opener.makeDataset())
      return std::move(error);
  }

  ModelData data;
  data.sizes = opener.shapes;
  data.sizes.resize(opener.ownInputs);
  data.specs = opener.specs;
  exec::Program signature;
  std::vector<std::string> specs;
  for (auto [input, shape] : llvm::zip(opener.inputs, data.sizes)) {
    const std::string &name = input.name;
    auto spec = llvm::find_if(
        opener.specs, [&](const TensorSpec &one) { return one.name == name; });
    bool isLoaded = spec != opener.specs.end();
    data.fromLoader.push_back(isLoaded ? spec - opener.specs.begin() : -1);
    exec::Signature *one = signature.add_inputs();
    one->set_name(input.name);
    one->mutable_type()->set_element(toElementType(input.dtype));
    for (int64_t size : shape) // nothing where a batch is loaded
      one->mutable_type()->add_shape(isLoaded ? 0 : size);
    auto generator = opener.generators.find(input.name);
    specs.push_back(
        input.name + "=" +
        (generator == opener.generators.end() ? "zeros" : generator->second));
  }
  auto generated = makeInputs(signature, specs, {}, model.seed);
  if (!generated)
    return generated.takeError();
  data.generated = std::make_shared<std::vector<Tensor>>(std::move(*generated));
  if (!opener.dataset) {
    data.rows = opener.shapes.empty() || opener.shapes[0].empty()
                    ? 1
                    : opener.shapes[0][0];
    return std::move(data);
  }
  data.seed = model.seed;
  data.dataset = std::move(opener.dataset);
  data.rows = opener.batch;
  data.available = available;
  data.useAtMost(wanted);
  if (Error error = data.startLoader())
    return std::move(error);
  return std::move(data);
}

Error ModelData::startLoader() {
  train::LoaderOptions options;
  options.seed = seed;
  auto made = train::Loader::create(dataset, options);
  if (!made)
    return made.takeError();
  loader = std::move(*made);
  rewind();
  return Error::success();
}

void ModelData::useAtMost(int64_t samples) {
  count = std::max<int64_t>(1, std::min(available - first, samples) / rows);
}

Expected<ModelData> ModelData::holdOut(int64_t samples) {
  if (!dataset)
    return makeError("expected --data to hold some of it out: all inputs are "
                     "made up");
  int64_t batches = available / rows;
  if (batches < 2)
    return makeError("expected data for more than one batch of {0} examples, "
                     "to hold some out, got {1} (--batch, --eval)",
                     rows, available);
  count = std::min(count, (batches + 1) / 2);
  ModelData other;
  other.sizes = sizes;
  other.rows = rows;
  other.first = count * rows;
  other.available = available;
  other.specs = specs;
  other.seed = seed;
  other.dataset = dataset;
  other.fromLoader = fromLoader;
  other.generated = generated;
  other.useAtMost(samples);
  if (Error error = other.startLoader())
    return std::move(error);
  return std::move(other);
}

void ModelData::rewind() {
  if (loader)
    loader->seek({0, static_cast<uint64_t>(first)});
}

Expected<std::vector<TensorView>> ModelData::next() {
  std::vector<TensorView> views(generated->begin(), generated->end());
  if (!loader)
    return views;
  auto batch = loader->next();
  if (!batch)
    return batch.takeError();
  lastBatch = batch->tensors;
  for (auto [view, index] : llvm::zip_equal(views, fromLoader))
    if (index >= 0)
      view = batch->tensors[index];
  return views;
}

} // namespace lathe
