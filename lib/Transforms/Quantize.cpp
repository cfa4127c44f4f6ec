//===- Quantize.cpp - Operands of products in few bits --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Puts dequantize(quantize(x)) on operands. Ops say which ones and along which
// axes scales may differ (QuantizableOpInterface); a scheme says how scales
// come about (QuantizeScales.h). lathe-integer-products computes with what is
// left between the two.
//
//===----------------------------------------------------------------------===//

#include "QuantizeScales.h"

#include "lathe/Analysis/LoadTime.h"
#include "lathe/Support/QuantizationScheme.h"
#include "lathe/Support/Ranges.h"
#include "lathe/Support/Recipe.h"
#include "lathe/Transforms/Passes.h"
#include "lathe/Transforms/QuantizationSites.h"

#include <optional>

namespace lathe {
#define GEN_PASS_DEF_QUANTIZE
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

namespace {
/// The operand that is known at load, and the one that is not, if any.
struct Roles {
  QuantizableOperand weight;
  std::optional<QuantizableOperand> activation;
};

class Quantize : public lathe::impl::QuantizeBase<Quantize> {
  using QuantizeBase::QuantizeBase;

  void runOnOperation() override {
    if (failed(readOptions()))
      return signalPassFailure();
    for (QuantizationSite &site : listQuantizationSites(getOperation())) {
      siteOf[{site.op, site.operand}] = sites.size();
      sites.push_back(std::move(site));
    }
    if (failed(checkNames()))
      return signalPassFailure();
    LoadTime loadTime(getOperation());
    SmallVector<QuantizableOpInterface> worklist;
    getOperation()->walk(
        [&](QuantizableOpInterface op) { worklist.push_back(op); });
    bool isAnyDone = false;
    std::string firstNote;
    for (QuantizableOpInterface op : worklist) {
      std::string note;
      bool isDone = succeeded(quantize(op, loadTime, note));
      ++(isDone ? numQuantized : numRefused);
      isAnyDone |= isDone;
      if (firstNote.empty())
        firstNote = note;
      if (explain)
        op.emitRemark(isDone ? "is quantized: " : "stays in floats: ") << note;
    }
    for (auto &[value, forms] : rounded)
      if (forms.size() == 1 && forms[0].isImage)
        shareRounding(value, forms[0].value.getDefiningOp());
    if (!withoutRanges.empty())
      getOperation().emitWarning()
          << withoutRanges.size() << " of " << sites.size()
          << " operands have no range of use in '" << ranges
          << "', and their products stay in floats: the first is '"
          << withoutRanges.front() << "'";
    else if (!isAnyDone && keep.empty() && !worklist.empty())
      getOperation().emitWarning()
          << "'" << scheme << "' rounds none of " << worklist.size()
          << " products: the first " << firstNote;
  }

  /// Lets elementwise readers of `value` behind `roundTrip` read what that
  /// gives.
  void shareRounding(Value value, Operation *roundTrip);
  LogicalResult readOptions();
  LogicalResult checkNames();
  StringRef whyKept(StringRef name) const;
  FailureOr<Roles> findRoles(QuantizableOpInterface op,
                             const LoadTime &loadTime, std::string &whyNot);
  LogicalResult quantize(QuantizableOpInterface op, const LoadTime &loadTime,
                         std::string &note);
  /// The activation, rounded as the scheme and the ranges say; null with the
  /// reason. `how` tells people.
  Value quantizeActivation(QuantizationBuilder &b, const QuantizationSite &site,
                           const QuantizableOperand &place,
                           const SiteRanges *smoothing, std::string &how,
                           std::string &whyNot);
  /// The ranges of a product whose channels they smooth; null for others. Sets
  /// `whyNot` where they do not fit.
  const SiteRanges *findSmoothing(const QuantizationSite &site,
                                  const Roles &roles, Value weight,
                                  std::string &whyNot) const;

