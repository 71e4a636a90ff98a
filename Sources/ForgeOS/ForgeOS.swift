// ForgeOS: the machine underneath, told the truth about.
//
// owns      durable file idioms, advisory locks, Unix sockets and descriptors passed over them, sealed memory, peer credentials,
//           clocks, child processes, readiness, signals, terminals, threads for blocking work
// promises  every failed system call becomes a `Fault` that names the operation and the path; a failed fsync is final; descriptors
//           are owned by one value and are close-on-exec
// never     decides who may do what (ForgePolicy), hashes (ForgeCrypto), or retries what the caller should know about
// flow      syscall → errno → `OSError.fault` → Fault
