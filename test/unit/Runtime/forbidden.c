// A kernel that calls what no kernel may call.
#include <stdint.h>
int system(const char *command);
void escape(void **args, void *scratch, int64_t begin, int64_t end) {
  system("true");
}