  /// Sites that stay in floats for want of ranges.
  SmallVector<std::string> withoutRanges;
  /// The scheme, with the group that was asked for.
  QuantizationMethod chosen{"", 0, false, false, 0};
  Ranges found;
  SmallVector<QuantizationSite> sites;
  DenseMap<std::pair<Operation *, unsigned>, unsigned> siteOf;
  /// Several products of a block often read one value: by value and range.
  struct Rounded {
    Block *block;
    const SiteRanges *ranges;
    Value value;
    /// It is read by windows: the op sums over several axes.
    bool isImage;
  };
  DenseMap<Value, SmallVector<Rounded, 1>> rounded;
};
} // namespace

/// Why a product stays in floats: an option or the file names it; "" else.
StringRef Quantize::whyKept(StringRef name) const {
  auto namesIt = [&](StringRef pattern) {
    return matchesPattern(pattern, name);
  };
  if (llvm::any_of(keep, namesIt))
    return "option 'keep' names it";
  return llvm::any_of(found.keep, namesIt) ? "the ranges keep it" : "";
}

/// A parameter, its slice in a loop over layers, or what views make of one.
static bool isMadeOfParameters(Value value) {
  while (true) {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      auto scan = dyn_cast<ScanOp>(argument.getOwner()->getParentOp());
      if (!scan || argument.getArgNumber() < scan.getNumCarried())
        return false;
      value = scan.getInputs()[argument.getArgNumber() - scan.getNumCarried()];
      continue;
    }
    Operation *op = value.getDefiningOp();
    if (isa<GetParameterOp>(op))
      return true;
    auto view = dyn_cast<FusibleOpInterface>(op);
    if (!view || view.getFusionKind() != FusionKind::View)
      return false;
    value = op->getOperand(0);
  }
}

/// A name that stands for nothing is a mistake, in an option or in a file.
LogicalResult Quantize::checkNames() {
  auto names = [&](auto &&isMeant) { return llvm::any_of(sites, isMeant); };
  auto isLookup = [&](StringRef pattern) {
    return getOperation()
        ->walk([&](QuantizableOpInterface op) {
          return matchesPattern(pattern, getQuantizationName(op))
                     ? WalkResult::interrupt()
                     : WalkResult::advance();
        })
        .wasInterrupted();
  };
  auto check = [&](const auto &patterns, const Twine &where) -> LogicalResult {
    for (StringRef pattern : patterns)
      if (!names([&](const QuantizationSite &site) {
            return matchesPattern(pattern, site.opName());
          }) &&
          !isLookup(pattern)) {
        InFlightDiagnostic error = getOperation().emitError()
                                   << where << ": no product is called '"
                                   << pattern << "'";
        if (!sites.empty())
          error << ", one is '" << sites.front().opName() << "'";
        return failure();
      }
    return success();
  };
  if (failed(check(keep, "option 'keep'")) ||
      failed(check(found.keep, "'keep' of the ranges in '" + ranges + "'")))
    return failure();
  if (!ranges.empty() && !sites.empty() &&
      !names([&](const QuantizationSite &site) {
        return found.find(site.name) != nullptr;
      }))
    return getOperation().emitError("the ranges in '")
           << ranges << "' are of another model: none is called '"
           << sites.front().name << "' or like another operand of a product";
  return success();
}

LogicalResult Quantize::readOptions() {
  const QuantizationMethod *known = findQuantizationMethod(scheme);
  if (!known)
    return getOperation().emitError("expected 'scheme' of ")
           << listQuantizationMethods() << ", got '" << scheme << "'";
  chosen = *known;
  if (group != 0 && !chosen.takesGroup())
    return getOperation().emitError("expected 'group' for weights alone, which "
                                    "sums in integers cannot have, got scheme "
                                    "'")
           << scheme << "'";
  if (group != 0 && group != 32 && group != 64 && group != 128)
    return getOperation().emitError("expected 'group' of 32, 64 or 128, got ")
           << int64_t(group);
  if (group != 0)
    chosen.group = group;
  if (ranges.empty()) {
    if (chosen.needsRanges())
      return getOperation().emitError("expected 'ranges' for scheme '")
             << scheme << "'";
    return success();
  }
  llvm::Expected<Ranges> file = readRanges(ranges);
  if (!file)
    return getOperation().emitError(llvm::toString(file.takeError()));
  found = std::move(*file);
  return success();
}

