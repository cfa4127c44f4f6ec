# cmake -DFILES="a.cuh;b.cuh" -DOUTPUT=x.inc -P EmbedText.cmake
# Writes one line of C++ per file: {"lathe/a.cuh", R"LATHE(...)LATHE"},
set(result "")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} text)
  string(APPEND result "{\"lathe/${name}\", R\"LATHE(${text})LATHE\"},\n")
endforeach()
file(WRITE ${OUTPUT} "${result}")
