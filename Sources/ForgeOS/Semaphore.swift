import Glibc

/// A counting semaphore between threads (futex(2) underneath, through POSIX `sem_t`).
@safe package final class Semaphore: Sendable {
    // SAFETY: sem_t is made for use from many threads; the pointer is written once and freed when nobody refers to it.
    private nonisolated(unsafe) let semaphore: UnsafeMutablePointer<sem_t>

    package init(_ value: UInt32 = 0) {
        unsafe semaphore = UnsafeMutablePointer.allocate(capacity: 1)
        let result = unsafe sem_init(semaphore, 0, value)
        precondition(result == 0, "a semaphore within range can be made")
    }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    package func post() { unsafe sem_post(semaphore) }

    /// Blocks the thread.
    package func wait() { while unsafe sem_wait(semaphore) != 0 {} }
}