FailureOr<Roles> Quantize::findRoles(QuantizableOpInterface op,
                                     const LoadTime &loadTime,
                                     std::string &whyNot) {
  SmallVector<QuantizableOperand> weights, activations;
  for (QuantizableOperand &place : op.getQuantizableOperands(whyNot)) {
    Value value = op->getOperand(place.index);
    if (value.getDefiningOp<DequantizeOp>()) {
      whyNot = "is quantized by the model";
      return failure();
    }
    Type element = getElementTypeOrSelf(value.getType());
    if (!element.isF32()) {
      llvm::raw_string_ostream(whyNot)
          << "takes '" << element << "', expected f32";
      return failure();
    }
    if (cast<RankedTensorType>(value.getType()).hasStaticShape() &&
        cast<RankedTensorType>(value.getType()).getNumElements() == 0) {
      whyNot = "has an operand without elements";
      return failure();
    }
    bool isWeight = training ? place.isWeight && isMadeOfParameters(value)
                             : loadTime.isKnownOrSlice(value);
    (isWeight ? weights : activations).push_back(place);
  }
  if (!whyNot.empty())
    return failure();
  if (loadTime.isKnownOrSlice(op->getResult(0)))
    whyNot = "is computed when weights are loaded";
  else if (weights.empty())
    whyNot = training ? "has no weight that is a parameter"
                      : "has no weight that is known at load";
  if (!whyNot.empty())
    return failure();
  Roles roles{weights.front(), std::nullopt};
  if (!activations.empty())
    roles.activation = activations.front();
  return roles;
}

// Between the blocks of a residual network images are larger than caches: bytes
// alone are stored if the sums around a block's products read them, too. What a
// transformer adds up stays as it is.
void Quantize::shareRounding(Value value, Operation *roundTrip) {
  for (OpOperand &use : llvm::make_early_inc_range(value.getUses())) {
    Operation *user = use.getOwner();
    auto fusible = dyn_cast<FusibleOpInterface>(user);
    if (fusible && fusible.getFusionKind() == FusionKind::Elementwise &&
        user->getBlock() == roundTrip->getBlock() &&
        roundTrip->isBeforeInBlock(user))
      use.set(roundTrip->getResult(0));
  }
}

Value Quantize::quantizeActivation(QuantizationBuilder &b,
                                   const QuantizationSite &site,
                                   const QuantizableOperand &place,
                                   const SiteRanges *smoothing,
                                   std::string &how, std::string &whyNot) {
  const SiteRanges *known = chosen.isStatic ? found.find(site.name) : nullptr;
  how = known ? ", activations by the ranges"
              : ", activations by each row's range";
  if (!known && !chosen.isDynamic) {
    whyNot = "the ranges have no '" + site.name + "'";
    withoutRanges.push_back(site.name);
    return {};
  }
  const std::vector<double> *reach = !known           ? nullptr
                                     : chosen.isFloat ? &known->magnitude
                                                      : &known->low;
  size_t count = known ? reach->size() : 1;
  if (count != 1 && int64_t(count) != site.numRanges()) {
    whyNot =
        "the ranges have " + std::to_string(count) + " numbers for '" +
        site.name + "', expected 1" +
        (site.numRanges() == 1 ? ""
                               : " or " + std::to_string(site.numRanges()));
    withoutRanges.push_back(site.name);
    return {};
  }
  Block *block = site.op->getBlock();
  for (const Rounded &one : rounded.lookup(site.value))
    if (one.block == block &&
        (one.ranges == known ||
         (one.ranges && known && one.ranges->low == known->low &&
          one.ranges->high == known->high &&
          one.ranges->magnitude == known->magnitude &&
          one.ranges->smooth == known->smooth)))
      return one.value;
  ArrayRef<int64_t> axes = place.reducedAxes;
  Value input = site.value;
  if (smoothing) {
    how += ", smoothed";
    std::vector<std::vector<double>> factors = smoothing->smooth;
    for (std::vector<double> &list : factors)
      for (double &divisor : list)
        divisor = 1 / divisor;
    input = b.multiply(
        input, b.perChannel(factors, axes.front(),
                            cast<RankedTensorType>(input.getType()).getRank(),
                            site.scans));
  }
  QuantizationScale scale;
  if (known)
    scale = chosen.isFloat ? b.staticFloatScale(known->magnitude, site.scans)
                           : b.staticScale(known->low, known->high, site.scans);
  else if (chosen.isFloat)
    // Windows overlap, so an image has one scale.
    scale = b.floatScale(input, axes, axes.size() == 1 ? chosen.group : 0);
  else
    scale = b.dynamicScale(input, axes);
  Value value = b.roundTrip(input, scale, training);
  // Which elements share a range differs from op to op.
  if (known)
    rounded[site.value].push_back(
        {block, known, value,
         place.reducedAxes.size() > 1 && !smoothing && !chosen.isFloat});
  return value;
}

