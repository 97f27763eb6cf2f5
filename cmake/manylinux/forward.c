/* Functions under the names that today's headers use, each calling the version of it that glibc 2.28 and GCC 8's libstdc++ have. Linked into
   every library, hidden, so that one built on a newer system runs on those for which manylinux_2_28 stands.

   FORWARD(result, name, version, parameters, arguments) */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#if defined(__x86_64__)
#define FIRST "GLIBC_2.2.5"
#define STAT_VERSION 1
#elif defined(__aarch64__)
#define FIRST "GLIBC_2.17" /* the first version on this architecture: nothing is older */
#define STAT_VERSION 0
#endif

#ifdef __aarch64__
#define SINCE(version) FIRST
#else
#define SINCE(version) "GLIBC_" version
#endif

#define OLD(name, version) __asm__(".symver old_" #name "," #name "@" version)
#define FORWARD(result, name, version, parameters, arguments) \
  OLD(name, version);                                         \
  result old_##name parameters;                               \
  result name parameters { return old_##name arguments; }

/* Until 2.29 these also had SVID's error handling, which is off unless a program asks for it. */
FORWARD(double, exp, FIRST, (double x), (x))
FORWARD(double, log, FIRST, (double x), (x))
FORWARD(double, pow, FIRST, (double x, double y), (x, y))

/* In libdl, libpthread and librt until 2.34. */
FORWARD(void*, dlopen, FIRST, (const char* name, int mode), (name, mode))
FORWARD(void*, dlsym, FIRST, (void* handle, const char* name), (handle, name))
FORWARD(int, dlclose, FIRST, (void* handle), (handle))
FORWARD(char*, dlerror, FIRST, (void), ())
FORWARD(int, dladdr, FIRST, (const void* address, void* info), (address, info))
FORWARD(int, dlinfo, SINCE("2.3.3"), (void* handle, int request, void* info), (handle, request, info))
FORWARD(int, pthread_sigmask, FIRST, (int how, const sigset_t* set, sigset_t* old), (how, set, old))
FORWARD(int, pthread_mutex_trylock, FIRST, (pthread_mutex_t* mutex), (mutex))
FORWARD(int, pthread_once, FIRST, (pthread_once_t* control, void (*routine)(void)), (control, routine))
FORWARD(int, pthread_rwlock_rdlock, FIRST, (pthread_rwlock_t* lock), (lock))
FORWARD(int, pthread_rwlock_wrlock, FIRST, (pthread_rwlock_t* lock), (lock))
FORWARD(int, pthread_rwlock_unlock, FIRST, (pthread_rwlock_t* lock), (lock))
FORWARD(int, pthread_setname_np, SINCE("2.12"), (pthread_t thread, const char* name), (thread, name))
FORWARD(int, shm_open, FIRST, (const char* name, int flags, unsigned int mode), (name, flags, mode))
FORWARD(int, shm_unlink, FIRST, (const char* name), (name))

/* Functions of their own since 2.33. */
struct stat;
OLD(__xstat, FIRST);
OLD(__fxstat, FIRST);
int old___xstat(int version, const char* path, struct stat* out);
int old___fxstat(int version, int fd, struct stat* out);
int stat(const char* path, struct stat* out) { return old___xstat(STAT_VERSION, path, out); }
int fstat(int fd, struct stat* out) { return old___fxstat(STAT_VERSION, fd, out); }

/* New in 2.30: waits until a time of another clock than the condition's, which is the wall clock. */
int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const struct timespec* until) {
  struct timespec now, wall;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &wall);
  const long nanoseconds = wall.tv_nsec + until->tv_nsec - now.tv_nsec;
  const long carry = nanoseconds < 0 ? -1 : nanoseconds / 1000000000;
  wall.tv_sec += until->tv_sec - now.tv_sec + carry;
  wall.tv_nsec = nanoseconds - carry * 1000000000;
  if (wall.tv_sec < 0) return ETIMEDOUT;
  return pthread_cond_timedwait(condition, mutex, &wall);
}

/* New in 2.32; libstdc++ leaves out atomic instructions where it is true. */
char __libc_single_threaded = 0;

/* std::condition_variable::wait is the same function in both versions. */
void condition_variable_wait(void* condition, void* lock) __asm__("_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE");
void old_condition_variable_wait(void* condition, void* lock);
__asm__(".symver old_condition_variable_wait,_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
void condition_variable_wait(void* condition, void* lock) { old_condition_variable_wait(condition, lock); }

/* Exported since GCC 11, whose headers call them where GCC 8's called the copy constructor and the destructor. Assignment counts as well, and is
   the one of the three that torch's libraries never export themselves: ld writes a broken symbol for a version of what they have without one. */
void exception_addref(void* self) __asm__("_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv");
void exception_release(void* self) __asm__("_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv");
void* old_exception_assign(void* to, const void* from);
__asm__(".symver old_exception_assign,_ZNSt15__exception_ptr13exception_ptraSERKS0_@CXXABI_1.3.3");
void exception_addref(void* self) {
  void* copy = NULL; /* an exception_ptr is one pointer; this one is never destroyed */
  old_exception_assign(&copy, self);
}
void exception_release(void* self) {
  void* none = NULL;
  old_exception_assign(self, &none);
}
