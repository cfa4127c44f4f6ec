//===- Importer.cpp - A whole ONNX graph into a module --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A node that cannot be imported does not end the import: its outputs are
// marked as missing, nodes that read them are skipped, and the rest goes on,
// so that one error can list everything that is in the way.
//
//===----------------------------------------------------------------------===//

#include "Importer.h"

#include "lathe/Support/Error.h"
#include "mlir/IR/Verifier.h"

#include <set>

namespace lathe::onnx_import {
namespace {

/// Tensors up to this many bytes are constants in the IR; integer ones, which
/// are mostly shapes and indices, may be larger.
constexpr uint64_t kConstantBytes = 1024, kIntegerConstantBytes = 64 * 1024;
/// Nesting of subgraphs and function calls.
constexpr unsigned kMaxDepth = 32;
/// Nodes with the bodies of functions in place of their calls: functions that
/// call each other twice grow as 2^n. The largest public models have 10^5.
constexpr unsigned kMaxNodes = 1 << 18;

} // namespace

void Importer::addProblem(Location loc, StringRef op, StringRef name,
                          const Twine &message) {
  problems.push_back({op.str(), name.str(), message.str(), loc});
}

Value Importer::lookup(StringRef name, Scope &scope) {
  for (Scope *s = &scope; s; s = s->parent) {
    if (auto it = s->values.find(name); it != s->values.end())
      return it->second;
    auto it = s->initializers.find(name);
    if (it == s->initializers.end())
      continue;
    // Made at first use, at the front of the graph that owns it.
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(s->block);
    Location loc = NameLoc::get(StringAttr::get(&context, name));
    std::string error;
    FailureOr<Value> value = tensorValue(*it->second, name, b, loc, error);
    if (failed(value))
      addProblem(loc, "initializer", name, error);
    return s->values[name] = succeeded(value) ? *value : Value();
  }
  return Value();
}

FailureOr<Value> Importer::tensorValue(const onnx::TensorProto &tensor,
                                       StringRef name, OpBuilder &builder,
                                       Location loc, std::string &error) {
  auto bytes = file.locate(tensor);
  if (!bytes) {
    error = toString(bytes.takeError());
    return failure();
  }
  Type element = toElementType(context, bytes->dtype);
  auto type = RankedTensorType::get(bytes->shape, element);
  bool large = bytes->size > (isa<IntegerType>(element) ? kIntegerConstantBytes
                                                        : kConstantBytes);
  if (!large || bytes->file.empty()) {
    TensorView view(bytes->dtype, bytes->shape,
                    const_cast<char *>(bytes->bytes.data()));
    return Value(
        builder.create<ConstantOp>(loc, toElementsAttr(context, view)));
  }
  // The symbol is the tensor's name, made unique where it has to be.
  std::string symbol = name.empty() ? "weight" : name.str();
  while (symbols.count(symbol))
    symbol = (name.empty() ? "weight" : name.str()) + "_" +
             std::to_string(symbols[name]++);
  symbols[symbol];
  OpBuilder top = OpBuilder::atBlockBegin(module->getBody());
  if (auto main = module->lookupSymbol("main"))
    top.setInsertionPoint(main);
  OperationState state(loc, ParameterOp::getOperationName());
  state.addAttribute("sym_name", builder.getStringAttr(symbol));
  state.addAttribute("type", TypeAttr::get(type));
  if (symbol != name && !name.empty())
    state.addAttribute("key", builder.getStringAttr(name));
  state.addAttribute("file", builder.getStringAttr(bytes->file));
  state.addAttribute("file_offset", builder.getI64IntegerAttr(bytes->offset));
  state.addAttribute("file_bytes", builder.getI64IntegerAttr(bytes->size));
  top.create(state);
  return Value(builder.create<GetParameterOp>(
      loc, type, FlatSymbolRefAttr::get(&context, symbol)));
}

void Importer::noteValueInputs(Value v) {
  SmallVector<Value> work{v};
  llvm::DenseSet<Value> seen;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (!next || !seen.insert(next).second)
      continue;
    if (auto arg = dyn_cast<BlockArgument>(next)) {
      if (arg.getOwner() == entry && arg.getArgNumber() < inputNames.size())
        valueInputs.insert(inputNames[arg.getArgNumber()]);
      // In a loop's body: what the loop starts with.
      else if (Operation *loop = arg.getOwner()->getParentOp())
        work.append(loop->operand_begin(), loop->operand_end());
      continue;
    }
    // A shape depends on sizes, not on values.
    Operation *op = next.getDefiningOp();
    if (isa<ShapeOfOp>(op))
      continue;
    work.append(op->operand_begin(), op->operand_end());
    op->walk([&](Operation *inner) {
      work.append(inner->operand_begin(), inner->operand_end());
    });
  }
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

LogicalResult Importer::importNode(const onnx::NodeProto &proto, Scope &scope) {
  std::string domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
  std::string name = !proto.name().empty() ? proto.name()
                     : proto.output_size() ? proto.output(0)
                                           : std::string();
  std::string title =
      domain.empty() ? proto.op_type() : domain + "." + proto.op_type();
  Location loc = NameLoc::get(
      StringAttr::get(&context, name.empty() ? proto.op_type() : name));
  auto missing = [&] {
    for (const auto &output : proto.output())
      if (!output.empty())
        scope.values[output] = Value();
    return failure();
  };
  if (++nodes > kMaxNodes) {
    if (nodes == kMaxNodes + 1)
      addProblem(loc, title, name,
                 "the model has more than " + Twine(kMaxNodes) +
                     " nodes, those of the functions it calls included");
    return missing();
  }
  // A name stands for one value in a graph.
  llvm::StringSet<> outputs;
  for (const auto &output : proto.output())
    if (!output.empty() &&
        (!outputs.insert(output).second || scope.values.count(output) ||
         scope.initializers.count(output))) {
      addProblem(loc, title, name,
                 "computes " + quote(output) + ", which is there already");
      return missing();
    }
  int64_t opset = -1;
  for (Scope *s = &scope; s && opset < 0; s = s->parent)
    if (auto it = s->opsets.find(domain); it != s->opsets.end())
      opset = it->second;

  const onnx::FunctionProto *function = nullptr;
  for (const auto &f : file.model().functions())
    if (f.name() == proto.op_type() &&
        (f.domain() == proto.domain() || f.domain() == domain))
      function = &f;

  const OpRow *row =
      opset < 0 ? nullptr : findOp(domain, proto.op_type(), opset);
  if (!row && !function) {
    addProblem(loc, title, name,
               opset < 0
                   ? "the model imports no operator set of its domain"
                   : "the op is not supported in operator set " + Twine(opset));
    return missing();
  }
  // Behind a problem that is listed already there is nothing to say.
  for (const auto &input : proto.input()) {
    if (input.empty())
      continue;
    bool defined = false;
    for (Scope *s = &scope; s && !defined; s = s->parent)
      defined = s->values.count(input) || s->initializers.count(input);
    if (defined && !lookup(input, scope))
      return missing();
  }
  Node node(*this, scope, b, proto, opset, loc);
  if (function) {
    FailureOr<SmallVector<Value>> results = importFunction(node, *function);
    if (failed(results)) {
      if (!node.ok())
        addProblem(loc, title, name, node.message());
      return missing();
    }
    for (auto [i, v] : llvm::enumerate(*results))
      if (node.wants(i))
        scope.values[proto.output(i)] = v;
    return success();
  }
  size_t before = problems.size();
  LogicalResult result = row->fn(node);
  if (failed(result) || !node.ok()) {
    // Where an inner graph failed, its nodes are listed.
    if (problems.size() == before)
      addProblem(loc, title, name, node.message());
    return missing();
  }
  for (unsigned i = 0; i < node.numOutputs(); ++i) {
    if (!node.wants(i))
      continue;
    auto it = node.outputs().find(i);
    if (it == node.outputs().end()) {
      addProblem(loc, title, name,
                 "output number " + Twine(i) + " (" + quote(proto.output(i)) +
                     ") is not supported");
      return missing();
    }
    scope.values[proto.output(i)] = it->second;
  }
  return success();
}

FailureOr<SmallVector<Value>>
Importer::importGraph(const onnx::GraphProto &graph, Scope &scope) {
  if (++depth > kMaxDepth) {
    addProblem(UnknownLoc::get(&context), "graph", graph.name(),
               "graphs are nested too deeply");
    return failure();
  }
  scope.block = b.getInsertionBlock();
  if (graph.sparse_initializer_size()) {
    addProblem(UnknownLoc::get(&context), "sparse initializer",
               graph.sparse_initializer(0).values().name(),
               "sparse tensors are not supported");
  }
  for (const auto &tensor : graph.initializer())
    if (!scope.values.count(tensor.name()))
      scope.initializers[tensor.name()] = &tensor;
  bool good = true;
  for (const auto &node : graph.node())
    good &= succeeded(importNode(node, scope));
  --depth;
  SmallVector<Value> results;
  for (const auto &output : graph.output()) {
    Value v = lookup(output.name(), scope);
    if (!v) {
      if (good && problems.empty())
        addProblem(UnknownLoc::get(&context), "graph output", output.name(),
                   "no node computes it");
      good = false;
    }
    results.push_back(v);
  }
  if (!good)
    return failure();
  return results;
}

FailureOr<SmallVector<Value>>
Importer::importFunction(Node &call, const onnx::FunctionProto &f) {
  if (depth + 1 > kMaxDepth) {
    (void)call.fail("functions call each other too deeply");
    return failure();
  }
  Scope scope; // a function sees its own names only
  for (int i = 0; i < f.input_size(); ++i)
    if (call.has(i))
      scope.values[f.input(i)] = call.in(i);
  for (const auto &a : call.proto.attribute())
    scope.attributes[a.name()] = call.attr(a.name());
  for (const auto &import : f.opset_import())
    scope.opsets[import.domain() == "ai.onnx" ? "" : import.domain()] =
        import.version();
  scope.block = b.getInsertionBlock();
  ++depth;
  bool good = true;
  for (const auto &node : f.node())
    good &= succeeded(importNode(node, scope));
  --depth;
  SmallVector<Value> results;
  for (const auto &output : f.output()) {
    results.push_back(lookup(output, scope));
    if (good && !results.back())
      (void)call.fail("the function's output " + quote(output) +
                      " is not computed");
    good &= bool(results.back());
  }
  if (!good)
    return failure();
  return results;
}

bool Importer::isWeight(StringRef name) const {
  return initializerNames.contains(name) &&
         !options.fedInitializers.contains(name);
}

unsigned Importer::inputIndex(StringRef name) const {
  unsigned index = 0;
  for (const auto &input : file.model().graph().input()) {
    if (input.name() == name)
      break;
    index += !isWeight(input.name());
  }
  return index;
}

LogicalResult Importer::addInputs(const onnx::GraphProto &graph, Scope &scope) {
  std::set<std::string> dimNames;
  for (const auto &input : graph.input())
    for (const auto &dim : input.type().tensor_type().shape().dim())
      dimNames.insert(dim.dim_param());
  bool good = true;
  for (const auto &input : graph.input()) {
    if (isWeight(input.name()))
      continue;
    Location loc = NameLoc::get(StringAttr::get(&context, input.name()));
    auto refuse = [&](const Twine &why) {
      addProblem(loc, "graph input", input.name(), why);
      scope.values[input.name()] = Value();
      good = false;
    };
    if (!input.type().has_tensor_type()) {
      refuse(input.type().has_sequence_type()   ? "sequences are not supported"
             : input.type().has_optional_type() ? "optionals are not supported"
                                                : "only tensors are supported");
      continue;
    }
    const auto &declared = input.type().tensor_type();
    onnx::NodeProto none;
    Node types(*this, scope, b, none, 0, loc);
    Type element = types.elementType(declared.elem_type());
    std::optional<SmallVector<int64_t>> given;
    if (auto it = options.shapes.find(input.name()); it != options.shapes.end())
      given = it->second;
    else if (!declared.has_shape() && options.shapeOf)
      given = options.shapeOf(input.name());
    auto value = options.values.find(input.name());
    if (!element) {
      refuse(types.message());
      continue;
    }
    if (!declared.has_shape() && !given && value == options.values.end()) {
      valueInputs.insert(input.name());
      refuse("its rank is not declared");
      continue;
    }
    SmallVector<int64_t> shape;
    SmallVector<Attribute> names;
    if (given) {
      shape = *given;
    } else if (value != options.values.end()) {
      shape = SmallVector<int64_t>(value->second.getType().getShape());
    } else {
      for (const auto &[i, dim] : llvm::enumerate(declared.shape().dim())) {
        bool fixed = dim.has_dim_value() && dim.dim_value() >= 0;
        shape.push_back(fixed ? dim.dim_value() : ShapedType::kDynamic);
        // A name stands for one size; "?" and no name for any.
        std::string name = fixed ? "" : dim.dim_param();
        if (!fixed && (name.empty() || name == "?")) {
          name = input.name() + "_dim" + std::to_string(i);
          while (!dimNames.insert(name).second)
            name += "_";
        }
        names.push_back(b.getStringAttr(name));
      }
      int64_t known = 1;
      for (int64_t d : shape)
        if (!ShapedType::isDynamic(d) && llvm::MulOverflow(known, d, known)) {
          refuse("declares more elements than memory can hold");
          break;
        }
      if (scope.values.count(input.name()))
        continue;
    }
    auto type = RankedTensorType::get(shape, element);
    Value arg = entry->addArgument(type, loc);
    inputNames.push_back(input.name());
    SmallVector<NamedAttribute> attrs{
        b.getNamedAttr("lathe.name", b.getStringAttr(input.name()))};
    if (llvm::any_of(shape, ShapedType::isDynamic))
      attrs.push_back(b.getNamedAttr("lathe.dims", b.getArrayAttr(names)));
    inputAttrs.push_back(b.getDictionaryAttr(attrs));
    if (value != options.values.end()) {
      if (value->second.getType() != type) {
        refuse("its value has another type");
        continue;
      }
      arg = b.create<ConstantOp>(loc, value->second);
    }
    scope.values[input.name()] = arg;
  }
  return success(good);
}

OwningOpRef<ModuleOp> Importer::run() {
  const onnx::GraphProto &graph = file.model().graph();
  Location fileLoc = FileLineColLoc::get(&context, file.path(), 0, 0);
  module = ModuleOp::create(fileLoc);
  b.setInsertionPointToEnd(module->getBody());
  auto main =
      b.create<func::FuncOp>(fileLoc, "main", b.getFunctionType({}, {}));
  symbols["main"], symbols["main_load"];
  entry = main.addEntryBlock();
  b.setInsertionPointToStart(entry);

  Scope scope;
  scope.block = entry;
  for (const auto &tensor : graph.initializer())
    initializerNames.insert(tensor.name());
  for (const auto &import : file.model().opset_import())
    scope.opsets[import.domain() == "ai.onnx" ? "" : import.domain()] =
        import.version();
  bool good = succeeded(addInputs(graph, scope));
  FailureOr<SmallVector<Value>> results = importGraph(graph, scope);
  // What decides a size is known now, after folding.
  module->walk([&](Operation *op) {
    if (isa<DynamicReshapeOp, DynamicBroadcastOp, DynamicPadOp, DynamicTileOp>(
            op))
      noteValueInputs(op->getOperand(1));
    else if (isa<DynamicSliceOp>(op))
      for (Value v : op->getOperands().drop_front())
        noteValueInputs(v);
    else if (isa<DynamicRangeOp>(op))
      for (Value v : op->getOperands())
        noteValueInputs(v);
    else if (isa<RandomUniformOp, RandomNormalOp, DropoutOp>(op))
      random = true;
  });
  if (!good || failed(results) || !problems.empty())
    return nullptr;

  b.setInsertionPointToEnd(entry);
  b.create<func::ReturnOp>(fileLoc, *results);
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> resultAttrs;
  for (Value v : *results)
    types.push_back(v.getType());
  for (const auto &output : graph.output())
    resultAttrs.push_back(b.getDictionaryAttr(
        b.getNamedAttr("lathe.name", b.getStringAttr(output.name()))));
  main.setFunctionType(b.getFunctionType(entry->getArgumentTypes(), types));
  main.setAllArgAttrs(inputAttrs);
  main.setAllResultAttrs(resultAttrs);
  if (failed(verify(*module)))
    return nullptr;
  return std::move(module);
}

} // namespace lathe::onnx_import
