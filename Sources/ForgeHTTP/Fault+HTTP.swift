package import ForgeCore

/// How a refusal looks on the wire:
/// `{"error":{"code":…,"kind":…,"what":…,"why":…,"remedy":…,"record":…,"retryable":…,"request":…}}`.
/// `detail` and `place` stay at home.
extension Fault {
    /// The kind's status, unless the code's last word says more.
    package var httpStatus: Int {
        switch code {
        case "http.method": return 405
        case "http.timeout": return 408
        case "http.uri_too_long": return 414
        case "http.headers_too_large": return 431
        case "http.expectation": return 417
        default: break
        }
        return switch code.split(separator: ".").last {
        case "not_found": 404
        case "conflict", "exists": 409
        case "too_large": 413
        case "too_many", "busy": 429
        default: kind.status
        }
    }

    package func json(request: ID?) -> JSON {
        var error = JSON.Object()
        error["code"] = .string(code)
        error["kind"] = .string(kind.rawValue)
        error["what"] = .string(what)
        error["why"] = .string(why)
        error["remedy"] = .string(remedy)
        error["record"] = record.map { .int(Int64(clamping: $0)) } ?? .null
        error["retryable"] = .bool(retryable)
        if let request { error["request"] = .string(request.description) }
        return .object({
            var body = JSON.Object()
            body["error"] = .object(error)
            return body
        }())
    }

    /// Reads a refusal back. A body that is none of ours becomes a fault that says so.
    package init(status: Int, body: [UInt8], from peer: String, file: StaticString = #fileID, line: UInt = #line) {
        let kind: Kind =
            switch status {
            case 401: .unauthenticated
            case 403: .denied
            case 500...: .environment
            default: .request
            }
        guard let json = try? JSON.parse(body), let error = json["error"] else {
            self.init(
                kind, "peer.http_\(status)", "\(peer) answered with status \(status)", why: "the answer holds no explanation we understand",
                retryable: status >= 500, file: file, line: line)
            return
        }
        self.init(
            error["kind"]?.string.flatMap(Kind.init(rawValue:)) ?? kind, error["code"]?.string ?? "peer.http_\(status)",
            error["what"]?.string ?? error["message"]?.string ?? "\(peer) answered with status \(status)", why: error["why"]?.string ?? "",
            remedy: error["remedy"]?.string ?? "", record: error["record"]?.int.flatMap { UInt64(exactly: $0) },
            retryable: error["retryable"]?.bool ?? (status >= 500), detail: "from \(peer), status \(status)", file: file, line: line)
    }
}
