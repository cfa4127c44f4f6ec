//===- Generate.cpp - lathe generate ----------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Runtime/Sampling.h"
#include "lathe/Support/Error.h"
#include "llvm/Support/FormatVariadic.h"

#include <chrono>
#include <cstring>

namespace lathe {

namespace {
struct GenerateOptions : ModelOptions {
  std::string prompt, json;
  std::vector<int64_t> tokens;
  unsigned length = 200;
  int64_t context = 0;
  SamplingOptions sampling;
};

/// A language model: tokens [1, context] in, logits [1, context, vocabulary]
/// out, those of a position made from the tokens up to it.
class LanguageModel {
public:
  static llvm::Expected<LanguageModel> create(Session &session);

  /// The logits after the last of `tokens`, which may be more than fit: the
  /// first ones are forgotten then.
  llvm::Expected<llvm::ArrayRef<float>>
  predict(llvm::ArrayRef<int64_t> tokens) {
    return predict(tokens, /*padding=*/0);
  }
  /// Whether what stands after a token changes what is said about it.
  llvm::Error checkCausal(llvm::ArrayRef<int64_t> tokens);

  int64_t context = 0, vocabulary = 0;

private:
  llvm::Expected<llvm::ArrayRef<float>> predict(llvm::ArrayRef<int64_t> tokens,
                                                int64_t padding);

