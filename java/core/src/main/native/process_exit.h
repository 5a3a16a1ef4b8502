/* The end of a process whose threads are still at work in native code.
 *
 * exit() runs the exit handlers and destructors of all libraries, and a JVM calls it although
 * daemon threads may be within a native call. OpenBLAS's destructor then waits for ever for a
 * worker that was busy when it was told to end, and takes buffers from under a product. */
#ifndef SIGHTLINE_PROCESS_EXIT_H
#define SIGHTLINE_PROCESS_EXIT_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the thread computes (R) or waits for a page of a file (D): one that waits for others, or
 * for work, sleeps. */
static inline int sightline_is_at_work(const char* thread) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
  FILE* file = fopen(path, "re");
  if (file == 0) return 0; /* it has ended */
  line[fread(line, 1, sizeof line - 1, file)] = 0;
  fclose(file);
  const char* name_end = strrchr(line, ')');
  return name_end != 0 && (strncmp(name_end, ") R", 3) == 0 || strncmp(name_end, ") D", 3) == 0);
}

static inline int sightline_others_are_at_work(void) {
  DIR* threads = opendir("/proc/self/task");
  if (threads == 0) return 1; /* it cannot be told */
  const long self = syscall(SYS_gettid);
  int found = 0;
  for (struct dirent* each; !found && (each = readdir(threads)) != 0;) {
    found =
        each->d_name[0] != '.' && atol(each->d_name) != self && sightline_is_at_work(each->d_name);
  }
  closedir(threads);
  return found;
}

static inline void sightline_at_exit(int status, void* unused) {
  (void)unused;
  /* Threads that take turns: each may be seen asleep once, while its work is with another. */
  for (int look = 0; look < 20; ++look) {
    if (sightline_others_are_at_work()) _exit(status);
    usleep(1000);
  }
}

/* From now on exit() ends the process at once, before the handlers registered so far, if other
 * threads are at work. They run in the reverse of the order in which they were registered. */
static inline int sightline_guard_exit(void) { return on_exit(sightline_at_exit, 0); }

#endif
