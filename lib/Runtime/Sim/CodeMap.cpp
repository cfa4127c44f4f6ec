//===- CodeMap.cpp - From addresses to lines of kernels -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeMap.h"

#include "llvm/DebugInfo/DIContext.h"
#include "llvm/DebugInfo/DWARF/DWARFContext.h"
#include "llvm/Demangle/Demangle.h"
#include "llvm/Object/ObjectFile.h"

#include <mutex>

using namespace llvm;

namespace lathe::sim {

namespace {
std::mutex mutex;
std::vector<const CodeRegistration *> &registered() {
  // Never destroyed: an object may be unloaded when the process ends.
  static auto *list = new std::vector<const CodeRegistration *>;
  return *list;
}

/// The object and the section that hold an address.
std::pair<const CodeRegistration *, const LoadedSection *>
find(uintptr_t address) {
  for (const CodeRegistration *code : registered())
    for (const LoadedSection &section : code->sections)
      if (address >= section.begin && address < section.end)
        return {code, &section};
  return {nullptr, nullptr};
}

std::unique_ptr<object::ObjectFile> parse(const CodeRegistration &code) {
  auto object = object::ObjectFile::createObjectFile(
      MemoryBufferRef(code.object, "kernel"));
  if (object)
    return std::move(*object);
  consumeError(object.takeError());
  return nullptr;
}

/// Lines of an address, the innermost inlined call first.
std::vector<DILineInfo> linesOf(void *returnAddress) {
  // The call is before the address it returns to.
  auto address = reinterpret_cast<uintptr_t>(returnAddress) - 1;
  std::vector<DILineInfo> lines;
  std::lock_guard<std::mutex> lock(mutex);
  auto [code, loaded] = find(address);
  if (!code)
    return lines;
  std::unique_ptr<object::ObjectFile> object = parse(*code);
  if (!object)
    return lines;
  for (const object::SectionRef &section : object->sections()) {
    Expected<StringRef> name = section.getName();
    if (!name) {
      consumeError(name.takeError());
      continue;
    }
    if (*name != loaded->name)
      continue;
    std::unique_ptr<DWARFContext> context = DWARFContext::create(
        *object, DWARFContext::ProcessDebugRelocations::Process, nullptr, "",
        consumeError, consumeError);
    DIInliningInfo inlined = context->getInliningInfoForAddress(
        {address - loaded->begin, section.getIndex()},
        {DILineInfoSpecifier::FileLineInfoKind::RawValue,
         DILineInfoSpecifier::FunctionNameKind::None});
    for (uint32_t i = 0; i < inlined.getNumberOfFrames(); ++i)
      lines.push_back(inlined.getFrame(i));
    break;
  }
  return lines;
}

std::string describe(const DILineInfo &line) {
  return line.FileName + ":" + std::to_string(line.Line);
}
} // namespace

CodeRegistration::CodeRegistration(StringRef object,
                                   std::vector<LoadedSection> sections)
    : object(object), sections(std::move(sections)) {
  std::lock_guard<std::mutex> lock(mutex);
  registered().push_back(this);
}

CodeRegistration::~CodeRegistration() {
  std::lock_guard<std::mutex> lock(mutex);
  llvm::erase(registered(), this);
}

std::string lineOf(ArrayRef<void *> returnAddresses) {
  std::string header;
  for (void *address : returnAddresses)
    for (const DILineInfo &line : linesOf(address)) {
      if (!line.Line)
        continue;
      if (!StringRef(line.FileName).ends_with(".cuh"))
        return describe(line);
      if (header.empty())
        header = describe(line);
    }
  return header;
}

std::string placeOf(void *returnAddress) {
  std::string place;
  for (const DILineInfo &line : linesOf(returnAddress))
    place += describe(line) + ":" + std::to_string(line.Column) + " ";
  return place;
}

bool isModuleData(uintptr_t address) {
  std::lock_guard<std::mutex> lock(mutex);
  auto [code, section] = find(address);
  return section && !section->code;
}

std::string nameOfVariable(const void *control) {
  auto address = reinterpret_cast<uintptr_t>(control);
  std::lock_guard<std::mutex> lock(mutex);
  auto [code, loaded] = find(address);
  std::unique_ptr<object::ObjectFile> object = code ? parse(*code) : nullptr;
  if (!object)
    return "";
  for (const object::SymbolRef &symbol : object->symbols()) {
    Expected<StringRef> name = symbol.getName();
    Expected<uint64_t> value = symbol.getValue();
    Expected<object::section_iterator> section = symbol.getSection();
    if (name && value && section && *section != object->section_end()) {
      StringRef short_ = *name;
      Expected<StringRef> sectionName = (*section)->getName();
      if (sectionName && *sectionName == loaded->name &&
          loaded->begin + *value == address &&
          short_.consume_front("__emutls_v.")) {
        // "kernel(float*)::tile" and "kernel()::tile [0]" end in the name.
        std::string full = demangle(short_);
        size_t at = full.rfind("::");
        return at == std::string::npos ? full : full.substr(at + 2);
      }
      if (!sectionName)
        consumeError(sectionName.takeError());
      continue;
    }
    if (!name)
      consumeError(name.takeError());
    if (!value)
      consumeError(value.takeError());
    if (!section)
      consumeError(section.takeError());
  }
  return "";
}

} // namespace lathe::sim