const SiteRanges *Quantize::findSmoothing(const QuantizationSite &site,
                                          const Roles &roles, Value weight,
                                          std::string &whyNot) const {
  const SiteRanges *known = found.find(site.name);
  if (!known || known->smooth.empty())
    return nullptr;
  ArrayRef<int64_t> inputAxes = roles.activation->reducedAxes,
                    weightAxes = roles.weight.reducedAxes;
  llvm::raw_string_ostream os(whyNot);
  size_t lists = known->smooth.size(), channels = known->smooth.front().size();
  if (inputAxes.size() != 1 || weightAxes.size() != 1)
    os << "the ranges smooth '" << site.name << "', which sums over windows";
  else if (lists != 1 && int64_t(lists) != site.numRanges())
    os << "the ranges smooth " << lists << " layers of '" << site.name
       << "', expected 1 or " << site.numRanges();
  else if (int64_t size = cast<RankedTensorType>(weight.getType())
                              .getDimSize(weightAxes.front());
           int64_t(channels) != size)
    os << "the ranges smooth " << channels << " channels of '" << site.name
       << "', expected " << size;
  return known;
}

LogicalResult Quantize::quantize(QuantizableOpInterface op,
                                 const LoadTime &loadTime, std::string &note) {
  FailureOr<Roles> roles = findRoles(op, loadTime, note);
  if (failed(roles))
    return failure();
  const QuantizationSite *site =
      roles->activation ? &sites[siteOf.lookup({op, roles->activation->index})]
                        : nullptr;
  std::string name = site ? site->opName().str() : getQuantizationName(op);
  note = whyKept(name);
  if (!note.empty())
    return failure();
  OpBuilder builder(op);
  QuantizationBuilder b(builder, op.getLoc());
  OpOperand &weight = op->getOpOperand(roles->weight.index);
  std::string how;
  if (site && (chosen.isStatic || chosen.isDynamic)) {
    const SiteRanges *smoothing =
        findSmoothing(*site, *roles, weight.get(), note);
    if (!note.empty()) {
      withoutRanges.push_back(site->name);
      return failure();
    }
    Value value =
        quantizeActivation(b, *site, *roles->activation, smoothing, how, note);
    if (!value)
      return failure();
    op->setOperand(roles->activation->index, value);
    if (smoothing)
      weight.set(b.multiply(
          weight.get(),
          b.perChannel(smoothing->smooth, roles->weight.reducedAxes.front(),
                       cast<RankedTensorType>(weight.get().getType()).getRank(),
                       site->scans)));
  }
  // Lookups stay with integers, which are closer: nothing is summed up.
  bool isFloat = chosen.isFloat && site;
  unsigned bits = std::max(chosen.weightBits, roles->weight.leastBits);
  ArrayRef<int64_t> axes = roles->weight.reducedAxes;
  int64_t perScale = site && bits == chosen.weightBits ? chosen.group : 0;
  QuantizationScale scale =
      isFloat ? b.floatScale(weight.get(), axes, perScale)
              : b.weightScale(weight.get(), axes, bits, perScale);
  weight.set(b.roundTrip(weight.get(), scale, training));
  note = name + ", weights of " + std::to_string(bits) +
         (isFloat ? "-bit floats, " : " bits, ") +
         (scale.group ? "a scale for every " + std::to_string(scale.group) +
                            " along axis " + std::to_string(scale.axis)
                      : "a scale per channel") +
         how;
  return success();
}
