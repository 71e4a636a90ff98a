import CForgeOS
package import ForgeCore
import Glibc
import Synchronization

/// A program started with exactly the descriptors it was given, and waited for.
package final class ChildProcess: Sendable {
    package struct Request: Sendable {
        /// An absolute path; nothing is searched.
        package var executable: String
        /// Without the program's own name.
        package var arguments: [String]
        /// The whole environment: nothing is inherited.
        package var environment: [String: String]
        package var directory: String?
        /// Child's descriptor number → ours. 0, 1 and 2 not named here are /dev/null; everything else is closed.
        package var descriptors: [Int32: Int32]
        package var newSession = false
        /// Sent to the child when this process ends, however it ends.
        package var parentDeathSignal: Int32?
        package var user: (uid: UInt32, gid: UInt32)?

        package init(
            _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:], descriptors: [Int32: Int32] = [:]
        ) {
            self.executable = executable
            self.arguments = arguments
            self.environment = environment
            self.descriptors = descriptors
        }
    }

    package enum Exit: Hashable, Sendable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)
        package var isSuccess: Bool { self == .code(0) }
        package var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    package let pid: Int32
    private let handle: Int32
    private struct State {
        var exit: Exit?
        var waiting: [CheckedContinuation<Exit, Never>] = []
    }
    private let state = Mutex(State())

    /// Returns once the program has been replaced by the new one; a missing or unrunnable executable is a fault here.
    package init(_ request: Request) throws(Fault) {
        var descriptors = request.descriptors
        var null: Int32 = -1
        for standard in 0..<3 as Range<Int32> where descriptors[standard] == nil {
            if null < 0 { null = try checked("open", "/dev/null") { unsafe open("/dev/null", O_RDWR | O_CLOEXEC) } }
            descriptors[standard] = null
        }
        defer { if null >= 0 { close(null) } }
        let pairs = descriptors.sorted { $0.key < $1.key }
        let parents = pairs.map(\.value), children = pairs.map(\.key)
        var handle: Int32 = -1
        let words = CStrings([request.executable] + request.arguments)
        let variables = CStrings(request.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        let directory = request.directory.map { CStrings([$0]) }
        let pid = unsafe words.pointers.withUnsafeBufferPointer { arguments in
            unsafe variables.pointers.withUnsafeBufferPointer { environment in
                unsafe parents.withUnsafeBufferPointer { parents in
                    unsafe children.withUnsafeBufferPointer { children in
                        var raw = unsafe fos_spawn_request()
                        unsafe raw.executable = UnsafePointer(arguments[0])
                        unsafe raw.arguments = UnsafePointer(arguments.baseAddress)
                        unsafe raw.environment = UnsafePointer(environment.baseAddress)
                        unsafe raw.directory = directory.map { unsafe UnsafePointer($0.pointers[0]!) }
                        unsafe raw.fds_parent = parents.baseAddress
                        unsafe raw.fds_child = children.baseAddress
                        unsafe raw.fd_count = parents.count
                        unsafe raw.new_session = request.newSession ? 1 : 0
                        unsafe raw.parent_death_signal = request.parentDeathSignal ?? 0
                        if let user = request.user {
                            unsafe raw.change_user = 1
                            unsafe raw.uid = user.uid
                            unsafe raw.gid = user.gid
                        }
                        return unsafe fos_spawn(&raw, &handle)
                    }
                }
            }
        }
        let failure = errno
        _ = (words, variables, directory)
        guard pid > 0 else { throw OSError.fault("start", request.executable, errno: failure) }
        self.pid = pid
        self.handle = handle
        OSThread.start("wait-\(pid)") { [self] in
            var code: Int32 = 0, signal: Int32 = 0
            let result = unsafe fos_wait(pid, &code, &signal)
            precondition(result == 0, "a child that was started here can be waited for once")
            let exit: Exit = signal != 0 ? .signal(signal) : .code(code)
            let waiting = state.withLock { state in
                state.exit = exit
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume(returning: exit) }
        }
    }

    deinit { close(handle) }

    /// Waits for the end. Not cancellable: signal the child instead.
    package func wait() async -> Exit {
        await withCheckedContinuation { continuation in
            let exit = state.withLock { state in
                if state.exit == nil { state.waiting.append(continuation) }
                return state.exit
            }
            if let exit { continuation.resume(returning: exit) }
        }
    }

    /// nil while it runs.
    package var exit: Exit? { state.withLock { $0.exit } }

    /// Sends a signal to this very process, never to a later one with the same pid. One that has ended is left in peace.
    package func signal(_ number: Int32) {
        // ESRCH is the only failure of a valid signal to one's own child.
        _ = fos_pidfd_signal(handle, number)
    }

    /// SIGTERM, then SIGKILL when `grace` has passed.
    package func stop(grace: Duration) async -> Exit {
        signal(SIGTERM)
        return await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // Cancellation means it ended in time; anything else means it did not.
                if (try? await Task.sleep(for: grace)) != nil { self.signal(SIGKILL) }
            }
            let exit = await wait()
            group.cancelAll()
            return exit
        }
    }
}

/// A NULL-terminated vector of C strings that lives as long as the object.
@safe private final class CStrings {
    let pointers: [UnsafeMutablePointer<CChar>?]

    init(_ strings: [String]) {
        let copies: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
        unsafe pointers = unsafe copies + [nil]
    }

    deinit { for unsafe pointer in unsafe pointers { unsafe free(pointer) } }
}
