//===- ObjectLoader.cpp - Machine code into this process ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/ObjectLoader.h"

#include "Builtins.h"
#include "Sim/CodeMap.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ExecutionEngine/JITLink/ELF.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/Support/Process.h"
#include "llvm/TargetParser/Host.h"

#include <sys/syscall.h>
#include <unistd.h>

using namespace llvm;

namespace lathe {

// JITLink alone, without ORC's sessions, materialization units and symbol
// pools: there is nothing lazy here, and fifty kernels link in milliseconds.
struct ObjectLoader::Impl {
  struct Object {
    StringMap<void *> symbols;
    jitlink::JITLinkMemoryManager::FinalizedAlloc allocation;
    std::unique_ptr<sim::CodeRegistration> lines; // simulated kernels only
  };
  jitlink::InProcessMemoryManager memory{
      static_cast<uint64_t>(sys::Process::getPageSizeEstimate())};
  std::vector<Object> objects;
};

namespace {
class LinkContext : public jitlink::JITLinkContext {
public:
  LinkContext(jitlink::JITLinkMemoryManager &memory, StringMap<void *> &symbols,
              jitlink::JITLinkMemoryManager::FinalizedAlloc &allocation,
              std::vector<sim::LoadedSection> &sections, Error &failure)
      : JITLinkContext(nullptr), memory(memory), symbols(symbols),
        allocation(allocation), sections(sections), failure(failure) {}

  jitlink::JITLinkMemoryManager &getMemoryManager() override { return memory; }

  void notifyFailed(Error error) override {
    failure = joinErrors(std::move(failure), std::move(error));
  }

  void lookup(
      const LookupMap &wanted,
      std::unique_ptr<jitlink::JITLinkAsyncLookupContinuation> next) override {
    jitlink::AsyncLookupResult result;
    std::string missing;
    for (const auto &[name, flags] : wanted) {
      void *address = findBuiltin(name);
      if (!address && flags == jitlink::SymbolLookupFlags::RequiredSymbol)
        missing += (missing.empty() ? "" : ", ") + quote(name);
      result[name] = orc::ExecutorSymbolDef(orc::ExecutorAddr::fromPtr(address),
                                            JITSymbolFlags::Exported);
    }
    if (missing.empty())
      next->run(std::move(result));
    else
      next->run(
          makeError("it calls {0}, which the runtime does not offer", missing));
  }

  Error notifyResolved(jitlink::LinkGraph &graph) override {
    for (jitlink::Symbol *symbol : graph.defined_symbols())
      if (symbol->hasName() && symbol->getScope() != jitlink::Scope::Local)
        symbols[symbol->getName()] = symbol->getAddress().toPtr<void *>();
    bool simulated = llvm::any_of(
        graph.external_symbols(), [](const jitlink::Symbol *symbol) {
          return symbol->hasName() && symbol->getName() == "lathe_sim_launch";
        });
    if (simulated)
      for (jitlink::Section &section : graph.sections())
        if (jitlink::SectionRange range(section); range.getSize())
          sections.push_back({section.getName().str(),
                              range.getStart().getValue(),
                              range.getEnd().getValue(),
                              (section.getMemProt() & orc::MemProt::Exec) !=
                                  orc::MemProt::None});
    return Error::success();
  }

  void notifyFinalized(
      jitlink::JITLinkMemoryManager::FinalizedAlloc finalized) override {
    allocation = std::move(finalized);
  }

private:
  jitlink::JITLinkMemoryManager &memory;
  StringMap<void *> &symbols;
  jitlink::JITLinkMemoryManager::FinalizedAlloc &allocation;
  std::vector<sim::LoadedSection> &sections;
  Error &failure;
};
} // namespace

ObjectLoader::ObjectLoader() : impl(std::make_unique<Impl>()) {}

ObjectLoader::~ObjectLoader() {
  std::vector<jitlink::JITLinkMemoryManager::FinalizedAlloc> allocations;
  for (Impl::Object &object : impl->objects)
    if (object.allocation)
      allocations.push_back(std::move(object.allocation));
  // munmap of what we mapped cannot fail in a way anyone could act on.
  consumeError(impl->memory.deallocate(std::move(allocations)));
}

Error ObjectLoader::add(StringRef object, StringRef name) {
  std::string prefix = "cannot load the code of " + quote(name);
  // The reader of LLVM 19 takes the header's word for the sizes that follow.
  if (object.size() < 64 || !object.starts_with("\x7f"
                                                "ELF"))
    return makeError("{0}: it is not an ELF object", prefix);
  Expected<std::unique_ptr<jitlink::LinkGraph>> graph =
      jitlink::createLinkGraphFromELFObject(MemoryBufferRef(object, name));
  if (!graph)
    return prefixError(prefix, graph.takeError());
  if ((*graph)->getTargetTriple().getArch() !=
      Triple(sys::getProcessTriple()).getArch())
    return makeError("{0}: it is made for {1}, this machine is {2}", prefix,
                     (*graph)->getTargetTriple().getArchName(),
                     Triple(sys::getProcessTriple()).getArchName());
  Impl::Object loaded;
  Error failure = Error::success();
  std::vector<sim::LoadedSection> sections;
  // Linking is synchronous here: nothing in LinkContext waits.
  jitlink::link(std::move(*graph), std::make_unique<LinkContext>(
                                       impl->memory, loaded.symbols,
                                       loaded.allocation, sections, failure));
  if (failure)
    return prefixError(prefix, std::move(failure));
  if (!sections.empty())
    loaded.lines =
        std::make_unique<sim::CodeRegistration>(object, std::move(sections));
  impl->objects.push_back(std::move(loaded));
  return Error::success();
}

void *ObjectLoader::lookup(size_t index, StringRef symbol) const {
  return index < impl->objects.size()
             ? impl->objects[index].symbols.lookup(symbol)
             : nullptr;
}

bool ObjectLoader::provides(StringRef symbol) { return findBuiltin(symbol); }

Error checkCpuFeatures(ArrayRef<std::string> features) {
  static const auto host = sys::getHostCPUFeatures();
  std::vector<std::string> missing;
  bool tiles = false;
  for (StringRef feature : features) {
    feature.consume_front("+");
    if (feature.empty() || feature.starts_with("-"))
      continue;
    if (!host.lookup(feature))
      missing.push_back(feature.str());
    tiles |= feature.starts_with("amx-");
  }
#if defined(__linux__) && defined(__x86_64__)
  // Linux hands the tile registers out per process, to those that ask.
  constexpr long kArchReqXcompPerm = 0x1023, kTileData = 18;
  if (tiles && missing.empty() &&
      ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) != 0)
    missing.push_back("amx-tile (the system refuses it)");
#endif
  if (missing.empty())
    return Error::success();
  return makeError("the compiled model needs processor features that this "
                   "machine ({0}) lacks: {1}; compile it again here, or "
                   "elsewhere with --isa",
                   sys::getHostCPUName(), join(missing, ", "));
}

} // namespace lathe
