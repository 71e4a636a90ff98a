/// What went wrong, why, and what to do: the one error that crosses a target's boundary (STYLE, "Errors").
///
/// `what`, `why` and `remedy` are lower case without a full stop, user input stands in backticks, and none of them
/// holds a secret or a prompt: a remote caller reads all three. `detail` goes to the daemon's own log only.
package struct Fault: Error, Sendable {
    package enum Kind: String, Sendable, Codable {
        /// The caller can fix it: bad shape, unknown model, malformed frame.
        case request
        /// No policy permits it, or a policy forbids it.
        case denied
        /// Who is asking could not be established: sign in first.
        case unauthenticated
        /// Votes are missing; a request was filed and waits for them.
        case approval
        /// Disk full, peer gone, sealed store: the world, not the caller.
        case environment
    }

    package var kind: Kind
    /// A stable, dotted word for programs, such as `policy.denied` or `registry.sealed`.
    package var code: String
    package var what: String
    package var why: String
    package var remedy: String
    /// The audit record that holds this refusal, when there is one.
    package var record: UInt64?
    /// Whether the same call may succeed later without any change by the caller.
    package var retryable: Bool
    /// For the log only.
    package var detail: String
    package var place: String

    package init(
        _ kind: Kind, _ code: String, _ what: String, why: String = "", remedy: String = "", record: UInt64? = nil,
        retryable: Bool = false, detail: String = "", file: StaticString = #fileID, line: UInt = #line
    ) {
        self.kind = kind
        self.code = code
        self.what = what
        self.why = why
        self.remedy = remedy
        self.record = record
        self.retryable = retryable
        self.detail = detail
        self.place = "\(file):\(line)"
    }

    /// `what: why` on one line, as the command line prints it after `forge: `.
    package var message: String { why.isEmpty ? what : "\(what): \(why)" }
}

extension Fault: CustomStringConvertible {
    package var description: String { detail.isEmpty ? message : "\(message) [\(detail)]" }
}

extension Fault.Kind {
    /// The HTTP status a daemon answers with.
    package var status: Int {
        switch self {
        case .request: 400
        case .unauthenticated: 401
        case .denied: 403
        case .approval: 409
        case .environment: 503
        }
    }

    /// The exit code of the command line (manual, "Exit codes").
    package var exitCode: Int32 {
        switch self {
        case .request: 1
        case .denied: 2
        case .unauthenticated: 4
        case .approval: 8
        case .environment: 75
        }
    }
}
