// Preloaded into a process (LD_PRELOAD): the system refuses threads as the environment variable REFUSE_THREADS says, which the process may set at any
// time. "all": every one; "after N": those after the N-th from the time it is set.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  static int (*real)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static int created;
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "pthread_create");
  const char* refuse = getenv("REFUSE_THREADS");
  if (!refuse) created = 0;
  else if (strncmp(refuse, "after ", 6) != 0 || ++created > atoi(refuse + 6)) return EAGAIN;
  return real(thread, attributes, start, argument);
}
