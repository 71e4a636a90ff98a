/* System calls that Swift cannot spell: variadic ones, those that need ancillary data, and the narrow path between fork and exec.
 *
 * owns      nothing but one spawner thread and one signal pipe, both made on first use
 * promises  every function returns 0 or a value on success and -1 with errno set on failure; none allocates for the caller,
 *           prints or exits; everything between fork and exec is async-signal-safe
 * never     interprets an error: ForgeOS does */
#ifndef FORGE_OS_H
#define FORGE_OS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Anonymous memory with seals (memfd_create(2), F_ADD_SEALS). */
int fos_memfd_create(const char *name);
int fos_memfd_seal(int fd);        /* write, shrink, grow and seal: for ever */
int fos_memfd_is_sealed(int fd);   /* 1 when all four seals are on, 0 when not */

/* Unix sockets. */
typedef struct {
    uint32_t pid, uid, gid;
} fos_credentials;
int fos_peer_credentials(int fd, fos_credentials *out);
int fos_socket_stream(void);       /* AF_UNIX, SOCK_STREAM, close-on-exec, non-blocking */
int fos_socket_pair(int out[2]);   /* blocking, close-on-exec */
int fos_bind(int fd, const char *path);      /* ENAMETOOLONG when the path does not fit sun_path */
int fos_accept(int listener);                /* blocking, close-on-exec */
int fos_connect(int fd, const char *path);
/* One message of `count` bytes (at least 1) carrying `fd_count` descriptors (at most FOS_FDS_MAX). Returns the bytes sent. */
#define FOS_FDS_MAX 64
ssize_t fos_send_fds(int socket, const void *bytes, size_t count, const int *fds, size_t fd_count);
/* Receives one message; descriptors arrive close-on-exec. EMSGSIZE when ancillary data was cut (all received ones are closed). */
ssize_t fos_receive_fds(int socket, void *bytes, size_t count, int *fds, size_t fds_max, size_t *fd_count);

/* Files. */
int fos_start_writing(int fd, int64_t offset, int64_t count);  /* begins to write a range of the page cache to the disk; promises nothing */
int fos_rename_exclusive(const char *from, const char *to);   /* EEXIST when `to` exists */

/* A child process. Between fork and exec nothing but async-signal-safe calls runs. */
typedef struct {
    const char *executable;       /* an absolute path: no search */
    char *const *arguments;       /* NULL-terminated, argv[0] included */
    char *const *environment;     /* NULL-terminated */
    const char *directory;        /* or NULL to stay */
    const int *fds_parent;        /* fds_parent[i] becomes fds_child[i]; every other descriptor is closed */
    const int *fds_child;
    size_t fd_count;
    int new_session;
    int parent_death_signal;      /* 0 for none; arrives when this process ends, not when a thread does */
    int change_user;
    uint32_t uid, gid;
} fos_spawn_request;
/* Returns the pid, and in *pidfd a descriptor for waiting and signalling. On failure errno is that of the step that failed, in
 * this process or in the child before exec. */
pid_t fos_spawn(const fos_spawn_request *request, int *pidfd);
int fos_pidfd_signal(int pidfd, int signal);
/* Waits for the child. *code is the exit status, *signal the signal that ended it (0 when it exited). */
int fos_wait(pid_t pid, int *code, int *signal);

/* This process. */
int fos_drop_user(uint32_t uid, uint32_t gid);   /* all ids, no supplementary groups, no way back; checked */
int fos_forbid_dumps(void);                      /* no core file, no ptrace by the same uid, no new privileges */
int fos_parent_death_signal(int signal);

/* The machine. */
int fos_cores(void);                             /* cores this process may run on */
int fos_memory(uint64_t *total, uint64_t *free); /* bytes */

/* Signals become bytes: after fos_signals_open each named signal writes its number into a pipe whose read end is returned. */
int fos_signals_open(const int *signals, size_t count);
int fos_ignore_sigpipe(void);

/* Terminals. */
int fos_terminal_columns(int fd);                /* -1 when it is none */
/* Prints `prompt` and reads one line without echo from the controlling terminal. Returns its length without the newline;
 * EMSGSIZE when it does not fit. The terminal's settings are restored also when a signal interrupts. */
ssize_t fos_read_secret(const char *prompt, char *out, size_t capacity);

/* How the kernel thinks of its wall clock (adjtimex(2), asked, nothing set): 1 when it is disciplined, 0 when not, -1 when a
 * sandbox forbids the question; *error_max in microseconds. */
int fos_clock_discipline(int64_t *error_max);

/* A thread with a name; `body` owns `context`. */
int fos_thread_start(const char *name, void (*body)(void *), void *context);

#endif