  Session *session = nullptr;
  Tensor window;
  std::vector<Tensor> outputs;
};
} // namespace

llvm::Expected<LanguageModel> LanguageModel::create(Session &session) {
  auto isWindow = [](const TensorSpec &spec) {
    return spec.dtype == DType::I64 && spec.shape.size() == 2 &&
           spec.shape[0] == 1;
  };
  llvm::ArrayRef<TensorSpec> inputs = session.inputs();
  if (inputs.size() != 1 || !isWindow(inputs[0]))
    return makeError("a language model has one input of tokens, "
                     "i64[1,context]; this one has " +
                     llvm::Twine(inputs.size()) +
                     (inputs.size() == 1
                          ? ": " + formatType(inputs[0].dtype, inputs[0].shape)
                          : ""));
  const TensorSpec &logits = session.outputs().front();
  if (logits.dtype != DType::F32 || logits.shape.size() != 3 ||
      logits.shape[1] != inputs[0].shape[1])
    return makeError(
        "a language model's first output is f32[1,context,vocabulary]; this "
        "one's is {0}",
        formatType(logits.dtype, logits.shape));
  LanguageModel model;
  model.session = &session;
  model.context = logits.shape[1];
  model.vocabulary = logits.shape[2];
  if (!model.context || !model.vocabulary)
    return makeError("the model's context or vocabulary is empty");
  llvm::Expected<Tensor> window = Tensor::zeros(DType::I64, inputs[0].shape);
  if (!window)
    return window.takeError();
  model.window = std::move(*window);
  return model;
}

llvm::Expected<llvm::ArrayRef<float>>
LanguageModel::predict(llvm::ArrayRef<int64_t> tokens, int64_t padding) {
  tokens = tokens.take_back(context);
  llvm::MutableArrayRef<int64_t> row = window.as<int64_t>();
  std::copy(tokens.begin(), tokens.end(), row.begin());
  std::fill(row.begin() + tokens.size(), row.end(), padding);
  auto result = session->run({window.view()});
  if (!result)
    return result.takeError();
  outputs = std::move(*result);
  return outputs.front().as<float>().slice((tokens.size() - 1) * vocabulary,
                                           vocabulary);
}

llvm::Error LanguageModel::checkCausal(llvm::ArrayRef<int64_t> tokens) {
  if (int64_t(tokens.size()) >= context || vocabulary < 2)
    return llvm::Error::success();
  auto logits = predict(tokens, /*padding=*/0);
  if (!logits)
    return logits.takeError();
  std::vector<float> before(logits->begin(), logits->end());
  logits = predict(tokens, /*padding=*/1);
  if (!logits)
    return logits.takeError();
  if (std::memcmp(before.data(), logits->data(), vocabulary * sizeof(float)))
    return makeError(
        "the model cannot go on with a text: what it says after a token "
        "depends on the tokens that follow");
  return llvm::Error::success();
}

/// Open sizes become one text of the wanted length.
static int fixSizes(GenerateOptions &options, size_t promptLength) {
  CompilerContext context;
  PreparedModel notes;
  std::unique_ptr<Model> model = loadModel(context.get(), options, {}, notes);
  if (!model)
    return kFailed;
  for (const InputDeclaration &input : model->inputs())
    for (size_t i = 0; i < input.shape.size(); ++i) {
      const std::string &dim = input.dimNames[i];
      bool isGiven = llvm::any_of(options.dims, [&](StringRef text) {
        return text.starts_with(dim + "=");
      });
      if (input.shape[i] >= 0 || dim.empty() || isGiven)
        continue;
      int64_t wanted = options.context;
      // Long texts slide through the window.
      if (!wanted)
        wanted = std::min<int64_t>(promptLength + options.length, 256);
      options.dims.push_back(dim + "=" + std::to_string(i == 0 ? 1 : wanted));
    }
  return kDone;
}

static llvm::Expected<std::vector<int64_t>>
promptTokens(const GenerateOptions &options, int64_t vocabulary) {
  std::vector<int64_t> result = options.tokens;
  if (!options.prompt.empty()) {
    if (vocabulary != 256)
      return makeError("--prompt is for models of bytes (a vocabulary of 256); "
                       "this one has {0} tokens: give their numbers with "
                       "--tokens",
                       vocabulary);
    for (unsigned char byte : options.prompt)
      result.push_back(byte);
  }
  // A text begins after the end of a line.
  if (result.empty())
    result.push_back(vocabulary == 256 ? '\n' : 0);
  for (int64_t token : result)
    if (token < 0 || token >= vocabulary)
      return makeError("token {0} is none of the model's {1}", token,
                       vocabulary);
  return result;
}

static int generate(GenerateOptions options) {
  llvm::Expected<bool> isCompiled = isCompiledFile(options.file);
  if (!isCompiled)
    return fail(isCompiled.takeError());
  if (!*isCompiled)
    if (int code = fixSizes(
            options, std::max(options.prompt.size(), options.tokens.size())))
      return code;
  PreparedModel prepared;
  if (int code = prepareModel(options, prepared))
    return code;
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return fail(std::move(error));
  auto session = startSession(options, prepared, weights);
  if (!session)
    return fail(session.takeError());
  if (options.weights.empty())
    llvm::errs() << "lathe: note: without --weights the model starts random "
                    "and says nothing of sense\n";
  llvm::Expected<LanguageModel> model = LanguageModel::create(**session);
  if (!model)
    return fail(model.takeError());
  auto tokens = promptTokens(options, model->vocabulary);
  if (!tokens)
    return fail(tokens.takeError());
  if (llvm::Error error = model->checkCausal(*tokens))
    return fail(std::move(error));

  const bool isText = model->vocabulary == 256;
  auto print = [&](int64_t token) {
    if (isText)
      llvm::outs() << char(token);
    else
      llvm::outs() << token << ' ';
    llvm::outs().flush();
  };
  if (isText)
    llvm::outs() << options.prompt;
  auto start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < options.length; ++i) {
    auto logits = model->predict(*tokens);
    if (!logits)
      return fail(logits.takeError());
    auto next = sampleToken(*logits, options.sampling, i);
    if (!next)
      return fail(next.takeError());
    tokens->push_back(*next);
    print(*next);
  }
  std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;
  llvm::outs() << "\n";
  double rate = options.length / std::max(elapsed.count(), 1e-9);
  if (!options.json.empty()) {
    nlohmann::json report;
    report["tokens"] = *tokens;
    report["tokens_per_second"] = rate;
    report["context"] = model->context;
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  llvm::errs() << llvm::formatv("generate: {0} tokens, {1:f1} per second\n",
                                options.length, rate);
  return kDone;
}

void addGenerateVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<GenerateOptions>();
  options->sampling.temperature = 0.8;
  CLI::App *verb = app.add_subcommand(
      "generate",
      "Let a language model go on with a text\n\n"
      "  lathe generate models/char-gpt.mlir --weights model.safetensors "
      "--prompt 'In the beginning'\n"
      "  lathe generate models/gpt2-124m.mlir --weights model.safetensors "
      "--tokens 464,3280 --temperature 0\n\n"
      "The model has one input of tokens, i64[batch,sequence], and gives "
      "f32[batch,sequence,vocabulary].");
  options->add(*verb, /*takesCompiled=*/true);
  verb->remove_option(verb->get_option("--input"));
  verb->add_option("--prompt", options->prompt,
                   "What the text begins with (models of bytes)");
  verb->add_option("--tokens", options->tokens,
                   "The same as numbers: 464,3280 (models of other tokens)")
      ->delimiter(',');
  verb->add_option("--length", options->length, "Tokens to add")
      ->check(CLI::Range(1u, 1000000u))
      ->capture_default_str();
  verb->add_option("--context", options->context,
                   "Tokens the model sees at a time, where its size is open")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 20))
      ->default_str("prompt and length, at most 256");
  verb->add_option("--temperature", options->sampling.temperature,
                   "0 takes the most likely token, above 1 is bolder")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--top-k", options->sampling.topK,
                   "Choose among the K most likely; 0: all")
      ->check(CLI::Range(int64_t(0), int64_t(1) << 40))
      ->capture_default_str();
  verb->add_option("--top-p", options->sampling.topP,
                   "Choose among the most likely that make up this share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--json", options->json,
                   "Write tokens and figures for programs to read");
  // --seed sets the model's parameters where they start random, too.
  verb->callback([options, &exitCode] {
    options->sampling.seed = options->seed;
    exitCode = generate(*options);
  });
}

} // namespace lathe
